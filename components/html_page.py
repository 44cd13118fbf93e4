"""HTML pages that need nothing beside them, from templates."""

from __future__ import annotations

import base64
import dataclasses
import pathlib
from typing import Any

import cv2
import jinja2
import numpy as np

FRAME = pathlib.Path(__file__).parent / "templates" / "page.html"
"""The frame of all pages: other templates extend it and import its macros."""
_MEDIA_TYPES = {".png": "image/png", ".jpg": "image/jpeg"}
_JPEG_QUALITY = 85


@dataclasses.dataclass(frozen=True)
class Cell:
    """A table's cell with a class of the style.

    Attributes:
      text: Content of the cell.
      kind: Name of the class; empty for none.
    """

    text: str
    kind: str = ""

    def __str__(self) -> str:
        return self.text


def render(template: pathlib.Path, **values: Any) -> str:
    """Renders a page; everything in its values is escaped.

    Args:
      template: Path of the template.
      values: Variables of the template.
    """
    loader = jinja2.FileSystemLoader([template.parent, FRAME.parent])
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    environment.filters["data_uri"] = data_uri
    return environment.get_template(template.name).render(values) + "\n"


def data_uri(image: np.ndarray, suffix: str = ".png") -> str:
    """An image inside the page.

    Args:
      image: uint8 [H, W] or RGB [H, W, 3].
      suffix: File type, .png or .jpg.
    """
    quality = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY] if suffix == ".jpg" else []
    _, data = cv2.imencode(suffix, image[..., ::-1] if image.ndim == 3 else image, quality)
    return f"data:{_MEDIA_TYPES[suffix]};base64,{base64.b64encode(data.tobytes()).decode()}"
