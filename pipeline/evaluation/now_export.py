"""Writes predictions as the NoW benchmark's evaluation reads them.

For the photo SUBJECT/CHALLENGE/IMAGE.jpg a mesh SUBJECT/CHALLENGE/IMAGE.obj without colours, and
IMAGE.npy with its seven landmarks [7, 3], in the order of facemodel.evaluation.scan_protocol.
"""

from __future__ import annotations

import io
import pathlib

import numpy as np

from facemodel.files import write_bytes
from pipeline.evaluation.mesh_files import write_obj
from pipeline.evaluation.scan_files import Prediction


def export_now(prediction: Prediction, folder: pathlib.Path) -> None:
    """Writes a prediction's mesh and landmarks below a folder, at the place of its photo."""
    path = folder / f"{prediction.photo}.obj"
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    np.save(buffer, np.asarray(prediction.landmarks, np.float64))
    write_bytes(path.with_name(f"{path.stem}.npy"), buffer.getvalue())
    write_obj(path, prediction.mesh.vertices, prediction.mesh.triangles)
