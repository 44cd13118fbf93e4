"""Films as the bytes of files."""

from __future__ import annotations

import fractions
import heapq
import io
import itertools
import pathlib
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from typing import cast

import av
import numpy as np
from PIL import Image

GIF_TICKS = 100
"""Of a second: the unit of time in a GIF."""
_CODEC, _PIXELS = "libx264", "yuv420p"
_QUALITY = {"crf": "20", "preset": "veryfast"}
_MP4 = {"movflags": "faststart"}
_MP4_SOUND = ("aac", "mp3", "ac3", "eac3", "alac", "flac", "opus")
"""Kinds of sound that an .mp4 holds as they are; others become AAC."""
_COLOURS = 255


def encode_mp4(frames: Iterable[np.ndarray], *, fps: float) -> bytes:
    """Encodes a film as H.264 in an .mp4, which browsers and players show.

    Args:
      frames: uint8 [H, W, 3] sRGB, H and W even.
      fps: frames per second.

    Raises:
      ValueError: if there is no frame.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "film.mp4")
        write_mp4(path, frames, fps=fps)
        return path.read_bytes()


def write_mp4(path: pathlib.Path, frames: Iterable[np.ndarray], *, fps: float) -> None:
    """Writes a film as encode_mp4 does, frame by frame.

    Raises:
      ValueError: if there is no frame.
    """
    frames = iter(frames)
    first = next(frames, None)
    if first is None:
        raise ValueError("a film needs a frame")
    with av.open(str(path), "w", format="mp4", options=_MP4) as film:
        rate = fractions.Fraction(fps).limit_denominator(1001)
        stream = cast(av.VideoStream, film.add_stream(_CODEC, rate=rate, options=_QUALITY))
        stream.height, stream.width = first.shape[:2]
        stream.pix_fmt = _PIXELS
        for frame in itertools.chain((first,), frames):
            film.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        film.mux(stream.encode())


def add_sound(silent: pathlib.Path, source: pathlib.Path, path: pathlib.Path) -> bool:
    """Copies a silent .mp4 with the first sound track of another film, if it has one.

    Neither is held in memory. Pictures stay as they are, and sound where an .mp4 can hold it.

    Args:
      silent: The film.
      source: The film with the sound, any format that FFmpeg reads.
      path: File to write.

    Returns:
      Whether there was sound; nothing is written without.

    Raises:
      av.FFmpegError: if the sound cannot be read.
    """
    with av.open(str(source)) as heard, av.open(str(silent)) as seen:
        if not heard.streams.audio:
            return False
        with av.open(str(path), "w", format="mp4", options=_MP4) as film:
            pictures = _copied(film, seen, seen.streams.video[0])
            sound = heard.streams.audio[0]
            late = _start(heard)
            copied = sound.codec_context.name in _MP4_SOUND
            packets = (_copied if copied else _encoded)(film, heard, sound, late)
            for packet in heapq.merge(pictures, packets, key=_seconds):
                film.mux(packet)
    return True


def _seconds(packet: av.Packet) -> fractions.Fraction:
    return (packet.dts or 0) * packet.time_base


def _start(film) -> fractions.Fraction:
    """Seconds at which a film's pictures begin, which is seldom 0 in what was broadcast."""
    for stream in film.streams.video:
        return (stream.start_time or 0) * stream.time_base
    return fractions.Fraction(0)


def _copied(film, source, stream, late=fractions.Fraction(0)) -> Iterator[av.Packet]:
    """Packets of a stream as they are, earlier by so many seconds."""
    target = film.add_stream(template=stream)
    return _redirected(source.demux(stream), target, late)


def _redirected(packets: Iterable[av.Packet], target, late) -> Iterator[av.Packet]:
    for packet in packets:
        if packet.dts is not None:  # the last one only flushes
            _move(packet, late)
            packet.dts = packet.dts - round(late / packet.time_base)
            packet.stream = target
            yield packet


def _move(part, late: fractions.Fraction) -> None:
    if part.pts is not None:
        part.pts = part.pts - round(late / part.time_base)


def _encoded(film, source, stream, late) -> Iterator[av.Packet]:
    """Packets of a stream's sound as AAC, earlier by so many seconds."""
    target = film.add_stream("aac", rate=stream.rate)
    target.layout = "mono" if stream.channels == 1 else "stereo"
    target.format = "fltp"
    return _encoded_packets(source.decode(stream), target, late)


def _encoded_packets(frames: Iterable[av.AudioFrame], target, late) -> Iterator[av.Packet]:
    for frame in frames:
        _move(frame, late)
        yield from target.encode(frame)
    yield from target.encode()


def encode_gif(
    frames: Iterable[np.ndarray], *, fps: int, palette_from: Sequence[np.ndarray]
) -> bytes:
    """Encodes a film as GIF that repeats for ever.

    Args:
      frames: uint8 [H, W, 3] sRGB.
      fps: frames per second; a GIF shows each for a whole number of hundredths of a second.
      palette_from: frames whose colours the palette is made for; one palette for the whole film, or
        it would flicker.

    Raises:
      ValueError: if there is no frame.
    """
    palette = Image.fromarray(np.concatenate(palette_from)).quantize(
        _COLOURS, method=Image.Quantize.MEDIANCUT, kmeans=1
    )
    pictures = (
        Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)
        for frame in frames
    )
    first = next(pictures, None)
    if first is None:
        raise ValueError("a film needs a frame")
    content = io.BytesIO()
    first.save(
        content,
        "GIF",
        save_all=True,
        append_images=pictures,
        duration=10 * round(GIF_TICKS / fps),
        loop=0,
        optimize=False,
    )
    return content.getvalue()
