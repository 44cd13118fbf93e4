"""Servers of the page: with a workshop that takes no time, and as a process."""

import contextlib
import io
import json
import os
import pathlib
import re
import struct
import subprocess
import sys
import threading
import time

import httpx
import numpy as np
from PIL import Image
from textured_meshes import tiny_head

from serving.detection.detector import DetectedFace
from serving.output import wavefront
from serving.output.image_files import encode_jpeg
from serving.web.head_data import pack_face
from serving.web.server import WebServer
from serving.web.studio import Studio
from serving.web.workshop import RECONSTRUCTING, MadeHead

ROOT = pathlib.Path(__file__).resolve().parents[2]
PATIENCE_S = 120
FACTS = {
    "yaw_deg": 1.0,
    "pitch_deg": 2.0,
    "roll_deg": 3.0,
    "face_px": 40,
    "vertices": 400,
    "triangles": 700,
    "targets": 0,
    "milliseconds": 5,
}


def picture(seed=0, size=40, form="PNG"):
    """The bytes of an image file of noise."""
    pixels = np.random.default_rng(seed).integers(0, 255, (size, size, 3)).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form)
    return file.getvalue()


class TinyWorkshop:
    """Finds two faces wherever a photo is not of one colour; their heads are the tiny face model's.

    Attributes:
      looking: Set when faces of a photo are looked for.
      go_on: All work waits while it is not set.
      error: Raised in place of a head.
      made: Number of heads made.
      encoded: Formats that files were asked for in.
    """

    def __init__(self):
        self.looking, self.go_on = threading.Event(), threading.Event()
        self.go_on.set()
        self.encoded = []
        self.error = None
        self.made = 0

    def find_faces(self, photo):
        self.looking.set()
        assert self.go_on.wait(PATIENCE_S)
        corners = np.float32([[2, 3], [10, 12]])
        return [DetectedFace(corners, 0.9), DetectedFace(corners + 4, 0.8)] if np.ptp(photo) else []

    def smallest_face_px(self, photo):
        return 24.0

    def make(self, photo, face, *, name, stage):
        stage(RECONSTRUCTING)
        assert self.go_on.wait(PATIENCE_S)
        self.made += 1
        if self.error:
            raise self.error
        mesh = tiny_head()
        files = {**wavefront.encode_obj(mesh, stem=name), "json": b"{}"}
        texture = np.full_like(mesh.texture, 60 if name.endswith("_0") else 200)
        images = {"texture": encode_jpeg(texture)}

        def encode(form):
            self.encoded.append(form)
            return files

        return MadeHead(pack_face(mesh), images, ("small_face",), FACTS, encode)


@contextlib.contextmanager
def tiny_server(limits=None):
    """A server of the page in this process; gives its address, its studio and its workshop."""
    workshop = TinyWorkshop()
    studio = Studio(workshop, limits)
    server = WebServer(studio, host="127.0.0.1", port=0)
    server.start()
    try:
        yield server.url, studio, workshop
    finally:
        workshop.go_on.set()
        server.stop(1)


@contextlib.contextmanager
def tiny_page(limits=None):
    """A client of such a server, and its workshop."""
    with (
        tiny_server(limits) as (url, _, workshop),
        httpx.Client(base_url=url, trust_env=False, timeout=PATIENCE_S) as client,
    ):
        yield client, workshop


@contextlib.contextmanager
def page_process(folder, *options, **variables):
    """`facerelief web` with a folder to work in; gives its address and the process."""
    log = folder / "web.log"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **variables}
    command = [sys.executable, "-m", "pipeline.cli", "web", "--port", "0", "--no-open", *options]
    with log.open("w") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, cwd=folder, env=environment
        )
    try:
        yield _address(process, log), process
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def _address(process, log):
    ends = time.monotonic() + PATIENCE_S
    while not (found := re.search(r"http://\S+", log.read_text())):
        assert process.poll() is None and time.monotonic() < ends, log.read_text()
        time.sleep(0.1)
    return found[0]


def wait_for(client, path):
    """The progress of a head once it has ended."""
    ends = time.monotonic() + PATIENCE_S
    while True:
        progress = client.get(path).json()
        if progress["done"] or progress["error"]:
            return progress
        assert time.monotonic() < ends, progress
        time.sleep(0.02)


def unpack(content):
    """Facts and arrays of head.bin, as the page's api.js reads them."""
    (length,) = struct.unpack("<I", content[:4])
    header = json.loads(content[4 : 4 + length])
    arrays = {}
    for name, entry in header["arrays"].items():
        begin = 4 + length + entry["offset"]
        assert begin % np.dtype(entry["type"]).itemsize == 0
        count = int(np.prod(entry["shape"]))
        flat = np.frombuffer(content, np.dtype(entry["type"]).newbyteorder("<"), count, begin)
        arrays[name] = flat.reshape(entry["shape"])
    return header["facts"], arrays
