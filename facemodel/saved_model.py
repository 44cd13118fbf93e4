"""What lies beside the graph of a SavedModel of this project, and where."""

from __future__ import annotations

import json
import os
import pathlib
from typing import Any

EXTRA = pathlib.Path("assets.extra")
"""The folder that a server leaves alone, below that of the version."""
METADATA = EXTRA / "metadata.json"
ARRAYS = EXTRA / "model.npz"
WARMUP_REQUESTS = EXTRA / "tf_serving_warmup_requests"
"""PredictionLogs as TFRecords, where TensorFlow Serving looks for them."""


def read_facts(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What a version's folder says about its face model, weights and origin."""
    return json.loads(pathlib.Path(path, METADATA).read_text(encoding="utf-8"))
