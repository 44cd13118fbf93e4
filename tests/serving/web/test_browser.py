"""The page in headless Chromium: photos come in, the head is drawn and moves, files come out.

Wants a Chromium on the path and the package playwright.
"""

import itertools
import json
import pathlib
import zipfile

import cv2
import numpy as np
import pytest
import trimesh
from PIL import Image
from web_browser import BINARY, DEMO, differ, drawn, launch, pixels, ready, set_slider
from web_pages import page_process

from serving.output.gltf_read import read_glb

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.serving,
    pytest.mark.skipif(BINARY is None, reason="no Chromium on the path"),
]
DESKTOP, PHONE = {"width": 1280, "height": 860}, {"width": 375, "height": 740}


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    with page_process(tmp_path_factory.mktemp("web")) as (address, _):
        yield address


@pytest.fixture(scope="module")
def camera_film(tmp_path_factory):
    """What the browser's camera sees: the demo photo."""
    photo = cv2.resize(cv2.imread(str(DEMO)), (640, 640))
    planes = cv2.cvtColor(photo, cv2.COLOR_BGR2YUV_I420).tobytes()
    path = tmp_path_factory.mktemp("camera") / "camera.y4m"
    path.write_bytes(b"YUV4MPEG2 W640 H640 F10:1 Ip A1:1 C420jpeg\n" + 3 * (b"FRAME\n" + planes))
    return path


@pytest.fixture(scope="module")
def browser(camera_film):
    with sync_api.sync_playwright() as playwright:
        started = launch(playwright.chromium, f"--use-file-for-fake-video-capture={camera_film}")
        yield started
        started.close()


@pytest.fixture
def open_page(browser, address):
    """A function that opens the page at a size; at the end nothing may have gone wrong in it."""
    contexts, problems, hosts = [], [], set()

    def open_at(viewport=DESKTOP, **options):
        contexts.append(browser.new_context(viewport=viewport, **options))
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("requestfinished", lambda request: hosts.add(request.url.split("/api")[0]))
        page.goto(address)
        return page

    yield open_at
    for context in contexts:
        context.close()
    assert problems == []
    assert all(host.startswith((address.rstrip("/"), "blob:")) for host in hosts), hosts


def test_a_head_is_drawn_and_turns(open_page):
    page = open_page()
    ready(page)
    front = pixels(page)
    assert front.std() > 25
    box = page.locator("#view").bounding_box()
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.move(*middle)
    page.mouse.down()
    page.mouse.move(middle[0] + 120, middle[1], steps=4)
    page.mouse.up()
    dragged = pixels(page)
    assert differ(front, dragged) > 0.05
    page.get_by_role("button", name="As photo").click()
    assert differ(front, pixels(page)) < 0.005
    page.get_by_role("button", name="Profile").click()
    assert differ(dragged, pixels(page)) > 0.05


def test_sliders_move_the_mesh_and_reset_brings_it_back(open_page):
    page = open_page()
    ready(page)
    before = pixels(page)
    page.fill("#search", "jaw open")
    visible = page.locator("#expression li:visible")
    assert visible.count() == 1 and "Jaw open" in visible.inner_text()
    set_slider(page, "#expression li:visible input", 1)
    opened = pixels(page)
    assert differ(before, opened) > 0.01
    set_slider(page, "#identity input >> nth=0", 3)
    assert differ(opened, pixels(page)) > 0.03
    page.fill("#search", "nothing like this")
    assert page.locator("#none").is_visible() and not visible.count()
    page.click("#reset")
    assert differ(before, pixels(page)) < 0.005


def test_both_sides_of_the_face_move_together_if_wanted(open_page):
    page = open_page()
    ready(page)
    page.check("#together")
    set_value = "#expression li:has-text('{}') input"
    set_slider(page, set_value.format("Eye blink left"), 0.6)
    set_slider(page, set_value.format("Eye look in left"), 0.9)
    set_slider(page, set_value.format("Jaw left"), 0.5)
    changed = page.locator("#expression li.edited label").all_inner_texts()
    assert changed == [
        "Eye blink left", "Eye blink right", "Eye look in left", "Eye look out right", "Jaw left",
    ]  # fmt: skip
    values = page.locator("#expression li.edited output").all_inner_texts()
    assert values == ["0.60", "0.60", "0.90", "0.90", "0.50"]


def test_the_iterations_can_be_scrubbed(open_page):
    page = open_page(reduced_motion="reduce")
    ready(page)
    result = pixels(page)
    values = page.locator("#identity output").all_inner_texts()
    set_slider(page, "#iteration", 0)
    assert differ(result, pixels(page)) > 0.03
    assert set(page.locator("#identity output").all_inner_texts()) == {"0.00"}
    assert "average face" in page.locator("#iteration-note").inner_text()
    set_slider(page, "#iteration", 4)
    assert "Iteration 3, the result" in page.locator("#iteration-note").inner_text()
    assert page.locator("#identity output").all_inner_texts() == values
    assert differ(result, pixels(page)) < 0.005
    page.click("#play")
    page.wait_for_function("() => document.getElementById('iteration').value === '4'")
    assert differ(result, pixels(page)) < 0.005


def test_a_drag_while_all_iterations_are_played_ends_that(open_page):
    page = open_page()
    ready(page)
    page.click("#play")
    set_slider(page, "#iteration", 2)
    for _ in range(6):  # the next iteration would come after 0.35 s
        page.wait_for_timeout(200)
        assert page.input_value("#iteration") == "2"
    assert "Iteration 1" in page.locator("#iteration-note").inner_text()


@pytest.fixture(scope="module")
def large_demo(tmp_path_factory):
    """The demo photo's face, large enough for wrinkles."""
    path = tmp_path_factory.mktemp("photo") / "large.png"
    face = Image.open(DEMO).crop((120, 10, 420, 310))
    face.resize((1200, 1200), Image.LANCZOS).save(path)
    return path


def test_surfaces_detail_wireframe_and_light_are_seen(open_page, large_demo):
    page = open_page()
    ready(page, large_demo)
    assert "detail, 52 ARKit morph targets" in page.locator("#files a >> nth=0").inner_text()
    looks = [pixels(page)]
    for mode in ("albedo", "clay", "shading"):
        page.locator(f"label:has(#{mode})").click()
        looks.append(pixels(page))
    assert min(differ(a, b) for a, b in itertools.pairwise(looks)) > 0.1
    assert np.ptp(looks[3], axis=-1).mean() < np.ptp(looks[0], axis=-1).mean()
    page.locator("label:has(#clay)").click()
    page.uncheck("#detail")
    smooth = pixels(page)
    assert differ(looks[2], smooth, by=3) > 0.005
    page.check("#wireframe")
    assert differ(smooth, pixels(page)) > 0.1
    page.uncheck("#wireframe")
    ball = page.locator("#light").bounding_box()
    page.mouse.click(ball["x"] + ball["width"] - 4, ball["y"] + ball["height"] / 2)
    assert differ(smooth, pixels(page)) > 0.1
    assert "from the right" in page.get_attribute("#light", "aria-valuetext")


def test_a_face_among_several_is_chosen_on_the_photo(open_page, tmp_path):
    demo = np.asarray(Image.open(DEMO))
    Image.fromarray(np.hstack([demo, demo[:, ::-1]])).save(tmp_path / "two.png")
    page = open_page()
    ready(page, tmp_path / "two.png")
    assert "2 faces" in page.locator("#faces-hint").inner_text()
    first, chosen = pixels(page), page.get_attribute("#view", "data-ready")
    page.get_by_role("button", name="Face 2 of 2").click()
    page.wait_for_function(
        "(before) => document.getElementById('view').dataset.ready !== before", arg=chosen
    )
    assert page.get_by_role("button", name="Face 2 of 2").get_attribute("aria-pressed") == "true"
    assert differ(first, pixels(page)) > 0.01


def test_downloads_parse(open_page, tmp_path):
    page = open_page()
    ready(page)
    files = {}
    for name in ("glb", "obj", "ply", "json", "png"):
        with page.expect_download() as caught:
            page.locator(f"#files a[href$='/{name}']").click()
        files[name] = tmp_path / caught.value.suggested_filename
        caught.value.save_as(files[name])
    count = len(read_glb(files["glb"]).vertices)
    assert Image.open(files["png"]).width > 500
    assert json.loads(files["json"].read_text())["mesh"]["vertices"] == count
    assert len(trimesh.load(files["ply"], process=False).vertices) == count
    zipfile.ZipFile(files["obj"]).extractall(tmp_path)
    assert len(trimesh.load(files["obj"].with_suffix(".obj"), process=False).faces) > count


def test_a_bad_file_is_refused_in_words_and_the_next_one_works(open_page, tmp_path):
    bad = tmp_path / "holiday.txt"
    bad.write_text("no picture")
    wall = tmp_path / "wall.png"
    Image.new("RGB", (300, 200), (90, 120, 90)).save(wall)
    page = open_page()
    page.set_input_files("#file", bad)
    alert = page.get_by_role("alert")
    alert.wait_for()
    assert "holiday.txt: not an image" in alert.inner_text()
    page.get_by_role("button", name="Close this message").click()
    assert not alert.is_visible()
    page.set_input_files("#file", wall)
    alert.wait_for()
    assert "wall.png: no face found" in alert.inner_text() and page.locator("#intro").is_visible()
    ready(page)
    assert not alert.is_visible() and pixels(page).std() > 25
    bad.write_bytes(b"x" * (32 * 2**20 + 1))
    page.set_input_files("#file", bad)
    alert.wait_for()
    assert "holiday.txt is larger than 32 MiB" in alert.inner_text()


TRANSFER = """async ([kind, bytes]) => {
  const data = new DataTransfer();
  data.items.add(new File([new Uint8Array(bytes)], 'photo.jpg', {type: 'image/jpeg'}));
  const event = kind === 'paste'
    ? new ClipboardEvent('paste', {clipboardData: data, bubbles: true})
    : new DragEvent('drop', {dataTransfer: data, bubbles: true, cancelable: true});
  document.body.dispatchEvent(event);
}"""


@pytest.mark.parametrize("kind", ["paste", "drop"])
def test_a_photo_is_pasted_or_dropped(open_page, kind):
    page = open_page()
    page.evaluate(TRANSFER, [kind, list(DEMO.read_bytes())])
    drawn(page)
    assert pixels(page).std() > 25


def test_a_photo_is_taken_by_the_camera(open_page):
    page = open_page(permissions=["camera"])
    page.get_by_role("button", name="Use the camera").click()
    page.get_by_role("button", name="Take the photo").click()
    drawn(page)
    assert page.evaluate("document.getElementById('video').srcObject") is None


def test_without_webgl_it_is_said_and_files_are_there(browser, address):
    without = launch(browser.browser_type, "--disable-3d-apis")
    page = without.new_page()
    page.goto(address)
    ready(page)
    assert page.get_by_text("This browser shows no 3D").is_visible()
    assert page.locator("#files a").count() == 5
    without.close()


def test_without_a_camera_it_is_said(open_page):
    page = open_page()
    page.evaluate(
        "() => { navigator.mediaDevices.getUserMedia = "
        "async () => { throw new DOMException('', 'NotFoundError'); }; }"
    )
    page.get_by_role("button", name="Use the camera").click()
    page.get_by_text("No camera was found.").wait_for()


def test_the_keyboard_alone_is_enough(open_page):
    page = open_page()
    page.on("filechooser", lambda _: None)  # from now on, so that it is caught under load, too
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "choose"
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files(DEMO)
    drawn(page)
    assert page.evaluate("document.activeElement.id") == "view"
    before = pixels(page)
    page.keyboard.press("ArrowLeft")
    turned = pixels(page)
    assert differ(before, turned) > 0.01
    page.keyboard.press("+")
    assert differ(turned, pixels(page)) > 0.02
    reached = walk(page, 40)
    wanted = ["light", "photo-view", "texture", "wireframe", "play", "iteration", "search"]
    assert [name for name in reached if name in wanted] == wanted
    assert {"/files/glb", "/files/json"} <= {name[-len("/files/glb") :] for name in reached} | {
        name[-len("/files/json") :] for name in reached
    }


def walk(page, steps):
    """What Tab reaches: ids, or where links lead. Each shows that it has the focus."""
    page.locator("#view").focus()
    reached = []
    for _ in range(steps):
        page.keyboard.press("Tab")
        name, ring = page.evaluate(
            """() => {
                const it = document.activeElement;
                const seen = it.type === 'radio' ? it.nextElementSibling : it;
                const name = it.id || it.getAttribute('href') || '';
                return [name, getComputedStyle(seen).outlineStyle];
            }"""
        )
        assert ring != "none", name
        reached.append(name)
    return reached


def test_controls_work_by_keys(open_page):
    page = open_page(reduced_motion="reduce")
    ready(page)
    before = pixels(page)
    page.locator("#light").focus()
    for _ in range(6):
        page.keyboard.press("ArrowRight")
    lit = pixels(page)
    assert differ(before, lit) > 0.05
    page.locator("#texture").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert page.locator("#clay").is_checked() and differ(lit, pixels(page)) > 0.1
    page.locator("#iteration").focus()
    page.keyboard.press("Home")
    assert "average face" in page.get_attribute("#iteration", "aria-valuetext")
    page.locator("#wireframe").focus()
    page.keyboard.press("Space")
    assert page.locator("#wireframe").is_checked()
    for key in ("Delete", "Backspace"):
        page.locator("#identity input >> nth=0").focus()
        page.keyboard.press("ArrowRight")
        page.locator("#identity input >> nth=1").focus()
        page.keyboard.press("ArrowRight")
        assert page.locator("#identity li.edited").count() == 2
        page.keyboard.press(key)
        assert page.locator("#identity li.edited").count() == 1


def test_a_phone_shows_everything_without_scrolling_sideways(open_page):
    page = open_page(PHONE, has_touch=True, is_mobile=True)
    wide = "document.documentElement.scrollWidth"
    assert page.evaluate(wide) == PHONE["width"]
    ready(page)
    assert page.evaluate(wide) == PHONE["width"]
    assert pixels(page).std() > 25
    for name in ("#light", "#play", "#iteration", "#reset", "#search", "#files a >> nth=0"):
        box = page.locator(name).bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= PHONE["width"], name
    page.locator("#identity input >> nth=0").scroll_into_view_if_needed()
    assert page.locator("#canvas").bounding_box()["y"] >= 0  # still in view above the sliders


def test_leaving_the_page_forgets_the_photo(open_page, address):
    page = open_page()
    ready(page)
    photo = page.get_attribute("#view", "data-ready").split("/")[0]
    path = f"{address}api/photos/{photo}/preview.jpg"
    assert page.request.get(path).status == 200
    page.get_by_role("button", name="Forget").click()
    page.locator("#intro").wait_for()
    assert page.request.get(path).status == 404


def test_the_page_follows_the_colours_of_the_system(open_page):
    grounds = {
        scheme: open_page(color_scheme=scheme).evaluate(
            "getComputedStyle(document.body).backgroundColor"
        )
        for scheme in ("light", "dark")
    }
    light, dark = (sum(map(int, grounds[name][4:-1].split(","))) for name in ("light", "dark"))
    assert light > 600 and dark < 120


def test_no_script_of_elsewhere_runs(open_page):
    page = open_page()
    said = page.evaluate(
        """() => new Promise((done) => {
            document.addEventListener('securitypolicyviolation', (event) => done(event.blockedURI));
            document.body.append(Object.assign(new Image(), {src: 'http://192.0.2.1/x.png'}));
        })"""
    )
    assert pathlib.PurePosixPath(said).name in ("x.png", "192.0.2.1")
