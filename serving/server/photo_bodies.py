"""Bodies of HTTP requests that are photos."""

from __future__ import annotations

import numpy as np

from serving.images import ImageError, TooLargeError, UnknownFormatError, decode_photo
from serving.server.http_status import HttpError


def photo_of(
    body: bytes, *, max_megapixels: float, name: str = "image", hint: str = ""
) -> np.ndarray:
    """The photo that a body is: uint8 [H, W, 3] sRGB, upright.

    Args:
      body: An image file.
      max_megapixels: Largest number of pixels, in millions.
      name: What errors call it.
      hint: What errors add where it is no image.

    Raises:
      HttpError: 415 for no image, 413 for too many pixels, 422 for a damaged or too small one.
    """
    try:
        return decode_photo(body, name=name, max_megapixels=max_megapixels)
    except UnknownFormatError as error:
        raise HttpError(415, f"{error}{hint}") from None
    except TooLargeError as error:
        raise HttpError(413, str(error)) from None
    except ImageError as error:
        raise HttpError(422, str(error)) from None
