"""A compiled pipeline run without a cluster: order, inputs, outputs, failures, cache.

The steps are small scripts; tests/kubeflow/test_kubeflow_pipeline.py runs the real ones.
"""

import contextlib
import json
import pathlib
import re
import signal
import subprocess
import sys
import time

import pytest
import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2 as pb

from kubeflow import executor_io, ir, run_ir_locally
from kubeflow.executor_io import StepFailed, StepRun

ROOT = pathlib.Path(__file__).resolve().parents[2]
TEXT = {"instanceSchema": "title: tfx.Examples\ntype: object\n"}

# Writes, under each output, its name, its parameters and what it finds in its inputs.
WRITE = """
import json, os, pathlib, sys
executor_input = {"inputs": {}, **json.loads(sys.argv[1])}
def path(uri):
    return pathlib.Path(os.environ["KFP_STAGING_ROOT"], uri.replace("minio://", "minio/"))
found = {key: (path(artifacts["artifacts"][0]["uri"]) / "text").read_text()
         for key, artifacts in executor_input["inputs"].get("artifacts", {}).items()}
executor_output = {"artifacts": {}, "parameterValues": {"size": len(found)}}
for key, artifacts in executor_input["outputs"]["artifacts"].items():
    if key == "executor-logs":
        continue
    uri = artifacts["artifacts"][0]["uri"]
    path(uri).mkdir(parents=True)
    content = [key, executor_input["inputs"].get("parameterValues", {}), found]
    (path(uri) / "text").write_text(json.dumps(content))
    executor_output["artifacts"][key] = {"artifacts": [{"uri": uri, "metadata": {"splits": "a,b"}}]}
target = pathlib.Path(executor_input["outputs"]["outputFile"])
target.write_text(json.dumps(executor_output))
print("wrote", sorted(executor_output["artifacts"]))
"""


def task(name, *, inputs=None, parameters=None, cached=False, after=(), retries=0):
    """A task; inputs are (producer, key) by name."""
    artifacts = {
        key: {"taskOutputArtifact": {"producerTask": producer, "outputArtifactKey": output}}
        for key, (producer, output) in (inputs or {}).items()
    }
    values = {
        key: {"runtimeValue": {"constant": value}} if not isinstance(value, dict) else value
        for key, value in (parameters or {}).items()
    }
    return {
        "taskInfo": {"name": name},
        "componentRef": {"name": name},
        "inputs": {"artifacts": artifacts, "parameters": values},
        "dependentTasks": list(after),
        "cachingOptions": {"enableCache": cached},
        "retryPolicy": {"maxRetryCount": retries},
    }


def document(*tasks, scripts=None, outputs=None):
    """An IR whose steps write one output `data` each, unless outputs names others."""
    components, executors = {}, {}
    for each in tasks:
        name = each["taskInfo"]["name"]
        keys = (outputs or {}).get(name, ["data"])
        components[name] = {
            "executorLabel": f"{name}_executor",
            "outputDefinitions": {"artifacts": {key: {"artifactType": TEXT} for key in keys}},
        }
        script = (scripts or {}).get(name, WRITE)
        container = {"image": "none", "command": ["python", "-c", script], "args": ["{{$}}"]}
        executors[f"{name}_executor"] = {"container": container}
    return {
        "schemaVersion": "2.1.0",
        "sdkVersion": "test",
        "pipelineInfo": {"name": "faces"},
        "root": {"dag": {"tasks": {each["taskInfo"]["name"]: each for each in tasks}}},
        "components": components,
        "deploymentSpec": {"executors": executors},
    }


CHAIN = (
    task("report", inputs={"left": ("train", "data"), "right": ("make", "data")}),
    task("train", inputs={"examples": ("make", "data")}, parameters={"steps": 3, "name": "a b"}),
    task("make"),
)


def run_in(root, content, **options):
    program = ir.parse(content)
    run = run_ir_locally.new_run(program, root, options.pop("parameters", {}))
    return run, run_ir_locally.execute(program, run, **options)


def text_of(run, done, step, key="data"):
    [artifact] = done[step].output.artifacts[key].artifacts
    return json.loads((run.object_path(artifact.uri) / "text").read_text())


def test_steps_come_after_what_they_need():
    content = document(*CHAIN, task("last", after=["report"]), task("alone"))
    names = [step.name for step in ir.parse(content).steps]
    assert sorted(names) == ["alone", "last", "make", "report", "train"]
    for before, after in [("make", "train"), ("train", "report"), ("report", "last")]:
        assert names.index(before) < names.index(after)


def test_steps_that_need_each_other_are_named():
    with pytest.raises(ir.IrError, match="a -> b -> a|b -> a -> b"):
        ir.topological_order({"a": {"b"}, "b": {"a"}})
    with pytest.raises(ir.IrError, match="a: needs gone"):
        ir.topological_order({"a": {"gone"}})


def test_outputs_reach_the_steps_that_ask_for_them(tmp_path):
    run, done = run_in(tmp_path, document(*CHAIN))
    made = ["data", {}, {}]
    trained = ["data", {"steps": 3, "name": "a b"}, {"examples": json.dumps(made)}]
    assert text_of(run, done, "make") == made
    assert text_of(run, done, "train") == trained
    reported = text_of(run, done, "report")[2]
    assert {key: json.loads(text) for key, text in reported.items()} == {
        "left": trained,
        "right": made,
    }
    assert list(done) == ["make", "train", "report"]
    assert "wrote ['data']" in (run.folder("train") / "log.txt").read_text()
    assert not (run.folder("train") / "staging").exists()


def test_a_step_gets_the_variables_of_its_container_which_no_cache_looks_at(tmp_path):
    content = document(task("make", cached=True))
    for value, state in (("1", "ran"), ("2", "cached")):
        script = WRITE + 'print("LEVEL", os.environ["LEVEL"])\n'
        container = content["deploymentSpec"]["executors"]["make_executor"]["container"]
        container |= {
            "command": ["python", "-c", script], "env": [{"name": "LEVEL", "value": value}]
        }  # fmt: skip
        run, done = run_in(tmp_path, content)
        assert done["make"].state == state
        if state == "ran":
            assert "LEVEL 1" in (run.folder("make") / "log.txt").read_text()


def test_a_step_ends_with_a_runner_that_is_killed(tmp_path):
    script = "import os, time\nprint('pid', os.getpid(), flush=True)\ntime.sleep(600)\n"
    file = tmp_path / "pipeline.yaml"
    file.write_text(yaml.safe_dump(document(task("make"), scripts={"make": script})))
    words = [sys.executable, "-m", "kubeflow.run_ir_locally", str(file), "--root", str(tmp_path)]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        pid = int(wait_for(lambda: re.search(r"pid (\d+)", log_of(tmp_path)))[1])
        process.kill()
    wait_for(lambda: not is_alive(pid))


def log_of(root):
    return "".join(path.read_text() for path in root.glob("runs/*/make/log.txt"))


def wait_for(found, seconds=180):
    deadline = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return value


def is_alive(pid):
    """A zombie is not."""
    status = pathlib.Path("/proc", str(pid), "status")
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return "State:\tZ" not in status.read_text()
    return False


def test_executor_input_is_that_of_open_source_kfp(tmp_path):
    """Written down from the sources of KFP's driver and launcher."""
    run, _ = run_in(tmp_path, document(*CHAIN))
    executor_input = json.loads((run.folder("train") / "executor_input.json").read_text())
    prefix = f"minio://mlpipeline/v2/artifacts/faces/{run.run_id}"
    [examples] = executor_input["inputs"]["artifacts"]["examples"]["artifacts"]
    assert examples.pop("name").isdecimal()
    assert examples == {
        "type": {"instanceSchema": ""},
        "uri": f"{prefix}/make/data",
        "metadata": {"splits": "a,b", "display_name": "data", "store_session_info": "{}"},
    }
    assert executor_input["inputs"]["parameterValues"] == {"steps": 3, "name": "a b"}
    assert executor_input["outputs"]["artifacts"]["data"]["artifacts"] == [
        {"type": TEXT, "uri": f"{prefix}/train/data", "metadata": {}}
    ]
    assert "executor-logs" in executor_input["outputs"]["artifacts"]


def test_a_step_sees_only_what_it_declares(tmp_path):
    peek = "import os, pathlib; print(*pathlib.Path(os.environ['KFP_STAGING_ROOT']).rglob('text'))"
    tasks = (*CHAIN[:-1], CHAIN[-1], task("peek", inputs={"one": ("train", "data")}))
    run, _ = run_in(tmp_path, document(*tasks, scripts={"peek": peek}))
    seen = (run.folder("peek") / "log.txt").read_text().split()
    assert [pathlib.Path(path).parts[-3:] for path in seen] == [("train", "data", "text")]


def test_a_failing_step_stops_the_run_and_shows_its_log(tmp_path):
    fail = "import sys; print('the disk is full'); sys.exit(7)"
    with pytest.raises(StepFailed, match=r"train ended with code 7(.|\n)*the disk is full"):
        run_in(tmp_path, document(*CHAIN, scripts={"train": fail}))
    assert not list(tmp_path.glob("runs/*/report"))


def test_a_step_is_started_again_as_often_as_compiled(tmp_path):
    count = tmp_path / "count"
    flaky = f"open({str(count)!r}, 'a').write('x')\n"
    flaky += f"if len(open({str(count)!r}).read()) < 3: raise SystemExit('again')\n" + WRITE
    content = document(task("flaky", retries=2), scripts={"flaky": flaky})
    _, done = run_in(tmp_path, content)
    assert done["flaky"].state == "ran" and count.read_text() == "xxx"
    count.unlink()
    with pytest.raises(StepFailed, match="again"):
        run_in(tmp_path, content, retries=1)


def test_a_second_run_takes_finished_steps_from_the_cache(tmp_path):
    cached = [{**one, "cachingOptions": {"enableCache": True}} for one in CHAIN]
    first_run, first = run_in(tmp_path, document(*cached))
    second_run, second = run_in(tmp_path, document(*cached))
    assert {done.state for done in first.values()} == {"ran"}
    assert {done.state for done in second.values()} == {"cached"}
    assert text_of(first_run, first, "report") == text_of(second_run, second, "report")
    cached[1]["inputs"]["parameters"]["steps"] = {"runtimeValue": {"constant": 4}}
    _, third = run_in(tmp_path, document(*cached))
    assert [(done.step, done.state) for done in third.values()] == [
        ("make", "cached"),
        ("train", "ran"),
        ("report", "ran"),
    ]
    _, fourth = run_in(tmp_path, document(*cached), cache=False)
    assert {done.state for done in fourth.values()} == {"ran"}


def test_what_was_removed_is_made_again(tmp_path):
    cached = task("make", cached=True)
    run, done = run_in(tmp_path, document(cached))
    [artifact] = done["make"].output.artifacts["data"].artifacts
    for path in sorted(run.object_path(artifact.uri).rglob("*")):
        path.unlink()
    run.object_path(artifact.uri).rmdir()
    _, again = run_in(tmp_path, document(cached))
    assert again["make"].state == "ran"


def test_a_failed_run_goes_on_where_it_stopped(tmp_path):
    cached = [{**one, "cachingOptions": {"enableCache": True}} for one in CHAIN]
    with pytest.raises(StepFailed):
        run_in(tmp_path, document(*cached, scripts={"report": "raise SystemExit(1)"}))
    _, done = run_in(tmp_path, document(*cached))
    assert [one.state for one in done.values()] == ["cached", "cached", "ran"]


def test_values_go_from_step_to_step(tmp_path):
    source = {"taskOutputParameter": {"producerTask": "make_task", "outputParameterKey": "size"}}
    content = document(task("make"), task("use", parameters={"n": source, "p": parameter("k")}))
    content["components"]["make"]["outputDefinitions"]["parameters"] = {
        "size": {"parameterType": "NUMBER_INTEGER"}
    }
    run, done = run_in(tmp_path, content, parameters={"k": "v"})
    assert text_of(run, done, "use")[1] == {"n": 0, "p": "v"}
    with pytest.raises(ir.IrError, match="use: the pipeline's parameter 'k' has no value"):
        run_in(tmp_path, content)


def parameter(name):
    return {"componentInputParameter": name}


def test_placeholders_are_filled_in(tmp_path):
    content = document(task("make"), task("use", inputs={"one": ("make", "data")}))
    container = content["deploymentSpec"]["executors"]["use_executor"]["container"]
    container["args"] = [
        "{{$.inputs.artifacts['one'].path}}/x",
        "{{$.outputs.artifacts['data'].uri}}",
    ]
    step = ir.parse(content).steps[1]
    run = StepRun(tmp_path, "faces", "r1", {})
    output = pb.ExecutorOutput()
    output.artifacts["data"].artifacts.add(uri="minio://b/make")
    message = executor_io.executor_input(step, run, {"make": output})
    words = executor_io.command_line(step, message, tmp_path / "staging")
    assert words[0] == sys.executable
    assert words[3:] == [f"{tmp_path}/staging/minio/b/make/x", run.uri("use", "data")]


def test_an_importer_makes_an_artifact_of_what_is_there(tmp_path):
    content = document(task("schema"), task("use", inputs={"one": ("schema", "data")}))
    file = tmp_path / "schema.pbtxt"
    file.write_text("feature {}")
    importer = {"artifactUri": {"constant": str(file)}, "typeSchema": TEXT}
    content["deploymentSpec"]["executors"]["schema_executor"] = {"importer": importer}
    show = """
import json, sys
executor_input = json.loads(sys.argv[1])
print(open(executor_input["inputs"]["artifacts"]["one"]["artifacts"][0]["uri"]).read())
"""
    content["deploymentSpec"]["executors"]["use_executor"]["container"]["command"][2] = show
    run, done = run_in(tmp_path / "run", content)
    assert done["schema"].state == "imported"
    assert (run.folder("use") / "log.txt").read_text() == "feature {}\n"
    assert file.read_text() == "feature {}"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schemaVersion": "2.0.0"}, "schemaVersion should be 2.1.0, got '2.0.0'"),
        ({"components": {}}, "make: there is no component 'make'"),
        ({"deploymentSpec": {}}, "make: there is no executor 'make_executor'"),
        (
            {"deploymentSpec": {"executors": {"make_executor": {"resolver": {}}}}},
            "make: open-source KFP runs no resolver",
        ),
    ],
)
def test_what_cannot_run_is_named(change, message):
    with pytest.raises(ir.IrError, match=message):
        ir.parse({**document(task("make")), **change})


def test_a_file_that_cannot_be_read_is_one_line_with_its_name(tmp_path):
    path = tmp_path / "pipeline.yaml"
    for text, problem in (
        (None, "cannot be read (No such file or directory)"),
        ("a: [", "is not YAML (expected the node content, but found '<stream end>', line 1, "),
    ):
        if text:
            path.write_text(text)
        with pytest.raises(ir.IrError) as caught:
            ir.load(path)
        assert str(caught.value).startswith(f"{path}: {problem}")
        assert "\n" not in str(caught.value)


def test_conditions_are_refused():
    content = document(task("make"))
    content["root"]["dag"]["tasks"]["make"]["triggerPolicy"] = {"condition": "1 == 1"}
    with pytest.raises(ir.IrError, match="make: conditions"):
        ir.parse(content)


def start(file, root, *options):
    words = [sys.executable, "-m", "kubeflow.run_ir_locally", str(file), "--root", str(root)]
    return subprocess.Popen(
        [*words, *options], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_exit_codes_and_messages(tmp_path):
    file = tmp_path / "pipeline.yaml"
    file.write_text(yaml.safe_dump(document(*CHAIN)))
    process = start(file, tmp_path / "run")
    out, _ = process.communicate(timeout=600)
    assert process.returncode == 0 and "faces: 3 steps" in out and "ran      report" in out
    file.write_text(yaml.safe_dump(document(*CHAIN, scripts={"train": "raise SystemExit(7)"})))
    process = start(file, tmp_path / "run")
    _, err = process.communicate(timeout=600)
    assert process.returncode == 1 and "error: train ended with code 7" in err
    file.write_text("nonsense")
    process = start(file, tmp_path / "run")
    _, err = process.communicate(timeout=600)
    assert process.returncode == 2 and f"error: {file}: is no compiled pipeline" in err


def test_a_file_for_a_cluster_is_refused_before_anything_runs(tmp_path):
    file = tmp_path / "pipeline.yaml"
    mounts = {"pvcMount": [{"constant": "faces-models", "mountPath": "/mnt/models"}]}
    deployment = {"deploymentSpec": {"executors": {"train_executor": mounts}}}
    platform = {"platforms": {"kubernetes": deployment}}
    file.write_text(yaml.safe_dump_all([document(*CHAIN), platform]))
    process = start(file, tmp_path / "run")
    out, err = process.communicate(timeout=600)
    assert (process.returncode, out) == (2, "")
    assert err.splitlines() == [
        f"error: {file}: is for a cluster, it mounts volumes at /mnt/models; "
        "to run it here compile it with --here FOLDER, as make kubeflow-local does"
    ]
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_no_process(tmp_path, number):
    sign = tmp_path / "pid"
    sleep = f"import os, time; open({str(sign)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    sleep = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {sleep!r}])"
    file = tmp_path / "pipeline.yaml"
    file.write_text(yaml.safe_dump(document(task("sleep"), scripts={"sleep": sleep})))
    process = start(file, tmp_path / "run")
    while not (sign.exists() and sign.read_text()):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    process.send_signal(number)
    assert process.wait(timeout=600) in (130, 143)
    for _ in range(100):
        if not pathlib.Path("/proc", sign.read_text()).exists():
            break
        time.sleep(0.05)
    else:
        pytest.fail("the process that the step started is still there")


def test_outputs_keep_the_type_and_the_place_that_they_are_given(tmp_path):
    step = ir.parse(document(task("make"))).steps[0]
    run = StepRun(tmp_path, "faces", "r1", {})
    message = executor_io.executor_input(step, run, {})
    path = pathlib.Path(message.outputs.output_file)
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"artifacts": {"data": {"artifacts": [{"uri": "/models/7"}]}}}))
    [artifact] = executor_io.collect(step, message).artifacts["data"].artifacts
    assert artifact.uri == "/models/7"
    assert json_format.MessageToDict(artifact.type) == TEXT


def test_metadata_without_a_value_is_refused_as_by_kfp(tmp_path):
    script = WRITE.replace('"splits": "a,b"', '"splits": None')
    with pytest.raises(StepFailed, match="make: KFP cannot store 'splits' of 'data'"):
        run_in(tmp_path, document(task("make"), scripts={"make": script}))
