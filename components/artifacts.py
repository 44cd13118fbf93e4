"""Artifact types of this project's own steps."""

from tfx.types import artifact


class Report(artifact.Artifact):
    """A folder with a page for people, index.html."""

    TYPE_NAME = "components.Report"


class Faces(artifact.Artifact):
    """Reconstructed faces: a folder with JSON lines."""

    TYPE_NAME = "components.Faces"
