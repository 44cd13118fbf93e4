"""Films keep their pictures when sound is added, and the sound keeps its time."""

import av
import numpy as np
import pytest

from serving.output.video import add_sound, encode_mp4

RATE, SECONDS, FPS = 16_000, 2.0, 10
TONE_HZ = 440.0


def beeps():
    """Mono float32 samples: silence, then a tone in the second half."""
    time = np.arange(int(RATE * SECONDS)) / RATE
    return (0.5 * np.sin(2 * np.pi * TONE_HZ * time) * (time >= SECONDS / 2)).astype(np.float32)


def write_sound(path, codec, *, with_picture=False):
    """A film with sound, in the container that the suffix names."""
    with av.open(str(path), "w") as film:
        if with_picture:
            picture = film.add_stream("mpeg4", rate=FPS)
            picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
        sound = film.add_stream(codec, rate=RATE)
        sound.layout = "mono"
        if with_picture:
            black = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")
            film.mux(picture.encode(black))
            film.mux(picture.encode())
        frame = av.AudioFrame.from_ndarray(beeps()[None], format="fltp", layout="mono")
        frame.sample_rate = RATE
        film.mux(sound.encode(frame))
        film.mux(sound.encode())


def heard(path):
    """Samples [N] of the sound in a file, their rate and codec."""
    with av.open(str(path)) as film:
        (stream,) = film.streams.audio
        parts = [frame.to_ndarray().mean(0) for frame in film.decode(stream)]
        return np.concatenate(parts), stream.rate, stream.codec_context.name


def seen(path):
    """Codec and pictures of a file."""
    with av.open(str(path)) as film:
        (stream,) = film.streams.video
        return stream.codec_context.name, [
            f.to_ndarray(format="rgb24") for f in film.decode(stream)
        ]


@pytest.fixture(scope="module")
def silent(tmp_path_factory):
    small = np.random.default_rng(0).integers(0, 255, (20, 6, 8, 3)).astype(np.uint8)
    path = tmp_path_factory.mktemp("film") / "silent.mp4"
    path.write_bytes(encode_mp4(small.repeat(8, 1).repeat(8, 2), fps=FPS))
    return path


@pytest.mark.parametrize(
    ("name", "codec", "kept"),
    [("a.mp4", "aac", "aac"), ("a.mkv", "libopus", "opus"), ("a.mkv", "pcm_s16le", "aac")],
)
def test_sound_is_added_and_pictures_stay(silent, tmp_path, name, codec, kept):
    write_sound(tmp_path / name, codec, with_picture=True)
    assert add_sound(silent, tmp_path / name, tmp_path / "film")
    samples, rate, found = heard(tmp_path / "film")
    assert found == kept
    loud = np.abs(samples[: int(rate * SECONDS)].reshape(8, -1)).mean(1)
    assert (loud[:3] < 0.02).all() and (loud[5:] > 0.2).all()
    kind, pictures = seen(tmp_path / "film")
    assert kind == "h264" and len(pictures) == 20
    np.testing.assert_array_equal(pictures, seen(silent)[1])


def test_a_film_without_sound_stays_silent(silent, tmp_path):
    assert not add_sound(silent, silent, tmp_path / "film")
    assert not (tmp_path / "film").exists()
