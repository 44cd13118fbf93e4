"""The names that `serving` itself offers."""

import ast
import pathlib

import pytest

import serving
from components.code_digest import source_files
from serving import client, images, reconstructor


def test_the_door_gives_what_the_modules_define():
    from serving import Reconstruction, Reconstructor, RemoteModel, read_photo

    assert Reconstruction is reconstructor.Reconstruction
    assert Reconstructor is reconstructor.Reconstructor
    assert RemoteModel is client.RemoteModel
    assert read_photo is images.read_photo


def test_every_name_is_listed_and_typed():
    stub = ast.parse(pathlib.Path(serving.__file__).with_suffix(".pyi").read_text())
    typed = {alias.asname for node in stub.body for alias in node.names}
    assert typed == set(serving.__all__)
    assert set(serving.__all__) <= set(dir(serving))


def test_other_names_are_unknown():
    with pytest.raises(AttributeError, match="module 'serving' has no attribute 'Reconstructer'"):
        serving.Reconstructer  # noqa: B018


def test_the_server_does_not_depend_on_the_whole_door():
    names = {path.name for path in source_files("pipeline.commands.serve")}
    assert "versions.py" in names
    assert not {"reconstructor.py", "client.py", "images.py"} & names
