"""The Evaluator's metric against plain numpy, and its thresholds."""

import json

import numpy as np
import pytest
import tensorflow_model_analysis as tfma
from google.protobuf import json_format
from tensorflow_model_analysis.evaluators import metrics_validator
from tensorflow_model_analysis.metrics import metric_specs, metric_types

from components import face_metrics
from components.settings import EvaluatorSettings
from facemodel.evaluation import metrics
from facemodel.morphable.model import MorphableModel

pytestmark = pytest.mark.e2e  # importing TFMA alone takes longer than a fast test may

CONFIG = face_metrics.eval_config(
    EvaluatorSettings(max_error_mm=2.0, max_worsening_mm=0.25, max_slice_worsening_mm=0.5),
    face_model="tiny",
    iterations=2,
    code="digest",
)


def random_faces(count, seed=0):
    model = MorphableModel.tiny()
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=(count, model.coefficient_count)).astype(np.float32)
    noise = rng.normal(size=(count, 3, model.coefficient_count)).astype(np.float32)
    return model, truth, truth[:, None] + noise * np.float32([[[1.0], [0.5], [0.1]]])


def computation():
    metric = CONFIG.metrics_specs[0].metrics[0]
    options = json.loads(metric.config)
    (found,) = face_metrics.AlignedError(**options).computations(
        eval_config=CONFIG, model_names=[face_metrics.CANDIDATE]
    )
    return found


def test_the_mean_error_of_each_iteration_is_numpys():
    model, truth, estimates = random_faces(6)
    combiner = computation().combiner
    parts = [combiner.create_accumulator() for _ in range(2)]
    for row in range(6):
        element = metric_types.StandardMetricInputs(
            {
                tfma.LABELS_KEY: {face_metrics.CANDIDATE: truth[row]},
                tfma.PREDICTIONS_KEY: {face_metrics.CANDIDATE: {"iterations": estimates[row]}},
            }
        )
        parts[row % 2] = combiner.add_input(parts[row % 2], element)
    found = combiner.extract_output(combiner.merge_accumulators(parts))
    expected = metrics.vertex_error_mm(
        model.vertices(estimates)[:, :, model.inner_face],
        np.repeat(model.vertices(truth)[:, None, model.inner_face], 3, 1),
    ).mean(0)
    assert [key.name for key in found] == ["error_mm_0", "error_mm_1", "error_mm_2"]
    np.testing.assert_allclose([*found.values()], expected, rtol=1e-5)
    assert expected[0] > expected[1] > expected[2] > 0


@pytest.mark.parametrize(
    ("length", "expected"), [(1, [0, 0, 0]), (2, [0, 1, 1]), (3, [0, 1, 2]), (5, [0, 1, 4])]
)
def test_loops_of_other_lengths_are_compared_by_their_last_estimate(length, expected):
    estimates = np.arange(length)[:, None] * np.ones(4)
    assert face_metrics.in_steps(estimates, 3)[:, 0].tolist() == expected


def test_a_face_that_was_not_found_is_infinitely_wrong():
    """So a model that finds none is not blessed; a not-a-number would end the Evaluator."""
    _, truth, estimates = random_faces(1)
    estimates[0, 1] = np.nan
    errors = face_metrics.face_errors("tiny").errors_mm(estimates[0], truth[0])
    assert np.isinf(errors).tolist() == [False, True, False]


def test_thresholds_are_about_a_metric_that_there_is():
    """A threshold whose key differs in anything is never met: TFMA says "Metric not found"."""
    config = tfma.utils.update_eval_config_with_defaults(CONFIG, has_baseline=True)
    thresholds = metric_specs.metric_thresholds_from_metrics_specs(
        config.metrics_specs, eval_config=config
    )
    last = computation().keys[-1]
    assert {last, last.make_diff_key()} <= set(thresholds)
    assert {key.name for key in thresholds} == {"error_mm_2"}


YAW = (("slice/yaw_bin", 2),)


@pytest.mark.parametrize(
    ("slice_key", "error_mm", "change_mm", "good"),
    [
        ((), 1.9, 0.2, True),
        ((), 1.9, 0.3, False),
        ((), 2.1, 0.0, False),
        ((), 2.1, -1.0, False),
        (YAW, 2.1, 0.3, True),
        (YAW, 2.1, 0.6, False),
        ((), np.inf, np.nan, False),
    ],
)
def test_a_model_is_good_if_it_is_accurate_and_not_much_worse(slice_key, error_mm, change_mm, good):
    """All faces have two bounds; a slice has one, on the change."""
    config = tfma.utils.update_eval_config_with_defaults(
        tfma.EvalConfig.FromString(CONFIG.SerializeToString()), has_baseline=True
    )
    last = computation().keys[-1]
    values = {last: error_mm, last.make_diff_key(): change_mm}
    result = metrics_validator.validate_metrics((slice_key, values), config)
    assert (not result.metric_validations_per_slice) == good


def test_the_cache_sees_the_code():
    text = json_format.MessageToJson(CONFIG)
    assert "digest" in text
    assert "slice/yaw_bin" in text
