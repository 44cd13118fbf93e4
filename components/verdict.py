"""Why the Evaluator did not bless a model, in words."""

from __future__ import annotations

import os

import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.proto import validation_result_pb2
from tensorflow_model_analysis.slicer import slicer_lib

from components.report_page import slice_name


def objections(evaluation: str | os.PathLike[str]) -> list[str]:
    """One clause for each bound that a model did not keep to, of all faces first.

    None if it was blessed.

    Args:
      evaluation: folder that the Evaluator wrote.
    """
    result = tfma.load_validation_result(os.fspath(evaluation))
    parts = [
        (slicer_lib.deserialize_slice_key(part.slice_key), part.failures)
        for part in result.metric_validations_per_slice
    ]
    found = [
        f"{slice_name(key)}: {_clause(failure)}"
        for key, failures in sorted(parts, key=lambda item: item[0])
        for failure in failures
    ]
    if result.missing_slices:
        found.append(f"{len(result.missing_slices)} slices have no faces")
    return found


def _clause(failure: validation_result_pb2.ValidationFailure) -> str:
    """Describes one bound and the value that was found."""
    error, bounds = failure.metric_value.double_value.value, failure.metric_threshold
    if failure.message:
        return f"{failure.metric_key.name}: {failure.message.strip()}"
    if bounds.HasField("change_threshold"):
        most = bounds.change_threshold.absolute.value
        return f"error changed by {error:+.3f} mm, should be at most {most:+g}"
    most = bounds.value_threshold.upper_bound.value
    return f"error {error:.3f} mm, should be at most {most:g}"
