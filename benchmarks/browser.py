"""The page that separates in the browser: download, time and agreement with Python.

    python benchmarks/browser.py SONG [--model four-stems] [--seconds 30] [--isolated]

The page is exported, served by this process and opened in headless Chromium (Playwright, and a
chromium in PATH), which separates the beginning of a song. Agreement is the energy of Python's
estimate over that of the difference, on one thread of each. Isolated: with the headers that allow
the browser threads.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import http.server
import os
import shutil
import tempfile
import threading
import time
from pathlib import Path
from typing import ClassVar

import numpy as np
import soundfile
from playwright.sync_api import Page, sync_playwright

import partita
from partita.export.web import export_page
from partita.weights.resolve import resolve

_ISOLATED = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
}
_MOST_MS = 600_000


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves files, with more headers if wanted."""

    headers_to_add: ClassVar[dict[str, str]] = {}

    def end_headers(self) -> None:
        """Send the headers of the class as well."""
        for name, value in self.headers_to_add.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("song", type=Path)
    parser.add_argument("--model", default="four-stems")
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--isolated", action="store_true")
    options = parser.parse_args()
    Handler.headers_to_add = _ISOLATED if options.isolated else {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        began = time.perf_counter()
        page = export_page(resolve(options.model), folder / "page")
        print(f"| page | {page.files} files, {page.size / 1e6:.1f} MB |")
        print(f"| export | {time.perf_counter() - began:.1f} s |")
        mixture = excerpt(options.song, options.seconds, folder / "song.wav")
        separator = partita.Separator(options.model)
        began = time.perf_counter()
        wanted = separator(mixture, separator.sample_rate)
        print(f"| Python | {time.perf_counter() - began:.1f} s |")
        found = in_browser(page.folder, folder / "song.wav")
        for name, estimate in wanted.items():
            there = estimate.samples.numpy()
            error = np.square(there - found[name]).sum()
            print(f"| {name} | {10 * np.log10(np.square(there).sum() / error):.1f} dB |")


def excerpt(song: Path, seconds: float, path: Path) -> np.ndarray:
    """Write the beginning of a song, repeated if it is shorter, as a WAV file; return it."""
    samples, rate = soundfile.read(song, dtype="float32", always_2d=True)
    count = round(seconds * rate)
    whole = np.tile(samples, (-(-count // len(samples)), 1))[:count]
    soundfile.write(path, whole, rate, subtype="FLOAT")
    return whole.T


def in_browser(folder: Path, song: Path) -> dict[str, np.ndarray]:
    """Return the stems that the page makes of a song; print how long it takes."""
    handler = functools.partial(Handler, directory=folder)
    with (
        http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server,
        sync_playwright() as playwright,
    ):
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        page = browser.new_page(accept_downloads=True)
        page.goto(f"http://127.0.0.1:{server.server_port}/")
        for visit in ("first song, models loaded", "second song"):
            began, cpu = time.perf_counter(), children_cpu_s()
            page.set_input_files("#files", song)
            # With one song the player opens by itself.
            page.wait_for_selector("#downloads button", timeout=_MOST_MS)
            spent = time.perf_counter() - began, children_cpu_s() - cpu
            print(f"| {visit} | {spent[0]:.1f} s (CPU {spent[1]:.1f} s) |")
            stems = saved(page)
            page.click(".back")
            page.click("#songs button")
        browser.close()
        server.shutdown()
    return stems


def children_cpu_s() -> float:
    """Return the CPU time of all processes that this one has started, and theirs; Linux only."""
    parents, times = {}, {}
    for file in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # one that has ended
            number, fields = int(file.parent.name), file.read_text().rpartition(")")[2].split()
            parents[number] = int(fields[1])
            times[number] = int(fields[11]) + int(fields[12])
    found = {os.getpid()}
    while more := {each for each, parent in parents.items() if parent in found} - found:
        found |= more
    ticks = sum(times[each] for each in found - {os.getpid()})
    return ticks / os.sysconf("SC_CLK_TCK")


def saved(page: Page) -> dict[str, np.ndarray]:
    """Return name → ``[channels, samples]`` of the stems that a page offers."""
    stems = {}
    page.select_option("#download-format", "32")
    for name in page.locator(".lane .stem").all_inner_texts():
        with page.expect_download() as download:
            page.click(f"#downloads button:has-text('{name}')")
        stems[name] = soundfile.read(download.value.path(), dtype="float32")[0].T
    return stems


if __name__ == "__main__":
    main()
