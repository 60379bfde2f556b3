"""Report pages: size, time to write, time to sound.

    python benchmarks/page.py [--tracks 10] [--systems 8] [--seconds 240]

Noise in four stems of every system. The first writing encodes, the second finds nothing new. From a
click until sound: headless Chromium (Playwright, and a chromium in PATH), the page on disk.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

from partita.reports.content import Report, Song
from partita.reports.page import write_page

RATE = 44100
STEMS = ("vocals", "drums", "bass", "other")
#: Presses play, then waits until a meter of what is heard moves.
FIRST_SOUND = """async () => {
  const engine = partita.player.engine;
  const clicked = performance.now();
  document.getElementById("play").click();
  let meter = null;
  const values = new Float32Array(2048);
  while (!values.some((value) => value !== 0)) {
    await new Promise((resolve) => setTimeout(resolve, 1));
    if (meter === null && engine.output) {
      meter = new AnalyserNode(engine.output.context);
      engine.output.connect(meter);
    }
    if (meter !== null) meter.getFloatTimeDomainData(values);
  }
  return performance.now() - clicked;
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tracks", type=int, default=10)
    parser.add_argument("--systems", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=240)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        report = noisy_report(folder, options.tracks, options.systems, options.seconds)
        print("| | |\n|---|---|")
        for which in ("first", "second"):
            started, cpu = time.perf_counter(), time.process_time()
            page = write_page(report, folder / "out")
            spent = time.perf_counter() - started, time.process_time() - cpu
            print(f"| {which} writing | {spent[0]:.2f} s (CPU {spent[1]:.2f} s) |")
        print(f"| index.html | {page.stat().st_size / 1e6:.2f} MB |")
        audio = sum(path.stat().st_size for path in page.parent.rglob("*") if path.is_file())
        print(f"| with audio | {audio / 1e6:.0f} MB |")
        times = [first_sound_ms(page) for _ in range(5)]
        print(f"| from a click to sound | {statistics.median(times):.0f} ms |")


def noisy_report(folder: Path, tracks: int, systems: int, seconds: float) -> Report:
    """Return a report of songs that all play the same few files."""
    generator = np.random.default_rng(0)
    files = {}
    for name in ("mixture", *STEMS):
        files[name] = folder / f"{name}.wav"
        noise = generator.normal(0, 0.05, (round(seconds * RATE), 2))
        soundfile.write(files[name], noise.astype(np.float32), RATE, subtype="FLOAT")
    stems = {stem: files[stem] for stem in STEMS}
    windows = {stem: generator.normal(5, 3, round(seconds)).tolist() for stem in STEMS}
    names = [f"system {number}" for number in range(systems)]
    songs = [
        Song(
            f"song {number}",
            files["mixture"],
            stems,
            dict.fromkeys(names, stems),
            sdr=dict.fromkeys(names, windows),
        )
        for number in range(tracks)
    ]
    return Report("Noise", ["Data: noise."], [], songs)


def first_sound_ms(page: Path) -> float:
    """Return the time from a click on play until the page sounds."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--autoplay-policy=no-user-gesture-required", "--no-sandbox"],
        )
        shown = browser.new_page()
        shown.goto(page.as_uri())
        shown.wait_for_timeout(500)
        found: float = shown.evaluate(FIRST_SOUND)
        browser.close()
        return found


if __name__ == "__main__":
    main()
