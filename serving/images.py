"""Reads photos of any common kind as upright sRGB pixels."""

from __future__ import annotations

import io
import os
import pathlib
import stat
import struct
import warnings
import zlib

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

MAX_MEGAPIXELS = 120
MIN_SIDE_PX = 16
MAX_SIDE_PX = 32_000
"""OpenCV warps no pictures with sides of 2^15 px."""


class ImageError(ValueError):
    """A photo that cannot be used; one line that begins with its name."""


def read_photo(path: str | os.PathLike[str]) -> np.ndarray:
    """Reads a photo.

    Greyscale, palette, transparent (on white), CMYK and 16-bit pictures are converted, colours by
    the ICC profile if there is one, the EXIF orientation is applied, of an animation the first
    picture is taken.

    Args:
      path: Image file.

    Returns:
      uint8 [H, W, 3] sRGB, upright.

    Raises:
      ImageError: if the file cannot be read, is no picture or a damaged one, or too small or too
        large.
    """
    path = pathlib.Path(path)
    try:
        _check_file(path.stat(), path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as picture:
                _check_size(picture.size, path)
                return _to_rgb(ImageOps.exif_transpose(picture))
    except UnidentifiedImageError:
        raise ImageError(f"{path}: not an image of a known format") from None
    except Image.DecompressionBombError:
        raise ImageError(
            f"{path}: larger than the {MAX_MEGAPIXELS} megapixels that are read"
        ) from None
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error) as error:
        if isinstance(error, ImageError):
            raise
        raise ImageError(f"{path}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"cannot be read ({error.strerror})"
    return f"damaged image ({' '.join(str(error).split())})"


def _check_file(status: os.stat_result, path: pathlib.Path) -> None:
    if stat.S_ISDIR(status.st_mode):
        os.scandir(path).close()  # a folder that cannot be read says so
        raise ImageError(f"{path}: is a folder, not a photo")
    if not stat.S_ISREG(status.st_mode):
        raise ImageError(f"{path}: not a regular file")
    if status.st_size == 0:
        raise ImageError(f"{path}: the file is empty")


def _check_size(size: tuple[int, int], path: pathlib.Path) -> None:
    width, height = size
    if min(size) < MIN_SIDE_PX:
        raise ImageError(f"{path}: {width} x {height} px is too small for a face")
    if width * height > MAX_MEGAPIXELS * 1e6:
        raise ImageError(
            f"{path}: {width} x {height} px are {width * height / 1e6:.0f} megapixels, "
            f"more than the {MAX_MEGAPIXELS} that are read; reduce it first"
        )
    if max(size) > MAX_SIDE_PX:
        raise ImageError(
            f"{path}: {width} x {height} px, but a side may have {MAX_SIDE_PX}; reduce it first"
        )


def _to_rgb(picture: Image.Image) -> np.ndarray:
    """Any mode -> uint8 [H, W, 3]; decodes the file."""
    if picture.mode.startswith("I"):
        grey = np.clip(np.asarray(picture, np.float64) / 257.0, 0, 255)
        return np.repeat(np.round(grey).astype(np.uint8)[..., None], 3, -1)
    if picture.mode == "F":
        values = np.nan_to_num(np.asarray(picture, np.float64))
        grey = np.clip(values * (255.0 if values.max() <= 1.0 else 1.0), 0, 255)
        return np.repeat(np.round(grey).astype(np.uint8)[..., None], 3, -1)
    profile = picture.info.get("icc_profile")
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture)
    return np.array(_to_srgb(picture, profile).convert("RGB"))


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
