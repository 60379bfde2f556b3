"""Speed in the page of `partita serve`: pitch, roughness and timing of ways to change it.

    npm pack @soundtouchjs/audio-worklet && tar xzf soundtouchjs-audio-worklet-*.tgz
    python benchmarks/page_speed.py [--soundtouch package/.dist]

Renders sines and clicks in headless Chromium: played faster or slower and shifted back by
Signalsmith Stretch, as the page does; stretched by it from buffers; shifted back by SoundTouch.
Printed are the error of the pitch in cents with the residual in dB (what is not the sine, relative
to it), and of clicks within how many ms 90 % of their energy is, how late they are, and the
standard deviation of that.
"""

from __future__ import annotations

import argparse
import base64
import functools
import http.server
import shutil
import tempfile
import threading
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import sync_playwright

from speed_pitch import RATE, frequency, residual_db

HERTZ = (55.0, 110.0, 440.0, 1234.0, 5000.0)
CHANGES = ((0.8, 0.0), (0.5, 0.0), (1.25, 0.0), (1.0, -2.0))  # speed, semitones
START_S = 0.2
_RENDER = """async ([way, text, speed, semitones, start]) => {
  const samples = new Float32Array(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
  const length = Math.ceil(samples.length / speed) + %(rate)d;
  const context = new OfflineAudioContext(2, length, %(rate)d);
  let node;
  if (way === "SoundTouch") {
    const { SoundTouchNode } = await import("/SoundTouchNode.js");
    await SoundTouchNode.register(context, "/soundtouch-processor.js");
    node = new SoundTouchNode({ context });
    node.pitchSemitones.value = semitones;
    node.playbackRate.value = speed;
  } else {
    SignalsmithStretch.moduleUrl = "/SignalsmithStretch.js";
    node = await SignalsmithStretch(context);
  }
  node.connect(context.destination);
  if (way === "from buffers") {
    await node.addBuffers([samples, samples]);
    await node.schedule({ active: true, output: start, input: 0, rate: speed, semitones });
  } else {
    const shift = semitones - 12 * Math.log2(speed);
    if (way === "as the page") await node.schedule({ active: true, output: 0, semitones: shift });
    const buffer = new AudioBuffer({ length: samples.length, sampleRate: %(rate)d });
    buffer.copyToChannel(samples, 0);
    const source = new AudioBufferSourceNode(context, { buffer, playbackRate: speed });
    source.connect(node);
    source.start(start);
  }
  const bytes = new Uint8Array((await context.startRendering()).getChannelData(0).buffer);
  let found = "";
  for (let i = 0; i < bytes.length; i += 8192) {
    found += String.fromCharCode(...bytes.subarray(i, i + 8192));
  }
  return btoa(found);
}""" % {"rate": RATE}  # noqa: UP031


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A server of files that says nothing."""

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def clicks(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Bursts of noise of a few ms, and where they begin."""
    rng = np.random.default_rng(0)
    signal, length = np.zeros((count + 1) * RATE // 2), 200
    starts = np.arange(1, count + 1) * RATE // 2
    for start in starts:
        decay = np.exp(-np.arange(length) / 60)
        signal[start : start + length] = 0.5 * rng.standard_normal(length) * decay
    return signal, starts


def measure(render: Any, ways: list[str]) -> None:
    for speed, semitones in CHANGES:
        for way in ways:
            print(f"{speed:4g}× {semitones:+g} semitones, {way}:", end="")
            for hertz in HERTZ:
                sine = 0.5 * np.sin(2 * np.pi * hertz * np.arange(5 * RATE) / RATE)
                found = render(way, sine, speed, semitones)[None, : int(5 * RATE / speed)]
                heard = frequency(found)
                cents = 1200 * np.log2(heard / (hertz * 2 ** (semitones / 12)))
                print(f"  {cents:+.1f} ({residual_db(found, heard):.0f})", end="", flush=True)
            print()
    signal, starts = clicks(9)
    for speed, _ in CHANGES[:3]:
        for way in ways:
            energy = np.square(render(way, signal, speed, 0.0).astype(float))
            spans, late = [], []
            for start in starts[2:-2]:
                place = START_S * RATE + start / speed
                begin = int(place - 0.1 * RATE)
                share = np.cumsum(energy[begin : int(place + 0.35 * RATE)])
                low, middle, high = np.searchsorted(share / share[-1], [0.05, 0.5, 0.95])
                spans.append(1e3 * (high - low) / RATE)
                late.append(1e3 * (middle + begin - place) / RATE)
            print(
                f"{speed:4g}×, {way}: {np.median(spans):.1f} ms, "
                f"{np.median(late):.1f} ms late, ± {np.std(late):.2f} ms"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--soundtouch", type=Path, help="folder .dist of its package")
    arguments = parser.parse_args()
    ways = ["as the page", "from buffers", *(["SoundTouch"] if arguments.soundtouch else [])]
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        vendor = Path(str(files("partita.serve"))) / "page/vendor"
        shutil.copy(vendor / "SignalsmithStretch.js", folder)
        for script in arguments.soundtouch.glob("*.js") if arguments.soundtouch else ():
            shutil.copy(script, folder)
        page_text = '<!doctype html><script src="SignalsmithStretch.js"></script>'
        Path(folder, "index.html").write_text(page_text)
        server = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), functools.partial(Quiet, directory=folder)
        )
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium") or shutil.which("chromium-browser")
        )
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{server.server_port}/")

        def render(way: str, signal: np.ndarray, speed: float, semitones: float) -> np.ndarray:
            text = base64.b64encode(signal.astype(np.float32).tobytes()).decode()
            found = page.evaluate(_RENDER, [way, text, speed, semitones, START_S])
            return np.frombuffer(base64.b64decode(found), np.float32)

        measure(render, ways)
        browser.close()
        server.shutdown()


if __name__ == "__main__":
    main()
