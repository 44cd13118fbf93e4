"""The page's HTTP interface on a real server, with a workshop that takes no time."""

import io
import json
import re
import socket
import zipfile
from urllib.parse import quote

import httpx
import pytest
from PIL import Image
from textured_meshes import tiny_head
from web_pages import picture, tiny_page, tiny_server, wait_for

from serving.web.app import PAGE
from serving.web.guard import HEADERS, refusal
from serving.web.server import page_url
from serving.web.studio import Limits


@pytest.fixture(scope="module")
def page():
    with tiny_page() as (client, _):
        yield client


@pytest.fixture(scope="module")
def face(page):
    """The path of a face whose head is there."""
    sent = page.post("/api/photos", params={"name": "anna.png"}, content=picture())
    assert sent.status_code == 201
    path = f"/api/photos/{sent.json()['photo']}/faces/0"
    assert page.post(path).status_code == 202
    assert wait_for(page, path)["done"]
    return path


def test_a_photo_becomes_a_head(page, face):
    progress = page.get(face).json()
    assert progress["flags"] == ["small_face"] and progress["words"][0].startswith("The face is")
    assert progress["images"] == ["texture"] and progress["error"] is None
    texture = Image.open(io.BytesIO(page.get(face + "/texture.jpg").content))
    assert texture.format == "JPEG" and texture.size == tiny_head().texture.shape[1::-1]
    assert len(page.get(face + "/head.bin").content) > 10_000


def test_boxes_are_those_of_the_photo(page):
    sent = page.post("/api/photos", content=picture(size=50)).json()
    assert (sent["width"], sent["height"], len(sent["faces"])) == (50, 50, 2)
    assert sent["faces"][0]["box"] == [2, 3, 10, 12]
    preview = page.get(f"/api/photos/{sent['photo']}/preview.jpg")
    assert preview.headers["content-type"] == "image/jpeg"
    assert page.delete(f"/api/photos/{sent['photo']}").status_code == 204
    assert page.get(f"/api/photos/{sent['photo']}/preview.jpg").status_code == 404


def test_files_are_downloads(page, face):
    answer = page.get(face + "/files/obj")
    assert answer.headers["content-disposition"] == 'attachment; filename="anna_0.zip"'
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    assert archive.namelist() == ["anna_0.obj", "anna_0.mtl", "anna_0.texture.jpg"]
    assert b"mtllib anna_0.mtl" in archive.read("anna_0.obj")
    assert page.get(face + "/files/json").json() == {}


def test_names_of_other_alphabets_arrive_and_folders_do_not(page):
    sent = page.post("/api/photos", params={"name": "C:\\x\\Анна (1)\n.jpg"}, content=picture())
    assert sent.json()["name"] == "Анна_1"
    path = f"/api/photos/{sent.json()['photo']}/faces/1"
    page.post(path)
    assert wait_for(page, path)["done"]
    answer = page.get(path + "/files/json")
    said = answer.headers["content-disposition"]
    assert said == f"attachment; filename*=UTF-8''{quote('Анна_1_1.json')}"
    assert page.get(path + "/files/obj").headers["content-type"] == "application/zip"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/photos/none/preview.jpg", 404),
        ("POST", "/api/photos/none/faces/0", 404),
        ("GET", "/api/other", 404),
        ("GET", "/%2e%2e/app.py", 404),
        ("GET", "/%2e%2e%2fapp.py", 404),
        ("GET", "/api/photos", 405),
        ("POST", "/", 405),
        ("GET", "FACE/normals.jpg", 404),
        ("GET", "FACE/files/exe", 404),
    ],
)
def test_what_is_not_there_is_said_in_json(page, face, method, path, status):
    answer = page.request(method, path.replace("FACE", face))
    assert answer.status_code == status and len(answer.json()["error"]) > 5


def test_what_was_not_asked_for_or_is_not_ready_is_said():
    with tiny_page() as (client, workshop):
        photo = client.post("/api/photos", content=picture()).json()["photo"]
        face = f"/api/photos/{photo}/faces/1"
        assert client.get(face).status_code == 404
        workshop.go_on.clear()
        client.post(face)
        assert client.get(face + "/head.bin").status_code == 409
        assert client.get(face).json()["done"] is False


def test_large_bodies_are_refused(page):
    answer = page.post("/api/photos", content=b"x" * (32 * 2**20 + 1))
    assert answer.status_code == 413 and "32 MiB" in answer.json()["error"]


def test_the_name_of_a_file_is_shown_without_what_is_not_text(page):
    answer = page.post("/api/photos", params={"name": "a\x1b[31m\n<b>.txt"}, content=b"junk")
    assert answer.json()["error"].startswith("a[31m<b>.txt: not an image")


@pytest.mark.parametrize("path", ["/", "/page.js", "/api/about", "/api/nothing"])
def test_every_answer_forbids_what_comes_from_elsewhere(page, path):
    answer = page.get(path)
    for name, value in HEADERS.items():
        assert answer.headers[name] == value
    assert "default-src 'self'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("headers", "loopback", "allowed"),
    [
        ({"host": "127.0.0.1:8600"}, True, True),
        ({"host": "localhost:9000", "origin": "http://localhost:9000"}, True, True),
        ({"host": "[::1]:8600", "origin": "http://[::1]:8600"}, True, True),
        ({"host": "evil.example:8600"}, True, False),
        ({"host": "127.0.0.1.evil.example"}, True, False),
        ({"host": "[::1"}, True, False),
        ({}, True, False),
        ({"host": "127.0.0.1:8600", "origin": "http://evil.example"}, True, False),
        ({"host": "127.0.0.1:8600", "origin": "http://127.0.0.1:3000"}, True, False),
        ({"host": "127.0.0.1:8600", "origin": "null"}, True, False),
        ({"host": "studio.lan:8600", "origin": "http://studio.lan:8600"}, False, True),
        ({"host": "studio.lan:8600", "origin": "http://evil.example"}, False, False),
    ],
)
def test_other_sites_are_refused(headers, loopback, allowed):
    given = [(name.encode(), value.encode()) for name, value in headers.items()]
    assert (refusal(given, loopback=loopback) is None) == allowed


def test_a_name_that_points_here_is_refused_by_the_server(page):
    answer = page.get("/api/about", headers={"host": "evil.example"})
    assert answer.status_code == 403 and "evil.example" in answer.json()["error"]
    for origin in ("null", "http://evil.example"):
        answer = page.post("/api/photos", headers={"origin": origin}, content=picture())
        assert answer.status_code == 403 and origin in answer.json()["error"]


def test_a_path_that_climbs_is_not_followed(page):
    with socket.create_connection((page.base_url.host, page.base_url.port)) as connection:
        host = page.base_url.netloc.decode()
        request = f"GET /../app.py HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n"
        connection.sendall(request.encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 404 ") and b"Starlette" not in answer


def test_a_photo_whose_sender_has_gone_is_dropped():
    with (
        tiny_server() as (url, studio, workshop),
        httpx.Client(base_url=url, trust_env=False) as client,
    ):
        workshop.go_on.clear()
        with sent(client.base_url, picture()):
            assert workshop.looking.wait(60)
        for _ in range(2):  # then the server knows who has gone
            client.get("/api/about")
        workshop.go_on.set()
        last = studio.open(picture(1), name="x").result(60)
        assert any(len(studio.kept) == 1 for _ in range(200) if client.get("/api/about"))
        assert studio.kept.photo(last)


def sent(url, content):
    """A connection on which a photo was sent; it may be left before the answer is read."""
    connection = socket.create_connection((url.host, url.port))
    head = f"POST /api/photos HTTP/1.1\r\nhost: {url.netloc.decode()}\r\n"
    connection.sendall(f"{head}content-length: {len(content)}\r\n\r\n".encode() + content)
    return connection


def test_a_full_queue_is_said_before_a_photo_is_kept():
    with tiny_server(Limits(waiting=1)) as (url, studio, _):
        with httpx.Client(base_url=url, trust_env=False) as client, studio.arriving():
            answer = client.post("/api/photos", content=b"x" * 5_000_000)
            assert answer.status_code == 503 and "too many photos" in answer.json()["error"]
        assert httpx.post(f"{url}api/photos", content=picture(), trust_env=False).is_success


def test_pages_and_styles_name_nothing_elsewhere():
    for name in ("index.html", "page.css"):
        assert re.findall(r"(?:https?:)?//[\w.]+", (PAGE / name).read_text()) == []


def test_about_says_what_the_page_shows(page):
    about = json.loads(page.get("/api/about").content)
    assert about["model_server"] is None and about["loopback"] is True
    assert about["limits"] == {"mib": 32, "megapixels": 50, "minutes": 30}


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8600/"),
        ("localhost", "http://localhost:8600/"),
        ("::1", "http://[::1]:8600/"),
    ],
)
def test_only_numbers_of_ipv6_are_in_brackets(host, url):
    assert page_url(host, 8600) == url
