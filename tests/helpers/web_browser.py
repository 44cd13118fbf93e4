"""Headless Chromium on the page: how it is started, and what is seen and done in it."""

import io
import shutil

import numpy as np
from PIL import Image
from web_pages import ROOT

BINARY = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)
DEMO = ROOT / "docs/images/demo.jpg"
READY_MS = 120_000
SWITCHES = [
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
]


def launch(chromium, *switches):
    """Starts the browser."""
    return chromium.launch(executable_path=BINARY, args=[*SWITCHES, *switches])


def ready(page, photo=DEMO):
    """Sends a photo and waits until its head is drawn; nothing has the focus then."""
    page.set_input_files("#file", photo)
    drawn(page)
    page.evaluate("() => document.activeElement.blur()")


def drawn(page):
    """Waits for the first head."""
    page.wait_for_selector("#view[data-ready]", timeout=READY_MS)


def pixels(page):
    """What the canvas shows, once it has been drawn: uint8 [H, W, 3]."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 60)))")
    shot = page.locator("#canvas").screenshot(animations="disabled")
    return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB")).astype(int)


def differ(one, other, *, by=12):
    """Share of pixels that changed by more than so many grey levels."""
    return float((np.abs(one - other).max(-1) > by).mean())


def set_slider(page, selector, value):
    """Drags a slider."""
    page.locator(selector).evaluate(
        "(input, value) => { input.value = value; input.dispatchEvent(new Event('input')); }", value
    )
