"""Builds the default face model from public CC0 data; see docs/face-model.md."""

from facemodel.build.assemble import BuildReport, build_default_model
from facemodel.build.landmarks import LandmarkError
from facemodel.build.makehuman import FormatError
from facemodel.build.sources import SourceError

__all__ = ["BuildReport", "FormatError", "LandmarkError", "SourceError", "build_default_model"]
