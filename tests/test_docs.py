"""The documentation's code runs and says the same as the library; its links lead somewhere."""

import pathlib
import re

import numpy as np
import pytest

from facemodel import camera, transforms

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGES = sorted(
    path.relative_to(ROOT).as_posix() for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
)


def code_blocks(text):
    """All Python code of a page, in its order."""
    return "\n".join(re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE))


def broken_links(text, folder):
    """Relative links and pictures of a page in a folder that lead to no file; not in comments."""
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", text)
    local = (target for target in targets if not re.match(r"[a-z]+:", target))
    return [target for target in local if not (folder / target).exists()]


@pytest.fixture(scope="module")
def conventions():
    """What the code of docs/conventions.md defines."""
    names = {}
    exec(code_blocks((ROOT / "docs/conventions.md").read_text(encoding="utf-8")), names)
    return names


def test_conventions_project_as_the_camera_does(conventions):
    rng = np.random.default_rng(0)
    points = rng.normal(size=(20, 3)).astype(np.float32) * 50
    yaw, pitch, roll = (np.float32([angle]) for angle in (0.4, -0.2, 0.1))
    rotation = np.asarray(transforms.euler_rotation(yaw, pitch, roll))
    scale, translation = np.float32([1.3]), np.float32([[210.0, 95.0]])
    pose = camera.Pose(rotation, scale, translation)
    expected = np.asarray(camera.project(points[None], pose))[0, :, :2]
    got = conventions["to_image"](points, rotation[0], scale[0], translation[0])
    np.testing.assert_allclose(got, expected, atol=1e-3)


def test_conventions_turn_as_they_say(conventions):
    nose_tip = np.float32([[0, 0, 100]])

    def seen(yaw=0.0, pitch=0.0, roll=0.0, point=nose_tip):
        rotation = transforms.euler_rotation(*(np.float32([angle]) for angle in (yaw, pitch, roll)))
        return conventions["to_image"](point, np.asarray(rotation)[0], 1.0, np.zeros(2))[0]

    assert seen(yaw=0.3)[0] > 1  # to image right
    assert seen(pitch=0.3)[1] > 1  # down
    assert seen(roll=0.3, point=np.float32([[100, 0, 0]]))[1] < -1  # the right side goes up


def test_conventions_way_back_undoes_the_crop(conventions):
    crop_from_image = np.float32([[0.5, 0.0, -60.0], [0.0, 0.5, -20.0]])
    image = np.random.default_rng(1).uniform(0, 500, (30, 2)).astype(np.float32)
    crop = np.asarray(transforms.apply_similarity(crop_from_image, image))
    np.testing.assert_allclose(
        conventions["image_from_crop"](crop, crop_from_image), image, atol=1e-3
    )


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    path = ROOT / page
    assert broken_links(path.read_text(encoding="utf-8"), path.parent) == []


def test_a_broken_link_is_seen(tmp_path):
    (tmp_path / "there.md").write_text("")
    text = "[a](there.md) [b](there.md#part) [c](#here) [d](https://x.org/y) ![e](gone.png)"
    text += " <!-- [f](g) -->"
    assert broken_links(text, tmp_path) == ["gone.png"]
