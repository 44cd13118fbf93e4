"""What made a model, from what it says and from an ML Metadata store filled as TFX fills it."""

import json
import pathlib

import pytest
from ml_metadata.proto import metadata_store_pb2 as pb
from test_history import CACHED, DONE, Recorder
from typer.testing import CliRunner

from components.deployment import registry
from facemodel.saved_model.metadata import METADATA
from pipeline import cli
from pipeline.runs import cleaning, history
from pipeline.runs.lineage import LineageError, lineage
from pipeline.runs.places import PipelinePaths

FACTS = {
    "model_name": "faces",
    "model_version": "1",
    "facerelief_version": "0.1",
    "origin": {
        "code": "c",
        "data": {"seed": 1},
        "data_digest": "d",
        "trainer": {"samples": 4},
        "export": {"level": 0},
        "parent": {"init": "none"},
    },
}


def write_model(folder, facts):
    """Something that looks like a SavedModel."""
    (folder / METADATA).parent.mkdir(parents=True)
    (folder / "saved_model.pb").touch()
    (folder / METADATA).write_text(facts if isinstance(facts, str) else json.dumps(facts))
    return folder


class Judged(Recorder):
    """A run that trained a model and judged it."""

    def __init__(self, folder, *, version, verdict):
        super().__init__(folder)
        trained = self.run("2026-10-25T02:30", [("Trainer", DONE, None)])["Trainer"]
        self.run("2026-10-25T02:10", [("Trainer", CACHED, trained)])  # clocks were put back
        self.folder = pathlib.Path(trained.uri)
        write_model(self.folder / "Format-Serving", FACTS)
        model = self.artifact("Model", self.folder)
        self.join(model, pb.Event.OUTPUT, 1)
        self.store.put_attributions_and_associations(
            [
                pb.Attribution(artifact_id=model, context_id=run.context)
                for run in history.list_runs(self.places)
            ],
            [],
        )
        copied = {"version": version, "copied_from": "/served/7"}
        for kind, properties in (
            ("Model", copied),
            ("ModelEvaluation", {}),
            ("ModelBlessing", {"blessed": verdict}),
            ("PushedModel", {"pushed": verdict}),
        ):
            (step,) = self.store.put_executions([pb.Execution(type_id=self.step)])
            self.join(model, pb.Event.INPUT, step)
            folder = self.places.artifacts / kind
            self.join(self.artifact(kind, folder, **properties), pb.Event.OUTPUT, step)

    def artifact(self, kind, folder, **properties):
        """Number of a new artifact with custom properties."""
        number = self.store.put_artifact_type(pb.ArtifactType(name=kind))
        artifact = pb.Artifact(type_id=number, uri=str(folder))
        for name, value in properties.items():
            field = "int_value" if isinstance(value, int) else "string_value"
            setattr(artifact.custom_properties[name], field, value)
        return self.store.put_artifacts([artifact])[0]

    def join(self, artifact, kind, step):
        event = pb.Event(artifact_id=artifact, execution_id=step, type=kind)
        self.store.put_events([event])


def test_the_first_model_was_compared_with_nothing(tmp_path):
    made = Judged(tmp_path / "root", version="candidate", verdict=1)
    found = lineage(made.folder / "Format-Serving", made.places)
    assert found["judged by"]["compared with"] == "nothing was served yet"
    assert found["judged by"]["ModelBlessing"]["verdict"] == "blessed"
    assert found["judged by"]["PushedModel"]["verdict"] == "pushed"


def test_a_rejected_model_is_known_by_a_relative_path_with_its_first_run(tmp_path, monkeypatch):
    made = Judged(tmp_path / "root", version="7", verdict=0)
    monkeypatch.chdir(made.folder)
    found = lineage("Format-Serving", made.places)
    assert found["made in run"] == "2026-10-25T02:30"
    assert found["configuration"] == str(history.list_runs(made.places)[-1].config)
    assert found["judged by"] == {
        "ModelEvaluation": f"{made.places.artifacts}/ModelEvaluation (removed)",
        "ModelBlessing": {
            "verdict": "not blessed",
            "artifact": f"{made.places.artifacts}/ModelBlessing (removed)",
        },
        "PushedModel": {
            "verdict": "not pushed",
            "artifact": f"{made.places.artifacts}/PushedModel (removed)",
        },
        "compared with": "/served/7 (removed)",
    }


def test_a_pushed_model_names_what_was_cleaned_away(tmp_path):
    made = Judged(tmp_path / "root", version="candidate", verdict=1)
    served = made.places.serving / "faces"
    registry.push(made.folder / "Format-Serving", served, source=str(made.folder))
    assert lineage(served, made.places)["pushed from"] == str(made.folder)
    made.run("2026-10-26", [("Trainer", DONE, None)])
    cleaning.clean(made.places, keep=1)
    found = lineage(served, made.places)
    assert found["pushed from"] == f"{made.folder} (removed)"
    assert found["made in run"] == "2026-10-25T02:30"
    assert found["configuration"].endswith(".yaml (removed)")
    for mark in made.places.configs.glob("*.finished"):  # a run that was interrupted has none
        mark.unlink()
    assert lineage(served, made.places)["configuration"] == "(removed)"


def test_a_root_that_does_not_know_a_model_says_so(tmp_path):
    made = Judged(tmp_path / "root", version="candidate", verdict=1)
    other = write_model(tmp_path / "other", FACTS)
    found = lineage(other, made.places)
    assert found["made in run"] == f"unknown: {made.places.root} does not know this model"
    none = PipelinePaths(tmp_path / "none")
    found = lineage(other, none)
    assert found["made in run"] == f"unknown: {none.root} holds no runs of the pipeline"
    registry.push(other, tmp_path / "served", source="minio://bucket/model")
    assert lineage(tmp_path / "served")["pushed from"] == "minio://bucket/model"


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({}, "is incomplete (it lacks model_name)"),
        (FACTS | {"origin": {"code": "c"}}, "is incomplete (it lacks data)"),
        (FACTS | {"origin": "none"}, "is incomplete ("),
        ("{", "is no JSON ("),
        ("[]", "should hold a JSON object, got list"),
    ],
)
def test_a_broken_description_is_one_line_with_its_file(tmp_path, facts, message):
    folder = write_model(tmp_path / "model", facts)
    words = ["lineage", str(folder), "--root", str(tmp_path / "none")]
    result = CliRunner().invoke(cli.make_app(), words)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: {folder / METADATA}: {message}")
    assert result.stderr.count("\n") == 1


def test_a_folder_without_a_model_names_those_below_it(tmp_path):
    with pytest.raises(LineageError, match="nothing: no such folder"):
        lineage(tmp_path / "nothing")
    write_model(tmp_path / "serving" / "faces" / "7", FACTS)
    write_model(tmp_path / "serving" / "one", FACTS)
    (tmp_path / "serving" / "empty").mkdir()
    with pytest.raises(LineageError, match=r"no SavedModel .*; look into: faces, one$"):
        lineage(tmp_path / "serving")
