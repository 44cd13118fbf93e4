"""What the report's page says about the model that is served."""

import re

import pytest

from components.report_page import Page, SliceRow


def page(candidate, baseline, served):
    rows = [SliceRow((), 7, candidate, baseline)]
    return Page({"run_key": "k"}, [], rows, served).to_html()


def test_nothing_that_was_served_is_shown_if_there_was_nothing():
    """The baseline is then the model itself."""
    text = page([3.0, 2.0], [3.0, 2.0], "")
    assert "No model of this kind was served yet" in text
    assert text.count("<polyline") == 1
    assert "served</text>" not in text
    assert "<th>change</th>" not in text and "0.000" not in text


def test_the_version_that_was_served_has_a_name_a_line_and_a_column():
    text = page([3.0, 1.5], [3.0, 2.0], "1795436800")
    assert "against version 1795436800," in text
    assert text.count("<polyline") == 2
    assert "served</text>" in text and "<th>change</th>" in text


@pytest.mark.parametrize(
    ("change", "cell"),
    [
        (-0.0004, '<td class="">+0.000</td>'),
        (0.0004, '<td class="">+0.000</td>'),
        (0.0, '<td class="">+0.000</td>'),
        (-0.0006, '<td class="good">-0.001</td>'),
        (0.0006, '<td class="bad">+0.001</td>'),
    ],
)
def test_a_change_that_is_rounded_to_nothing_is_neither_good_nor_bad(change, cell):
    assert re.findall("<td class=[^/]*</td>", page([2.0 + change], [2.0], "7")) == [cell]


@pytest.mark.parametrize("errors", [[3.0, float("inf")], [float("nan")] * 2, [2.0, 1.5]])
def test_the_page_shows_models_whose_error_is_not_finite(errors):
    rows = [SliceRow((), 7, errors, [2.0, 1.6])]
    page = Page({"run_key": "k"}, ["all faces: error 3 mm"], rows, "7").to_html()
    assert "not blessed" in page and f"{errors[-1]:.2f}" in page
    drawn = re.findall(r'points="([^"]*)"', page)
    assert drawn and not any(word in " ".join(drawn) for word in ("nan", "inf"))
