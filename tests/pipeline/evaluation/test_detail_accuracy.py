"""The evaluation of detail: the ground truth is perfect, and false relief has its own size."""

import numpy as np
import pytest

from pipeline.evaluation import detail
from pipeline.evaluation.detail_photograph import displaced_normals
from pipeline.evaluation.detail_truth import TruthModel, render_truth


def test_a_wave_tilts_normals_by_its_slope():
    x = np.repeat(np.arange(64.0)[None], 64, 0)
    height, normals = 0.1 * np.sin(x / 5), np.zeros((64, 64, 3)) + np.array([0, 0, 1])
    found = displaced_normals(normals, height, 2.0, np.ones((64, 64), bool))
    tilt = -found[..., 0] / found[..., 2]
    np.testing.assert_allclose(tilt[8:-8, 8:-8], 0.04 * np.cos(x / 5)[8:-8, 8:-8], atol=5e-4)


@pytest.mark.slow
def test_the_truth_is_perfect_and_the_method_better_than_none():
    model = TruthModel.create()
    photo = render_truth(model, 1, 0, with_relief=True, marks=True)
    exact = detail.Detail(photo.pixels.height, photo.pixels.displaced - photo.pixels.normals)
    figures = detail.accuracy(photo, exact)
    assert figures["explained"] == pytest.approx(1) and figures["refined_deg"] < 0.01
    flat = render_truth(model, 1, 0, with_relief=False, marks=True)
    assert np.abs(flat.pixels.height).max() == 0
    assert detail.false_relief(flat, exact)["plain skin"] == pytest.approx(
        detail.rms_angle(
            photo.pixels.normals, photo.pixels.displaced,
            detail.evaluated(flat.pixels) & ~np.any(list(flat.pixels.areas.values()), 0),
        ), rel=0.01,
    )  # fmt: skip
    rows = detail.summarise(iter([detail.evaluate_face(model, 1, 0)]))
    by_method = {row.method: row for row in rows}
    assert by_method[detail.METHOD].correlation > by_method[detail.DARK].correlation
    assert by_method[detail.NONE].explained == 0
