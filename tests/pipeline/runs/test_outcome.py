"""What became of each run's model, from an ML Metadata store filled as TFX fills it."""

import pytest
from ml_metadata.proto import metadata_store_pb2 as pb
from test_history import CACHED, DONE, Recorder

from pipeline.runs import cleaning, history, outcome

OUTPUTS = {
    "Evaluator": {"blessing": "BLESSED", "evaluation": "metrics"},
    "FaceInfraValidator": {"blessing": "INFRA_NOT_BLESSED"},
    "FacePusher": {"pushed_model": "result.txt"},
    "FaceReport": {"report": "index.html"},
}


class Outputs(Recorder):
    """Also records which outputs a step has."""

    def put(self, name, state, texts):
        """A run whose steps have a file with a text in each output."""
        self.run(name, [(node, state, None) for node in OUTPUTS])
        (newest, *_) = history.list_runs(self.places)
        for step in newest.steps:
            for key, file in OUTPUTS[step.node].items():
                folder = self.places.artifacts / step.node / key / str(step.execution)
                folder.mkdir(parents=True)
                (folder / file).write_text(texts.get(file, ""))
                artifact = pb.Artifact(type_id=self.output, uri=str(folder))
                (number,) = self.store.put_artifacts([artifact])
                event = pb.Event(
                    artifact_id=number, execution_id=step.execution, type=pb.Event.OUTPUT
                )
                event.path.steps.add(key=key)
                self.store.put_events([event])


@pytest.fixture
def recorder(tmp_path):
    return Outputs(tmp_path / "root")


def test_each_run_says_what_became_of_its_own_model(recorder):
    reason = {"INFRA_NOT_BLESSED": "the server ended", "result.txt": "not pushed: not servable\n"}
    recorder.put("1", DONE, reason)
    recorder.put("2", CACHED, {"result.txt": "pushed: /served/7\n"})
    newest, oldest = history.list_runs(recorder.places)
    found = outcome.outcome(recorder.places, oldest)
    assert found.evaluation == "blessed"
    assert found.infra_validation == "not blessed: the server ended"
    assert found.push == "not pushed: not servable"
    assert found.report.endswith(f"/FaceReport/report/{oldest.steps[-1].execution}/index.html")
    later = outcome.outcome(recorder.places, newest)
    assert later.push == "pushed: /served/7 (in an earlier run)"
    assert later.report != found.report
    lines = outcome.summary(recorder.places, oldest, model_name="faces").splitlines()
    assert lines[0] == "complete: 4 steps ran, 0 came from the cache"
    assert lines[-1] == "served: nothing yet"


def test_a_run_without_these_steps_says_so(recorder):
    recorder.run("1", [("Trainer", DONE, None)])
    (only,) = history.list_runs(recorder.places)
    assert str(outcome.outcome(recorder.places, only)).splitlines() == [
        "evaluation: none",
        "infra validation: none",
        "not pushed: FacePusher did not run",
        "report: none",
    ]


def test_a_run_whose_folders_were_cleaned_claims_nothing(recorder):
    recorder.put("1", DONE, {"result.txt": "pushed: /served/7\n"})
    recorder.put("2", DONE, {"result.txt": "pushed: /served/8\n"})
    cleaning.clean(recorder.places, keep=1)
    found = outcome.outcome(recorder.places, history.list_runs(recorder.places)[-1])
    assert (found.evaluation, found.infra_validation) == ("none", "none")
    assert found.push == "pushed or not: the files that say so were cleaned away"
