"""POST /v1/reconstruct: a photo in, the face that the command makes out, and what is refused."""

import concurrent.futures
import io
import json
import pathlib
import threading

import grpc
import httpx
import numpy as np
import pytest
from model_servers import rest_running
from PIL import Image

from serving.heads import HeadMaker
from serving.images import read_photo
from serving.model_store import default_model_dir
from serving.output.gltf_read import read_glb
from serving.reconstructor import Reconstructor
from serving.server.call import InProcessContext
from serving.server.http_status import HttpError
from serving.server.reconstruction import PhotoQuery, Turns
from serving.server.status import ServingError

DEMO = pathlib.Path("docs/images/demo.jpg")
CODE = grpc.StatusCode


def test_queries_are_read():
    assert PhotoQuery.read({}) == PhotoQuery("json", 0)
    assert PhotoQuery.read({"format": "glb", "face": "12"}) == PhotoQuery("glb", 12)


BAD_QUERIES = [{"x": "1"}, {"format": "obj"}, {"format": ""}, {"face": "-1"}, {"face": "1.0"}]


@pytest.mark.parametrize("query", [*BAD_QUERIES, {"face": ""}, {"face": "9" * 99}, {"face": "²"}])
def test_other_queries_are_refused(query):
    with pytest.raises(HttpError) as caught:
        PhotoQuery.read(query)
    assert caught.value.status == 400 and caught.value.message


def refusal(turns, context):
    with pytest.raises(ServingError) as caught, turns.take(context):
        pass
    return caught.value.code


def test_one_works_at_a_time_and_few_wait():
    turns, entered, leave = Turns(1), threading.Event(), threading.Event()
    log = []

    def work(name):
        with turns.take(InProcessContext(60)):
            log.append(f"{name} begins")
            entered.set()
            assert leave.wait(60)
            log.append(f"{name} ends")

    with concurrent.futures.ThreadPoolExecutor(2) as threads:
        first = threads.submit(work, "a")
        assert entered.wait(60)
        assert refusal(turns, InProcessContext(0.01)) is CODE.DEADLINE_EXCEEDED
        second = threads.submit(work, "b")
        while turns._places._value:
            pass
        assert refusal(turns, InProcessContext(60)) is CODE.UNAVAILABLE
        leave.set()
        first.result(), second.result()
    assert log == ["a begins", "a ends", "b begins", "b ends"]
    gone = InProcessContext(60)
    gone.cancel()
    assert refusal(turns, gone) is CODE.CANCELLED
    with turns.take(InProcessContext(60)):  # what was refused holds no place
        pass


@pytest.fixture(scope="module")
def model_dir():
    """The shipped model."""
    return default_model_dir()


@pytest.fixture(scope="module")
def post(model_dir, tmp_path_factory):
    """A function that posts a photo to a server process."""
    work = tmp_path_factory.mktemp("server")
    options = ("--reconstruct", "--rest-max-mib", "1")
    client = httpx.Client(trust_env=False, timeout=120)
    with rest_running(model_dir, work, *options) as address, client:

        def send(content, **query):
            url = f"http://{address}/v1/reconstruct"
            return client.post(url, content=content, params=query)

        send.log = work / "server.log"
        yield send


@pytest.fixture(scope="module")
def expected(model_dir):
    photo = read_photo(DEMO)
    with Reconstructor(model_dir) as reconstructor:
        (face,) = reconstructor.reconstruct(photo)
        yield face, HeadMaker.load().make(photo, face)


def image_bytes(image, kind="PNG", **options):
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind, **options)
    return file.getvalue()


@pytest.mark.serving
def test_a_photo_becomes_the_description_of_its_face(post, expected):
    face, head = expected
    answer = post(DEMO.read_bytes())
    assert answer.status_code == 200 and answer.headers["content-type"] == "application/json"
    said = answer.json()
    assert said["format"] == "facerelief-face/1" and said["photo"]["width"] == 512
    np.testing.assert_allclose(list(said["coefficients"].values()), face.coefficients, atol=1e-4)
    np.testing.assert_allclose(said["landmarks_68_px"], face.landmarks_68_px, atol=1e-2)
    assert said["mesh"]["vertices"] == len(head.mesh.vertices)
    assert said["quality"]["flags"] == [*face.flags, *head.flags]


@pytest.mark.serving
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_a_photo_of_any_format_becomes_a_head(post, expected, tmp_path, kind):
    options = {"lossless": True} if kind == "WEBP" else {}
    answer = post(image_bytes(read_photo(DEMO), kind, **options), format="glb")
    assert answer.status_code == 200 and answer.headers["content-type"] == "model/gltf-binary"
    path = tmp_path / "head.glb"
    path.write_bytes(answer.content)
    vertices = read_glb(path).vertices
    np.testing.assert_allclose(vertices, expected[1].mesh.vertices, atol=1e-2)


def refused(name):
    """Contents and query of requests that are refused, and with which status."""
    photo = read_photo(DEMO)
    flat = np.full((200, 200, 3), 90, np.uint8)
    return {
        "no image": (b"junk", {}, 415),
        "nothing": (b"", {}, 415),
        "a program": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n", {}, 415),
        "a form": (b"--x\r\nContent-Disposition: form-data\r\n\r\n" + b"x" * 99, {}, 415),
        "too many bytes": (b"x" * (2**20 + 1), {}, 413),
        "too many pixels": (image_bytes(np.zeros((9000, 9000), np.uint8)), {}, 413),
        "damaged": (image_bytes(photo)[:5000], {}, 422),
        "too small": (image_bytes(flat[:9, :9]), {}, 422),
        "no face": (image_bytes(flat), {}, 422),
        "no second face": (DEMO.read_bytes(), {"face": 1}, 422),
        "unknown format": (DEMO.read_bytes(), {"format": "obj"}, 400),
    }[name]


REFUSED = ["no image", "nothing", "a program", "a form", "too many bytes", "too many pixels"]
REFUSED += ["damaged", "too small", "no face", "no second face", "unknown format"]


@pytest.mark.serving
@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_used_is_refused_in_words(post, name):
    content, query, status = refused(name)
    answer = post(content, **query)
    assert answer.status_code == status
    assert len(answer.json()["error"]) > 15 and "Traceback" not in post.log.read_text()


@pytest.mark.serving
def test_photos_at_once_get_their_own_answers(post):
    photo = read_photo(DEMO)
    photos = [photo, photo[:, ::-1], photo[:400]]
    alone = [post(image_bytes(image)).json() for image in photos]
    with concurrent.futures.ThreadPoolExecutor(3) as threads:
        together = [one.json() for one in threads.map(post, map(image_bytes, photos))]
    assert together == alone
    assert len({json.dumps(one["coefficients"]) for one in alone}) == 3
