"""The committed page is the one that its sources make, and has what its script looks for."""

import hashlib
import json
import re

from serving.web.app import PAGE
from serving.web.workshop import STAGES

SOURCE = PAGE.parent / "page_source"


def digest():
    """As build.mjs computes it."""
    scripts = sorted(path.name for path in (SOURCE / "src").glob("*.js"))
    paths = [f"src/{name}" for name in scripts] + ["build.mjs", "package.json", "package-lock.json"]
    parts = (path.encode() + b"\0" + (SOURCE / path).read_bytes() + b"\0" for path in paths)
    return hashlib.sha256(b"".join(parts)).hexdigest()


def test_the_bundle_was_made_from_these_sources():
    first = (PAGE / "page.js").read_text(encoding="utf-8").splitlines()[0]
    assert f"sha256 {digest()}" in first, "run make web-page"


def test_versions_are_pinned_and_the_lock_names_no_host():
    lock = json.loads((SOURCE / "package-lock.json").read_text())
    wanted = json.loads((SOURCE / "package.json").read_text())
    for name, version in {**wanted["dependencies"], **wanted["devDependencies"]}.items():
        assert lock["packages"][f"node_modules/{name}"]["version"] == version
    assert all("resolved" not in entry for entry in lock["packages"].values())
    assert all("integrity" in entry for path, entry in lock["packages"].items() if path)


def test_the_licence_of_three_js_lies_beside_it():
    assert "MIT License" in (PAGE / "LICENSE.three.txt").read_text()
    assert "SPDX-License-Identifier: MIT" in (PAGE / "page.js").read_text(encoding="utf-8")


def test_every_part_that_the_script_looks_for_is_in_the_page():
    ids = set(re.findall(r'\bid="([\w-]+)"', (PAGE / "index.html").read_text()))
    wanted = set(re.findall(r'part\("([\w-]+)"\)', (SOURCE / "src/main.js").read_text()))
    assert len(wanted) > 30 and wanted <= ids


def test_every_control_has_a_name():
    page = (PAGE / "index.html").read_text()
    inputs = re.findall(r"<input [^>]*>", page)
    labelled = set(re.findall(r'<label for="([\w-]+)"', page))
    inside = set(re.findall(r'<label[^>]*><input [^>]*id="([\w-]+)"', page))
    for tag in inputs:
        name = re.search(r'id="([\w-]+)"', tag)[1]
        assert "aria-label" in tag or "aria-hidden" in tag or name in labelled | inside


def test_the_stages_of_the_script_are_those_of_the_server():
    script = (SOURCE / "src/progress.js").read_text()
    assert re.findall(r'^  \["([\w ]+)", ', script, re.MULTILINE) == ["finding faces", *STAGES]
