"""Reads photos of any common kind as upright sRGB pixels."""

from __future__ import annotations

import functools
import io
import os
import pathlib
import stat
import struct
import warnings
import zlib
from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

MAX_MEGAPIXELS = 120
MIN_SIDE_PX = 16
MAX_SIDE_PX = 32_000
"""OpenCV warps no pictures with sides of 2^15 px."""


DEPTHS = (8, 10, 12, 14, 16)
"""Bits that the values of cameras and scanners fill, whatever the file could hold."""
HIGHEST_LIGHT = 16.0
"""The brightest value of a picture in floats whose white is 1."""


UNREADABLE = (
    OSError, SyntaxError, ValueError, EOFError, RuntimeError, struct.error, zlib.error, cv2.error,
)  # fmt: skip
"""What decoders raise at damaged files."""


SAFE_FORMATS = (
    "JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "JPEG2000", "PPM", "TGA", "HEIF", "AVIF",
)  # fmt: skip
"""Of pictures that strangers send: those that no other program is started for, as for EPS."""


class ImageError(ValueError):
    """A photo that cannot be used; one line that begins with its name."""


class UnknownFormatError(ImageError):
    """Something that is no picture."""


class TooLargeError(ImageError):
    """A picture with more pixels than are read."""


def read_photo(path: str | os.PathLike[str]) -> np.ndarray:
    """Reads a photo.

    Reads what Pillow reads, and HEIC and AVIF. Greyscale, palette, transparent (on white), CMYK and
    16-bit pictures are converted, colours by the ICC profile if there is one, the EXIF orientation
    is applied, of an animation the first picture is taken. Where the values of a deep picture fill
    10, 12 or 14 bits only, these are its range.

    Args:
      path: Image file.

    Returns:
      uint8 [H, W, 3] sRGB, upright.

    Raises:
      ImageError: if the file cannot be read, is no picture or a damaged one, or too small or too
        large.
    """
    path = pathlib.Path(path)
    check_file(path)
    return _read(path, str(path), MAX_MEGAPIXELS)


def decode_photo(
    content: bytes, *, name: str = "image", max_megapixels: float = MAX_MEGAPIXELS
) -> np.ndarray:
    """Reads a photo that somebody sent, as read_photo reads a file; formats are SAFE_FORMATS.

    Args:
      content: Of an image file.
      name: What errors call it.
      max_megapixels: Largest number of pixels, in millions; checked before they are decoded.

    Raises:
      UnknownFormatError: if it is no picture.
      TooLargeError: if it has too many pixels.
      ImageError: if it is damaged or too small.
    """
    if not content:
        raise UnknownFormatError(f"{name}: empty")
    return _read(io.BytesIO(content), name, max_megapixels, formats=SAFE_FORMATS)


def _read(
    source: pathlib.Path | io.BytesIO,
    name: str,
    max_megapixels: float,
    *,
    formats: Sequence[str] | None = None,
) -> np.ndarray:
    try:
        _register_formats()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(source, formats=formats) as picture:
                _check_size(picture.size, name, max_megapixels)
                return _to_rgb(ImageOps.exif_transpose(_eight_bits(picture, source)))
    except UnidentifiedImageError:
        raise UnknownFormatError(f"{name}: not an image of a known format") from None
    except Image.DecompressionBombError:
        raise TooLargeError(
            f"{name}: larger than the {max_megapixels:g} megapixels that are read"
        ) from None
    except UNREADABLE as error:
        if isinstance(error, ImageError):
            raise
        raise ImageError(f"{name}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"cannot be read ({error.strerror})"
    return f"damaged image ({' '.join(str(error).split())})"


def check_file(path: pathlib.Path) -> None:
    """Raises ImageError unless a path is that of a file with something in it."""
    try:
        _check_file(path.stat(), path)
    except OSError as error:
        raise ImageError(f"{path}: {_reason(error)}") from error


def _check_file(status: os.stat_result, path: pathlib.Path) -> None:
    if stat.S_ISDIR(status.st_mode):
        os.scandir(path).close()  # a folder that cannot be read says so
        raise ImageError(f"{path}: is a folder, not a photo")
    if not stat.S_ISREG(status.st_mode):
        raise ImageError(f"{path}: not a regular file")
    if status.st_size == 0:
        raise ImageError(f"{path}: the file is empty")


def _check_size(size: tuple[int, int], name: str, max_megapixels: float) -> None:
    width, height = size
    if min(size) < MIN_SIDE_PX:
        raise ImageError(f"{name}: {width} x {height} px is too small for a face")
    if width * height > max_megapixels * 1e6:
        raise TooLargeError(
            f"{name}: {width} x {height} px are {width * height / 1e6:.0f} megapixels, "
            f"more than the {max_megapixels:g} that are read; reduce it first"
        )
    if max(size) > MAX_SIDE_PX:
        raise TooLargeError(
            f"{name}: {width} x {height} px, but a side may have {MAX_SIDE_PX}; reduce it first"
        )


@functools.cache
def _register_formats() -> None:
    """Lets Pillow read HEIC and AVIF."""
    import pillow_heif

    pillow_heif.register_heif_opener()
    pillow_heif.register_avif_opener()


def _to_rgb(picture: Image.Image) -> np.ndarray:
    """Any mode -> uint8 [H, W, 3]; decodes the file."""
    if picture.mode.startswith("I"):
        return _grey(_to_uint8(np.asarray(picture)))
    if picture.mode == "F":
        values = np.asarray(picture, np.float64)
        return _grey(_to_uint8(np.nan_to_num(values, posinf=_largest(values))))
    profile = picture.info.get("icc_profile")
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture)
    return np.array(_to_srgb(picture, profile).convert("RGB"))


def _eight_bits(picture: Image.Image, source: pathlib.Path | io.BytesIO) -> Image.Image:
    """The picture; of one with 16 bits a colour, of which Pillow drops the lower 8, its range."""
    stored = str([tile[3] for tile in picture.tile or ()])
    if picture.mode not in ("RGB", "RGBA") or ";16" not in stored:
        return picture
    content = source.getvalue() if isinstance(source, io.BytesIO) else source.read_bytes()
    deep = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if deep is None or deep.dtype != np.uint16 or deep.shape[2:] not in ((3,), (4,)):
        return picture
    colours = deep[..., :3]
    deep[..., :3] = 257 * _to_uint8(colours).astype(np.uint16)
    order = [2, 1, 0, 3][: deep.shape[2]]
    shallow = Image.fromarray((deep[..., order] // 257).astype(np.uint8), picture.mode)
    shallow.info |= picture.info
    shallow.getexif().update(picture.getexif())
    return shallow


def _grey(values: np.ndarray) -> np.ndarray:
    return np.repeat(values[..., None], 3, -1)


def _largest(values: np.ndarray) -> float:
    return float(values.max(initial=0, where=np.isfinite(values)))


def _to_uint8(values: np.ndarray) -> np.ndarray:
    """Values of any range -> uint8 of the same shape.

    The range is the smallest usual one that holds all values: of floats [0, 1] even if some values
    go beyond it (highlights), else that of 8, 10, 12, 14 or 16 bits.
    """
    largest = _largest(values)
    if values.dtype.kind == "f" and largest <= HIGHEST_LIGHT:
        top = 1.0
    else:
        top = next((float(2**bits - 1) for bits in DEPTHS if largest < 2**bits), largest)
    return np.round(np.clip(values * (255.0 / top), 0, 255)).astype(np.uint8)


def _to_srgb(picture: Image.Image, profile: bytes | None) -> Image.Image:
    """Colours by an ICC profile; as they are if there is none or it does not fit the picture."""
    if not profile:
        return picture
    picture = picture if picture.mode in ("L", "CMYK") else picture.convert("RGB")
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        target = ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(picture, source, target, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError):
        return picture
