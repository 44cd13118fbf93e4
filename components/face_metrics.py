"""TFMA's metric: the mean vertex error in mm of the loop's start and of each of its iterations."""

from __future__ import annotations

import functools
import json

import apache_beam as beam
import numpy as np
import tensorflow_model_analysis as tfma
from google.protobuf import json_format
from tensorflow_model_analysis.metrics import metric_types, metric_util

from components.face_models import load_face_model
from components.settings import EvaluatorSettings
from facemodel.evaluation.inner_face import InnerFaceErrors

METRIC = "error_mm"
LABEL, PREDICTION = "face/coefficients", "iterations"
CANDIDATE, BASELINE = "candidate", "baseline"


@functools.lru_cache(maxsize=2)
def face_errors(face_model: str) -> InnerFaceErrors:
    """Errors of a face model's coefficients; it is loaded once in a process.

    Args:
      face_model: Name of the face model in the settings.
    """
    return InnerFaceErrors(load_face_model(face_model, level=0))


class AlignedError(tfma.metrics.Metric):
    """Mean over faces of the error after iteration 0 (the start) to K: error_mm_0 .. error_mm_K.

    Args:
      name: first part of the metrics' names.
      iterations: K.
      face_model: Name of the face model in the settings.
      code: digest of the code that runs; here so that TFX's cache sees it.
    """

    def __init__(
        self,
        name: str = METRIC,
        iterations: int = 3,
        face_model: str = "default",
        code: str = "",
    ):
        super().__init__(
            _computations, name=name, iterations=iterations, face_model=face_model, code=code
        )


metric_types.register_metric(AlignedError)


def _computations(
    name: str,
    iterations: int,
    face_model: str,
    code: str,
    eval_config=None,
    model_names=None,
):
    del code  # only the cache reads it
    found = []
    for model_name in model_names or [""]:
        keys = [
            metric_types.MetricKey(f"{name}_{k}", model_name=model_name, example_weighted=None)
            for k in range(iterations + 1)
        ]
        combiner = _MeanErrors(keys, face_model, eval_config, model_name)
        found.append(
            metric_types.MetricComputation(keys=keys, preprocessors=None, combiner=combiner)
        )
    return found


def in_steps(estimates: np.ndarray, count: int) -> np.ndarray:
    """Estimates [K' + 1, n] of a loop of another length as [count, n]; the last is the last.

    A model that is compared with another may run its loop more or less often.
    """
    steps = [min(k, len(estimates) - 1) for k in range(count - 1)]
    return estimates[[*steps, -1]]


class _MeanErrors(beam.CombineFn):
    """Adds up [sum of errors by iteration .., count]."""

    def __init__(self, keys, face_model: str, eval_config, model_name: str):
        self._keys, self._face_model = keys, face_model
        self._eval_config, self._model_name = eval_config, model_name

    def create_accumulator(self):
        return np.zeros(len(self._keys) + 1)

    def add_input(self, accumulator, element):
        found = metric_util.to_label_prediction_example_weight(
            element,
            eval_config=self._eval_config,
            model_name=self._model_name,
            flatten=False,
            squeeze=False,
        )
        for label, prediction, _ in found:
            truth = np.ravel(label)
            estimates = in_steps(np.reshape(prediction, (-1, len(truth))), len(self._keys))
            errors = face_errors(self._face_model).errors_mm(estimates, truth)
            accumulator = accumulator + np.append(errors, 1.0)
        return accumulator

    def merge_accumulators(self, accumulators):
        return np.sum(list(accumulators), axis=0)

    def extract_output(self, accumulator):
        *sums, count = accumulator
        return {key: total / count for key, total in zip(self._keys, sums)}


def eval_config(
    settings: EvaluatorSettings, *, face_model: str, iterations: int, code: str
) -> tfma.EvalConfig:
    """Configuration of TFX's Evaluator for a candidate and the model that is served.

    Args:
      settings: slices and thresholds.
      face_model: Name of the face model in the settings.
      iterations: K of the candidate's loop; the last one's error decides.
      code: digest of the code that runs.
    """
    models = [
        {
            "name": name,
            "signature_name": "examples",
            "label_key": LABEL,
            "prediction_key": PREDICTION,
            "is_baseline": name == BASELINE,
        }
        for name in (CANDIDATE, BASELINE)
    ]
    metric = {
        "class_name": AlignedError.__name__,
        "module": __name__,
        "config": json.dumps({"iterations": iterations, "face_model": face_model, "code": code}),
    }
    slices = [{"feature_keys": [slice_key(name)]} for name in settings.slices]
    values = {
        "model_specs": models,
        "metrics_specs": [
            {
                "metrics": [metric, {"class_name": "ExampleCount"}],
                "per_slice_thresholds": {f"{METRIC}_{iterations}": _thresholds(settings, slices)},
            }
        ],
        "slicing_specs": [{}, *slices],
    }
    return json_format.ParseDict(values, tfma.EvalConfig())


def _thresholds(settings: EvaluatorSettings, slices: list[dict]) -> dict:
    """Bounds on all faces, and a wider one on the change of each slice."""

    def change(most_mm: float) -> dict:
        return {"absolute": most_mm, "direction": "LOWER_IS_BETTER"}

    everywhere = {
        "value_threshold": {"upper_bound": settings.max_error_mm},
        "change_threshold": change(settings.max_worsening_mm),
    }
    in_slices = {"change_threshold": change(settings.max_slice_worsening_mm)}
    found = [{"slicing_specs": [{}], "threshold": everywhere}]
    if slices:
        found.append({"slicing_specs": slices, "threshold": in_slices})
    return {"thresholds": found}


def slice_key(name: str) -> str:
    """The feature that says to which slice a record belongs: yaw -> slice/yaw_bin."""
    return f"slice/{name}_bin"
