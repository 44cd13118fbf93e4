"""Builds the default face model from public CC0 data; see docs/face-model.md."""

from facemodel.default_model.assemble import BuildReport, build_default_model
from facemodel.default_model.head import HeadReport, build_head
from facemodel.default_model.landmarks import LandmarkError
from facemodel.default_model.makehuman import FormatError
from facemodel.default_model.sources import SourceError

__all__ = [
    "BuildReport",
    "FormatError",
    "HeadReport",
    "LandmarkError",
    "SourceError",
    "build_default_model",
    "build_head",
]
