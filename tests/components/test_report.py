"""FaceReport on what TFX's Evaluator wrote."""

import json
import re

import pytest
from google.protobuf import json_format
from pipeline_steps import DATA, GROUP, TRAINER, artifact, baseline_of
from tfx.components.evaluator import executor as evaluator_executor
from tfx.types import standard_artifacts

import components
from components import face_metrics, report, verdict
from components.settings import EvaluatorSettings, ReportSettings

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group(GROUP)]


def evaluated(model, examples, folder, **bounds):
    """What TFX's Evaluator writes about a model that is compared with itself."""
    evaluation = artifact(standard_artifacts.ModelEvaluation, folder / "evaluation")
    blessing = artifact(standard_artifacts.ModelBlessing, folder / "blessing")
    eval_config = face_metrics.eval_config(
        EvaluatorSettings(**bounds), face_model="tiny", iterations=TRAINER.iterations, code=""
    )
    evaluator_executor.Executor().Do(
        {"examples": [examples], "model": [model], "baseline_model": [model]},
        {"evaluation": [evaluation], "blessing": [blessing]},
        {
            "eval_config": json_format.MessageToJson(eval_config),
            "example_splits": json.dumps(["eval"]),
        },
    )
    return evaluation, blessing


@pytest.mark.slow
@pytest.mark.parametrize("most_mm", [100.0, 0.5])
def test_the_report_has_errors_faces_origin_and_the_verdict(model, examples, tmp_path, most_mm):
    evaluation, blessing = evaluated(model, examples, tmp_path, max_error_mm=most_mm)
    report_artifact = artifact(components.Report, tmp_path / "report")
    report.FaceReport.test_call(
        model=model,
        examples=examples,
        baseline=baseline_of(model, tmp_path, "baseline"),
        evaluation=evaluation,
        blessing=blessing,
        report=report_artifact,
        data=DATA.to_json(),
        settings=ReportSettings(faces=5, shown=2).to_json(),
        code="",
    )
    page = (tmp_path / "report/index.html").read_text()
    assert "No model of this kind was served yet" in page and "served</text>" not in page
    said = verdict.objections(evaluation.uri)
    if most_mm == 100.0:
        assert said == []
        assert '<b class="good">blessed' in page
    else:
        (one,) = said
        error = re.fullmatch(r"all faces: error (\d+\.\d+) mm, should be at most 0\.5", one)[1]
        assert f"<td>{float(error):.2f}</td>" in page
        assert f'<b class="bad">not blessed</b>.</p><ul><li>{one}</li></ul>' in page
    assert page.count("<img") == 4 * 4  # photo, crop, shading and error of two best and two worst
    shown = [int(number) for number in re.findall(r"<h4>sample (\d+): ", page)]
    assert len(set(shown)) == 4 and set(shown) <= set(range(29, 34))
    rows = {row.key: row for row in report.slice_rows(evaluation.uri)}
    assert rows[()].count == 9
    assert sum(row.count for key, row in rows.items() if key and key[0][0] == "slice/yaw_bin") == 9
    for words in ("Best of 5 faces", "iteration 1", "data_digest", "learning_rate"):
        assert words in page
