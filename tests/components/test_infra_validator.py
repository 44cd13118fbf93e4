"""FaceInfraValidator: answers of a model server, and verdicts about it."""

import numpy as np
import pytest
import tensorflow as tf
from pipeline_steps import GROUP, artifact, records_of
from tensorflow_serving.apis import predict_pb2
from tfx.types import standard_artifacts

from components import infra_validator
from components.deployment.server_process import ServerBusy, ServerError

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group(GROUP)]


@pytest.mark.slow
def test_a_model_that_no_server_takes_is_not_blessed(model, examples, tmp_path, monkeypatch):
    monkeypatch.setenv("TF_SERVING_BIN", "/bin/false")
    blessing = artifact(standard_artifacts.InfraBlessing, tmp_path / "blessing")
    infra_validator.FaceInfraValidator.test_call(
        model=model,
        examples=examples,
        blessing=blessing,
        settings="{}",
        model_name="tiny",
        server="false",
        code="",
    )
    assert blessing.get_int_custom_property("blessed") == 0
    (file,) = (tmp_path / "blessing").iterdir()
    assert file.name == "INFRA_NOT_BLESSED"
    assert "the server ended with exit code 1" in file.read_text()


@pytest.mark.slow
def test_a_model_that_a_server_takes_is_blessed(model, examples, tmp_path):
    """By `facerelief serve` as a process."""
    blessing = artifact(standard_artifacts.InfraBlessing, tmp_path / "blessing")
    infra_validator.FaceInfraValidator.test_call(
        model=model,
        examples=examples,
        blessing=blessing,
        settings='{"requests": 2}',
        model_name="tiny",
        server="facerelief serve",
        code="",
    )
    assert blessing.get_int_custom_property("blessed") == 1
    (file,) = (tmp_path / "blessing").iterdir()
    assert (file.name, file.read_text()) == ("INFRA_BLESSED", "")


class Answering:
    """A stub that answers from outputs, for what a server may get wrong."""

    def __init__(self, **outputs):
        self._outputs = outputs

    def Predict(self, request, timeout):
        response = predict_pb2.PredictResponse()
        for name, value in self._outputs.items():
            response.outputs[name].CopyFrom(tf.make_tensor_proto(np.float32(value)))
        return response


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({"coefficients": [[1, 2]]}, "lacks vertices"),
        ({"coefficients": [[1, 2]], "vertices": [[[np.nan] * 3]]}, "are not finite"),
        ({"coefficients": [[1, 2.1]], "vertices": [[[0, 0, 0]]]}, "differs from the model .* 0.1"),
        ({"coefficients": [[1, np.nan]], "vertices": [[[0, 0, 0]]]}, "differs from the model"),
    ],
)
def test_wrong_answers_are_told(examples, outputs, message):
    records, ask = records_of(examples, "eval")[:1], infra_validator.check_answers
    right = {"coefficients": [[1, 2]], "vertices": [[[0, 0, 0]]]}
    expected = np.float32([[1, 2]])
    ask(Answering(**right), records, name="tiny", timeout=1.0, expected=expected)
    with pytest.raises(ServerError, match=message):
        ask(Answering(**outputs), records, name="tiny", timeout=1.0, expected=expected)
    with pytest.raises(ServerError, match="no records"):
        ask(Answering(**right), [], name="tiny", timeout=1.0, expected=expected[:0])


@pytest.mark.slow
def test_a_server_that_is_not_ready_in_time_is_no_verdict(model, examples, tmp_path, monkeypatch):
    sleeper = tmp_path / "sleeper"
    sleeper.write_text("#!/bin/sh\nexec sleep 60\n")
    sleeper.chmod(0o755)
    monkeypatch.setenv("TF_SERVING_BIN", str(sleeper))
    with pytest.raises(ServerBusy, match="not ready in time"):
        infra_validator.FaceInfraValidator.test_call(
            model=model,
            examples=examples,
            blessing=artifact(standard_artifacts.InfraBlessing, tmp_path / "blessing"),
            settings='{"start_seconds": 1.0}',
            model_name="tiny",
            server="sleeper",
            code="",
        )
    assert not (tmp_path / "blessing").exists()
