"""The documentation's code runs and says the same as the library; its links lead somewhere."""

import ast
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


def anchors(text):
    """What links to the headings of a page end in, as GitHub makes it."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(path):
    """Relative links and images of a page that lead to no file or no heading; not in comments."""
    text = re.sub(r"<!--.*?-->", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)[^)]*\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        page = path.parent / name if name else path
        heading = anchor and page.suffix == ".md"
        if not page.exists() or (heading and anchor not in anchors(page.read_text())):
            broken.append(target)
    return broken


def defined_names(source):
    """Names that a module defines: functions, classes, their methods as Class.method, constants."""
    names, waiting = set(), [("", ast.parse(source).body)]
    while waiting:
        prefix, body = waiting.pop()
        for node in body:
            for target in getattr(node, "targets", [getattr(node, "target", node)]):
                if name := getattr(target, "name", getattr(target, "id", None)):
                    names.add(prefix + name)
            if isinstance(node, ast.ClassDef):
                waiting.append((f"{prefix}{node.name}.", node.body))
    return names


def missing_code(text, root):
    """What a page mentions as `room/file.py` or `room/file.py:name` and a folder does not have."""
    missing = []
    for path, name in re.findall(r"`((?:[\w-]+/)+[\w-]+\.py)(?::([\w.]+))?`", text):
        file = root / path
        if not file.is_file():
            missing.append(path)
        elif name and name not in defined_names(file.read_text(encoding="utf-8")):
            missing.append(f"{path}:{name}")
    return missing


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
    assert broken_links(ROOT / page) == []


def test_a_broken_link_is_seen(tmp_path):
    (tmp_path / "there.md").write_text("# What `it` does, ...\n")
    page = tmp_path / "page.md"
    page.write_text(
        "# Here\n[a](there.md) [b](there.md#what-it-does-) [c](#here) [d](https://x.org/y#z) "
        "![e](gone.png) [f](there.md#part) [g](#there) <!-- [h](i) -->"
    )
    assert broken_links(page) == ["gone.png", "there.md#part", "#there"]


@pytest.mark.parametrize("page", [page for page in PAGES if page != "CHANGELOG.md"])
def test_the_code_that_pages_name_exists(page):
    assert missing_code((ROOT / page).read_text(encoding="utf-8"), ROOT) == []


def test_missing_code_is_seen(tmp_path):
    (tmp_path / "room").mkdir()
    (tmp_path / "room/a.py").write_text(
        "X: int = 1\ndef f(): ...\nclass C:\n    def m(self): ...\n"
    )
    there = "`room/a.py` `room/a.py:X` `room/a.py:f` `room/a.py:C.m` `f` `room/`"
    assert missing_code(there, tmp_path) == []
    gone = "`away/a.py` `room/b.py:f` `room/a.py:m`"
    assert missing_code(gone, tmp_path) == ["away/a.py", "room/b.py", "room/a.py:m"]


def test_every_room_is_on_the_map():
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    packages = ("facemodel", "components", "serving", "pipeline")
    files = (path for package in packages for path in (ROOT / package).rglob("__init__.py"))
    rooms = (path.parent.relative_to(ROOT).as_posix() for path in files)
    assert [room for room in rooms if f"`{room}/`" not in page] == []
