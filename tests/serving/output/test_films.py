"""Films keep their pictures when sound is added, and the sound keeps its time."""

import fractions

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


def write_sound(path, codec, *, begins_s=0.0):
    """A film with sound, in the container that the suffix names."""
    with av.open(str(path), "w") as film:
        picture = film.add_stream("mpeg4", rate=FPS)
        picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
        sound = film.add_stream(codec, rate=RATE)
        sound.layout = "mono"
        black = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")
        black.pts, black.time_base = int(begins_s * FPS), fractions.Fraction(1, FPS)
        film.mux(picture.encode(black))
        film.mux(picture.encode())
        frame = av.AudioFrame.from_ndarray(beeps()[None], format="fltp", layout="mono")
        frame.sample_rate, frame.time_base = RATE, fractions.Fraction(1, RATE)
        frame.pts = int(begins_s * RATE)
        film.mux(sound.encode(frame))
        film.mux(sound.encode())


def heard(path):
    """Samples [N] of the sound in a file, their rate, codec, and when they begin in s."""
    with av.open(str(path)) as film:
        (stream,) = film.streams.audio
        frames = list(film.decode(stream))
        samples = np.concatenate([frame.to_ndarray().mean(0) for frame in frames])
        return samples, stream.rate, stream.codec_context.name, frames[0].time


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
    ("name", "codec", "kept", "begins_s"),
    [
        ("a.mp4", "aac", "aac", 0.0),
        ("a.mkv", "libopus", "opus", 0.0),
        ("a.mkv", "pcm_s16le", "aac", 1.5),
        ("a.ts", "aac", "aac", 1.5),
    ],
)
def test_sound_is_added_and_pictures_stay(silent, tmp_path, name, codec, kept, begins_s):
    write_sound(tmp_path / name, codec, begins_s=begins_s)
    assert add_sound(silent, tmp_path / name, tmp_path / "film")
    samples, rate, found, begins = heard(tmp_path / "film")
    assert found == kept and abs(begins) < 0.1
    loud = np.abs(samples[: int(rate * SECONDS)].reshape(8, -1)).mean(1)
    assert (loud[:3] < 0.02).all() and (loud[5:] > 0.2).all()
    kind, pictures = seen(tmp_path / "film")
    assert kind == "h264" and len(pictures) == 20
    np.testing.assert_array_equal(pictures, seen(silent)[1])


def test_a_film_without_sound_stays_silent(silent, tmp_path):
    assert not add_sound(silent, silent, tmp_path / "film")
    assert not (tmp_path / "film").exists()
