"""Pages in headless Chromium, from disk or from a server."""

from __future__ import annotations

import base64
import contextlib
import shutil

import numpy as np
import pytest

#: Records all that a partita.Engine plays.
_RECORD = """
async (engine) => {
  const context = engine._open();
  const code = `registerProcessor("record", class extends AudioWorkletProcessor {
    process([[left, right]]) {
      if (left) this.port.postMessage([left, right || left]);
      return true;
    }
  });`;
  await context.audioWorklet.addModule("data:text/javascript," + encodeURIComponent(code));
  const options = { numberOfOutputs: 0, channelCount: 2, channelCountMode: "explicit" };
  const tap = new AudioWorkletNode(context, "record", options);
  window.record = [];
  tap.port.onmessage = (event) => window.record.push(event.data);
  engine.output.connect(tap);
}
"""
_COLLECT = """
() => {
  const blocks = window.record.splice(0);
  const all = new Float32Array(256 * blocks.length);
  blocks.forEach(([left, right], n) => { all.set(left, 256 * n); all.set(right, 256 * n + 128); });
  const bytes = new Uint8Array(all.buffer);
  let text = "";
  for (let i = 0; i < bytes.length; i += 8192) {
    text += String.fromCharCode(...bytes.subarray(i, i + 8192));
  }
  return btoa(text);
}
"""


def chromium_path():
    """The browser that is installed, or None: Playwright's own is used."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


@contextlib.contextmanager
def chromium():
    """A headless Chromium; skips the test where there is none."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(
                executable_path=chromium_path(),
                args=["--autoplay-policy=no-user-gesture-required"],
            )
        except sync_api.Error as error:
            pytest.skip(f"no Chromium to be had: {str(error).splitlines()[0]}")
        with contextlib.closing(browser):
            yield browser


class Watched:
    """A page that remembers what went wrong on it and what it asked for."""

    def __init__(self, browser, path, **context):
        self.context = browser.new_context(**context)
        self.page = self.context.new_page()
        self.problems, self.requests = [], []
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path if isinstance(path, str) else path.as_uri())

    def _heard(self, message):
        if message.type in ("error", "warning"):
            self.problems.append(message.text)

    def record(self, engine):
        """Record what an engine, an expression of the page, plays from now on."""
        self.page.evaluate(f"() => ({_RECORD})({engine})")

    def recorded(self):
        """What was played since the last call: ``[2, samples]``."""
        raw = base64.b64decode(self.page.evaluate(_COLLECT))
        blocks = np.frombuffer(raw, np.float32).reshape(-1, 2, 128)
        return blocks.transpose(1, 0, 2).reshape(2, -1)

    def close(self):
        self.context.close()


def serious_findings(page):
    """What axe-core finds on a page that keeps people out, each on a line."""
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed"
    )
    found = axe.Axe().run(page).response["violations"]
    return [
        f"{each['id']}: {node['target']} {node['failureSummary']}"
        for each in found
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    ]


def looks(page):
    """Show a page in both widths, light and dark."""
    for width in (390, 1400):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("() => document.documentElement.scrollWidth") <= width
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            yield f"{width} {scheme}"


def assert_for_everybody(page):
    for look in looks(page):
        assert not serious_findings(page), look
