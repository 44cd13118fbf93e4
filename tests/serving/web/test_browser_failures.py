"""The page in headless Chromium when something comes late, fails or is pressed twice.

Its server has a workshop that takes no time. Wants a Chromium on the path and playwright.
"""

import json

import pytest
from web_browser import BINARY, differ, launch, pixels, ready
from web_pages import picture, tiny_server

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.serving,
    pytest.mark.skipif(BINARY is None, reason="no Chromium on the path"),
]


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        started = launch(playwright.chromium)
        yield started
        started.close()


@pytest.fixture
def server():
    with tiny_server() as parts:
        yield parts


@pytest.fixture
def page(browser, server):
    context = browser.new_context(permissions=["camera"], reduced_motion="reduce")
    problems = []
    page = context.new_page()
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(server[0])
    yield page
    context.close()
    assert problems == []


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "two.png"
    path.write_bytes(picture(size=60))
    return path


def face(page, number):
    return page.get_by_role("button", name=f"Face {number} of 2")


def pressed(page):
    """Number of the face whose button is pressed."""
    return page.locator("#boxes [aria-pressed=true]").get_attribute("aria-label").split()[1]


def shows(page, number):
    page.wait_for_selector(f"#view[data-ready$='/{number - 1}']")


def alert(page, words):
    page.get_by_role("alert").filter(has_text=words).wait_for()


def test_the_face_clicked_last_stays_though_another_comes_later(page, photo):
    ready(page, photo)
    first = pixels(page)
    face(page, 2).click()
    shows(page, 2)
    second, late = pixels(page), []
    assert differ(first, second) > 0.1
    page.route("**/faces/0/texture.jpg", lambda route: late.append(route))
    with page.expect_request("**/faces/0/texture.jpg"):
        face(page, 1).click()
    with page.expect_response("**/faces/1/texture.jpg"):
        face(page, 2).click()
    page.wait_for_timeout(100)
    with page.expect_response("**/faces/0/texture.jpg"):
        late[0].continue_()
    page.wait_for_timeout(300)
    shows(page, 2)
    assert pressed(page) == "2" and differ(second, pixels(page)) < 0.005


LOST = {
    "gone": ({"status": 404, "body": '{"error": "it is gone"}'}, "it is gone"),
    "junk": ({"status": 200, "body": "junk"}, "cannot read an image"),
    "cut off": (None, "The server does not answer"),
}


@pytest.mark.parametrize("kind", LOST)
def test_a_lost_map_is_said_and_the_head_before_stays(page, photo, kind):
    ready(page, photo)
    before = pixels(page)
    answer, words = LOST[kind]
    page.route(
        "**/faces/1/texture.jpg",
        lambda route: route.fulfill(**answer) if answer else route.abort(),
    )
    face(page, 2).click()
    alert(page, words)
    shows(page, 1)
    assert pressed(page) == "1" and differ(before, pixels(page)) < 0.005


def test_a_face_without_head_or_detail_takes_the_room_and_offers_none(page, photo):
    ready(page, photo)
    assert page.locator("#detail").is_disabled() and not page.locator("#detail").is_checked()
    assert page.locator("#morphs").is_hidden()
    stage = page.locator(".stage").bounding_box()
    empty = page.viewport_size["width"] - stage["x"] - stage["width"]
    assert empty < 40


def test_a_face_or_photo_that_fails_leaves_the_one_before(page, photo, server):
    _, studio, workshop = server
    ready(page, photo)
    workshop.error = ConnectionError("the model server does not answer")
    face(page, 2).click()
    alert(page, "the model server does not answer")
    assert pressed(page) == "1"
    with page.expect_request(lambda request: request.method == "DELETE"):
        page.set_input_files("#file", photo)
    alert(page, "the model server does not answer")
    with page.expect_download() as caught:
        page.locator("#files a[href$='/json']").click()
    assert json.loads(caught.value.path().read_text()) == {} and len(studio.kept) == 1
    assert caught.value.suggested_filename == "two_0.json"


def test_a_download_that_fails_is_said(page, photo, server):
    ready(page, photo)
    assert page.locator("#files a >> nth=0").inner_text().split("\n")[-1] == "glTF: texture"
    shown = page.get_attribute("#view", "data-ready").split("/")[0]
    server[1].kept.forget(shown)
    page.locator("#files a[href$='/glb']").click()
    alert(page, "this photo is no longer kept; send it again")
    assert page.url == server[0]


def test_an_open_page_keeps_its_photo_in_use(page, photo):
    page.clock.install()
    page.reload()
    ready(page, photo)
    shown = page.get_attribute("#view", "data-ready").replace("/", "/faces/")
    with page.expect_request(f"**/api/photos/{shown}") as caught:
        page.clock.fast_forward("08:00")
    assert caught.value.method == "GET" and caught.value.response().ok


def test_progress_is_read_aloud_once(page, photo, server):
    ready(page, photo)
    server[2].go_on.clear()
    face(page, 2).click()
    page.get_by_text("Reconstructing …").wait_for(state="attached")
    changes = page.evaluate(
        """() => new Promise((done) => {
            let changes = 0;
            const observer = new MutationObserver((records) => { changes += records.length; });
            for (const id of ["status", "stages"]) {
              const options = {childList: true, characterData: true, subtree: true};
              observer.observe(document.getElementById(id), options);
            }
            setTimeout(() => done(changes), 700);
        })"""
    )
    server[2].go_on.set()
    shows(page, 2)
    assert changes == 0


def test_the_camera_is_asked_for_once(page):
    page.evaluate(
        """() => {
            const real = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
            window.streams = [];
            navigator.mediaDevices.getUserMedia = async (wanted) => {
              await new Promise((allow) => { window.allow = allow; });
              window.streams.push(await real(wanted));
              return window.streams.at(-1);
            };
        }"""
    )
    button = page.get_by_role("button", name="Use the camera")
    button.click()
    assert button.is_disabled()
    button.dispatch_event("click")
    page.evaluate("() => window.allow()")
    page.get_by_role("button", name="Cancel").click()
    page.wait_for_function("() => window.streams.every((stream) => !stream.active)")
    assert page.evaluate("() => window.streams.length") == 1 and button.is_enabled()


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ("HTMLVideoElement.prototype.play = async () => { throw new Error(); }", "cannot be used"),
        ("HTMLCanvasElement.prototype.toBlob = (done) => done(null)", "The camera gave no image"),
    ],
)
def test_a_camera_that_fails_is_said_and_stopped(page, broken, words):
    page.evaluate(
        """(broken) => {
            const real = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
            navigator.mediaDevices.getUserMedia = async (wanted) => {
              window.stream = await real(wanted);
              return window.stream;
            };
            new Function(broken)();
        }""",
        broken,
    )
    page.get_by_role("button", name="Use the camera").click()
    if "toBlob" in broken:
        page.get_by_role("button", name="Take the photo").click()
    alert(page, words)
    page.wait_for_function("() => !window.stream.active")
    assert page.get_by_role("button", name="Use the camera").is_enabled()


def test_pasted_text_is_refused_but_not_in_a_field(page):
    paste = """(selector) => {
        const data = new DataTransfer();
        data.setData("text/plain", "words");
        const event = new ClipboardEvent("paste", {clipboardData: data, bubbles: true});
        document.querySelector(selector).dispatchEvent(event);
    }"""
    page.evaluate(paste, "#search")
    assert page.get_by_role("alert").count() == 0
    page.evaluate(paste, "body")
    alert(page, "What was pasted is no image")


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({}, "Runs on this machine: nothing leaves it."),
        ({"loopback": False}, "Your photo travels to 127.0.0.1:PORT, unencrypted."),
        ({"model_server": "gpu.lan:8500"}, "goes on to the model server gpu.lan:8500."),
    ],
)
def test_privacy_is_told_as_it_is(page, server, facts, words):
    def changed(route):
        answer = route.fetch()
        route.fulfill(response=answer, json={**answer.json(), **facts})

    page.route("**/api/about", changed)
    page.reload()
    said = page.locator("#privacy")
    said.filter(has_text="at most 30 minutes after their last use").wait_for()
    port = server[0].rstrip("/").rpartition(":")[2]
    assert words.replace("PORT", port) in said.inner_text()
    assert ("nothing leaves" in said.inner_text()) == (facts == {})
