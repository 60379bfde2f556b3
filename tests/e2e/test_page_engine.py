"""The audio engine of pages, in headless Chromium from disk: what it plays, to the sample."""

import json

import numpy as np
import pytest

from browser import Watched, chromium
from partita.reports.page.assets import ENGINE, asset
from partita.reports.page.audio import array_source, encode_signal
from partita.reports.page.coding import page_coding

pytestmark = pytest.mark.slow
RATE = 48_000
SECONDS = 12  # one joint of pieces, at 10 s
STEEPEST = 0.04  # from sample to sample, of the signals below
#: All of it, so that a busy machine is not late for the joint.
DECODE = """
() => Promise.all([...engine.signals.values()].flatMap(
  (signal) => [0, 1].map((number) => engine.pieces.get(signal, number))
))
"""


def smooth_noise(seed, seconds=SECONDS):
    """Noise below 1 kHz: every place in it is unique, and a click stands out."""
    rng = np.random.default_rng(seed)
    spectrum = np.fft.rfft(rng.standard_normal((2, seconds * RATE)))
    spectrum[:, 1000 * seconds :] = 0
    noise = np.fft.irfft(spectrum)
    return (0.3 * noise / np.abs(noise).max()).astype(np.float32)


SIGNALS = {"a": smooth_noise(0), "b": smooth_noise(1)}
SIGNALS["minus a"] = -SIGNALS["a"]


def write_engine_page(folder, form):
    (folder / "audio").mkdir()
    coding = page_coding(form, RATE)
    signals = {
        name: encode_signal(array_source(samples, RATE), folder / "audio", coding, label=name)
        for name, samples in SIGNALS.items()
    }
    code = "".join(f"<script>{asset(name)}</script>" for name in ENGINE)
    table = json.dumps({name: signal.for_engine() for name, signal in signals.items()})
    path = folder / "engine.html"
    path.write_text(
        f"<!doctype html><meta charset=utf-8><title>engine</title>{code}<script>"
        f'const engine = new partita.Engine("audio/", {json.dumps(coding.for_engine())});'
        'engine.addEventListener("error", (event) => console.error(event.message));'
        f"engine.load({table});</script>",
        encoding="utf-8",
    )
    return path


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def flac(browser, tmp_path_factory):
    watched = Watched(browser, write_engine_page(tmp_path_factory.mktemp("flac"), "flac"))
    watched.record("engine")
    watched.page.evaluate(DECODE)
    yield watched
    watched.close()


@pytest.fixture
def play(flac):
    """Run a script while the engine plays, and return what was heard."""

    def run(script, seconds):
        flac.page.evaluate("() => { engine.setLoop(null); return engine.pause(); }")
        flac.page.wait_for_timeout(100)
        flac.recorded()
        flac.page.evaluate(script)
        flac.page.wait_for_timeout(1000 * seconds)
        flac.page.evaluate("() => engine.pause()")
        flac.page.wait_for_timeout(150)
        heard = flac.recorded()
        assert not flac.problems
        sounding = np.flatnonzero(np.abs(heard).max(axis=0) > 1e-6)
        return heard[:, sounding[0] : sounding[-1] + 1] if len(sounding) else heard[:, :0]

    return run


def place_of(excerpt, signal):
    """Sample at which an excerpt begins in a signal, and how far it is from it at most."""
    size = 2 ** int(np.ceil(np.log2(signal.shape[1] + excerpt.shape[1])))
    spectra = np.fft.rfft(signal[0], size) * np.fft.rfft(excerpt[0], size).conj()
    place = int(np.fft.irfft(spectra, size)[: signal.shape[1]].argmax())
    match = signal[:, place : place + excerpt.shape[1]]
    return place, float(np.abs(excerpt[:, : match.shape[1]] - match).max())


def test_plays_the_signal_to_the_sample_across_the_joint_of_pieces(play):
    heard = play("() => { engine.setMix({a: 1}); engine.seek(9.6); engine.play(); }", 0.8)
    place, error = place_of(heard[:, 300:-300], SIGNALS["a"])
    assert heard.shape[1] > 0.7 * RATE
    assert place == pytest.approx(9.6 * RATE + 300, abs=8)  # the first samples fade in from zero
    assert place < 10 * RATE - 4800 < place + heard.shape[1] - 4800
    assert error < 2**-15
    assert np.abs(np.diff(heard)).max() < STEEPEST  # no click at either end


def test_signals_are_in_sync_to_the_sample(play):
    script = "() => { engine.setMix({a: 1, 'minus a': 1}); engine.seek(9.7); engine.play(); }"
    heard = play(script, 0.6)
    # They cancel out, in both pieces and at their joint; browsers scale negative samples otherwise.
    assert np.abs(heard).max() < 2**-15


def test_switches_without_a_click_or_drift(play):
    script = """async () => {
      engine.setMix({a: 1}); engine.seek(2); engine.warm(["b"]); await engine.play();
      for (const name of ["b", "a", "b"]) {
        await new Promise((resolve) => setTimeout(resolve, 250));
        await engine.setMix({[name]: 1});
      }
    }"""
    heard = play(script, 0.3)
    assert np.abs(np.diff(heard)).max() < STEEPEST
    from_a, error_a = place_of(heard[:, 300:9000], SIGNALS["a"])
    from_b, error_b = place_of(heard[:, -9000:-300], SIGNALS["b"])
    assert max(error_a, error_b) < 2**-15
    assert from_b - from_a == heard.shape[1] - 9000 - 300


def test_loops_without_a_click(play):
    script = """() => {
      engine.setMix({b: 1}); engine.seek(9.9); engine.setLoop({start: 9.9, end: 10.15});
      engine.play();
    }"""
    heard = play(script, 0.9)
    period = round(0.25 * RATE)
    assert heard.shape[1] > 3 * period
    assert np.abs(np.diff(heard)).max() < STEEPEST
    first, again = heard[:, 400 : period - 400], heard[:, period + 400 : 2 * period - 400]
    np.testing.assert_allclose(first, again, atol=1e-6)
    assert place_of(first, SIGNALS["b"])[1] < 2**-15


def test_seeks_while_it_plays_without_a_click_and_ends_at_the_end(play, flac):
    script = """async () => {
      engine.setMix({a: 1}); engine.seek(1); await engine.play();
      await new Promise((resolve) => setTimeout(resolve, 200));
      engine.seek(11.6);
    }"""
    heard = play(script, 0.7)
    assert np.abs(np.diff(heard)).max() < STEEPEST
    tail = heard[:, -9000:]
    place, error = place_of(tail, SIGNALS["a"])
    assert (place + 9000, error < 2**-15) == (SECONDS * RATE, True)
    assert flac.page.evaluate("() => [engine.playing, engine.time]") == [False, 0]


def test_opus_keeps_its_place_and_joins_without_a_click(browser, tmp_path):
    watched = Watched(browser, write_engine_page(tmp_path, "opus"))
    watched.page.evaluate("async () => { engine.setMix({a: 1}); await engine.play(); }")
    watched.record("engine")
    watched.page.evaluate(
        f"async () => {{ engine.pause(); await ({DECODE})(); engine.seek(9.6); }}"
    )
    watched.page.wait_for_timeout(100)
    watched.recorded()
    watched.page.evaluate("() => engine.play()")
    watched.page.wait_for_timeout(700)
    heard = watched.recorded()
    heard = heard[:, np.abs(heard).max(axis=0) > 0]
    place, error = place_of(heard[:, 300:-300], SIGNALS["a"])
    assert place == pytest.approx(9.6 * RATE + 300, abs=8)
    assert place + heard.shape[1] > 10.1 * RATE
    assert error < 0.1 * np.abs(SIGNALS["a"]).max()  # noise of the codec
    assert np.abs(np.diff(heard)).max() < 1.2 * STEEPEST
    assert not watched.problems
    assert all(url.startswith("file://") for url in watched.requests)
    watched.close()


def test_a_missing_piece_is_one_line_and_the_rest_plays(browser, tmp_path):
    path = write_engine_page(tmp_path, "flac")
    for piece in (tmp_path / "audio").glob("b-*/0.js"):
        piece.unlink()
    watched = Watched(browser, path)
    watched.page.evaluate("() => { engine.setMix({a: 1, b: 1}); return engine.play(); }")
    watched.page.wait_for_timeout(300)
    assert watched.page.evaluate("() => engine.time") > 0.1
    lines = [text for text in watched.problems if "keep the page's folder together" in text]
    assert len(lines) == 1
    watched.close()
