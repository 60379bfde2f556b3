"""The page that separates in the browser, in headless Chromium: stems as Python makes them."""

import base64
import contextlib
import functools
import http.server
import threading
import zipfile

import numpy as np
import pytest
import soundfile
import torch

from browser import Watched, chromium, serious_findings
from common import SMALL_BANDS, SMALL_UNET
from partita import Separator
from partita.dsp.stereo import StereoMeter
from partita.errors import WeightsUnavailableError
from partita.models import create_model
from partita.weights.checkpoint import save_checkpoint
from partita.weights.resolve import resolve

pytest.importorskip("onnx", reason="onnx is not installed")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

pytestmark = pytest.mark.slow
RATE = 44_100
_KEEP_PLAYER = """() => {
  const { open } = partita.Player.prototype;
  partita.Player.prototype.open = function (id) {
    document.player = this;
    return open.call(this, id);
  };
}"""
#: The first piece of a stem, as the player gets it.
_PIECE = """async (name) => {
  const { engine } = document.player;
  const piece = await engine.pieces.get(engine.signals.get(name), 0);
  return [...piece.getChannelData(0).subarray(0, 1000)];
}"""


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_arguments):
        pass


@contextlib.contextmanager
def static_server(folder):
    """What any static server does: files, and no headers of its own."""
    handler = functools.partial(_Quiet, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """A chain as four-stems is one, with random weights."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("models")
    first, second = folder / "first.safetensors", folder / "second.safetensors"
    levels = {"level_range_db": [-20.0, -15.0]}
    two = {"sources": ["vocals", "accompaniment"], **SMALL_UNET, **levels}
    save_checkpoint(first, create_model("unet", two).eval())
    four = {"sources": ["vocals", "drums", "bass"], "any_width": True, **SMALL_BANDS, **levels}
    save_checkpoint(second, create_model("band-split", four).eval())
    return f"{first}+{second}"


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def address(browser, chain, tmp_path_factory):
    from partita.export.web import export_page

    folder = tmp_path_factory.mktemp("page")
    try:
        export_page(resolve(chain), folder)
    except WeightsUnavailableError as error:
        pytest.skip(f"no ONNX Runtime for browsers: {error}")
    with static_server(folder) as found:
        yield found


@pytest.fixture(scope="module")
def loaded(browser, address):
    """The page; models are loaded once, for all tests."""
    found = Watched(browser, address, accept_downloads=True)
    found.page.evaluate(_KEEP_PLAYER)
    yield found
    found.close()


@pytest.fixture
def watched(loaded):
    """The page without songs, which finds no fault with what a test does."""
    yield loaded
    loaded.page.evaluate("() => { location.hash = '#/'; }")
    buttons = loaded.page.locator("#songs button")
    while buttons.count():
        buttons.first.click()
    assert loaded.problems == []


@pytest.fixture(scope="module")
def panned(stems):
    """An early stereo record: drums left, all else right."""
    mono = {name: signal.mean(axis=0) for name, signal in stems.items()}
    return np.stack([mono["drums"], sum(mono.values()) - mono["drums"]]).astype(np.float32)


def separated(watched, path):
    """Let the page separate a file; returns its stems, as it saves them."""
    page = watched.page
    page.set_input_files("#files", path)
    page.wait_for_selector("#downloads button", timeout=60_000)
    page.select_option("#download-format", "32")
    found = {}
    for name in page.locator(".lane .stem").all_inner_texts():
        with page.expect_download() as saved:
            page.click(f"#downloads button:has-text('{name}')")
        assert saved.value.suggested_filename == f"{path.stem} - {name}.wav"
        found[name], rate = soundfile.read(saved.value.path(), dtype="float32")
        assert rate == RATE
    return {name: signal.T for name, signal in found.items()}


def agreement_db(wanted, found):
    assert wanted.shape == found.shape
    return 10 * np.log10((wanted**2).sum() / max(((wanted - found) ** 2).sum(), 1e-30))


@pytest.mark.parametrize("kind", ["stereo", "mono", "panned"])
def test_stems_are_those_of_python(watched, chain, song, panned, tmp_path, kind, address):
    mixture = {"stereo": song, "mono": song.mean(axis=0, keepdims=True), "panned": panned}[kind]
    mixture = mixture[:, : 2 * RATE]
    path = tmp_path / f"{kind}.wav"
    soundfile.write(path, mixture.T, RATE, subtype="FLOAT")
    estimates = Separator(chain)(mixture, RATE)
    found = separated(watched, path)
    assert list(found) == list(estimates)
    for name, stem in found.items():
        assert agreement_db(estimates[name].samples.numpy(), stem) > 40
        heard = watched.page.evaluate(_PIECE, name)
        np.testing.assert_allclose(heard, stem[0, : len(heard)], atol=1e-6)
    whole = np.broadcast_to(mixture, stem.shape)
    assert agreement_db(whole, sum(found.values())) > 100
    if kind == "stereo":
        with watched.page.expect_download() as zipped:
            watched.page.click("#downloads button:has-text('all stems')")
        with zipfile.ZipFile(zipped.value.path()) as archive:
            assert archive.namelist() == [f"stereo - {name}.wav" for name in found]
        assert serious_findings(watched.page) == []
        watched.page.locator(".skip").press("Enter")  # which does not leave the song
    watched.page.keyboard.press("Space")
    watched.page.wait_for_selector("#play.playing")
    watched.page.wait_for_selector("#time:not(:text('0:00.0'))")
    assert all(request.startswith((address, "blob:")) for request in watched.requests)


def test_what_is_no_song_is_said_and_the_next_goes_on(watched, song, tmp_path):
    (tmp_path / "text.mp3").write_text("no sound at all")
    (tmp_path / "empty.wav").touch()
    soundfile.write(tmp_path / "long.wav", np.zeros(1801 * 4000, np.int16), 4000)
    soundfile.write(tmp_path / "song.wav", song.T, RATE)
    names = ["text.mp3", "empty.wav", "long.wav", "song.wav"]
    watched.page.set_input_files("#files", [tmp_path / name for name in names])
    watched.page.wait_for_selector("a.open", timeout=60_000)
    states = watched.page.locator("#songs .state").all_inner_texts()
    assert "finds no sound" in states[0]
    assert states[1] == "The file is empty."
    assert "30:01 of sound are too long" in states[2]
    assert states[3].startswith("separated in")
    assert serious_findings(watched.page) == []


def test_cancelling_ends_the_work_and_missing_files_are_named(watched, song, tmp_path):
    soundfile.write(tmp_path / "long.wav", np.tile(song, 20).T, RATE)
    soundfile.write(tmp_path / "song.wav", song.T, RATE)
    page = watched.page
    page.set_input_files("#files", [tmp_path / "long.wav", tmp_path / "song.wav"])
    page.wait_for_selector("text=/separates: [1-9]/", timeout=60_000)
    page.route("**/model-2.onnx", lambda route: route.fulfill(body=b"short"))
    page.get_by_role("button", name="Cancel long").press("Enter")
    page.wait_for_selector("#songs .problem", timeout=60_000)
    assert "long" not in page.inner_text("#songs")
    assert "model-2.onnx has 5 bytes instead of" in page.inner_text("#songs .problem")
    page.unroute("**/model-2.onnx")


def test_on_disk_the_page_says_what_it_needs(browser, chain, tmp_path):
    from partita.export.web.site import site_files

    for name, content in site_files("tiny", []).items():
        (tmp_path / name).write_bytes(content)
    on_disk = Watched(browser, tmp_path / "index.html")
    assert on_disk.page.locator("#from-disk").is_visible()
    assert not on_disk.page.locator("#drop").is_visible()
    on_disk.close()


def _noise(*shape):
    return np.random.default_rng(len(shape)).standard_normal(shape).astype(np.float32)


def _fields():
    """Kinds of stereo at 8 kHz, float32."""
    for kind, signal in _stereo():
        yield kind, signal.astype(np.float32)


def _stereo():
    samples = 4 * 8000
    envelope = np.repeat(np.abs(_noise(16)), 2000)
    mid, side = envelope * _noise(samples), envelope * _noise(samples, 1)[:, 0]
    ordinary = np.stack([mid + 0.3 * side, mid - 0.3 * side])
    yield "ordinary", ordinary
    yield "narrow", np.stack([mid + 0.01 * side, mid - 0.01 * side])
    yield "inverted", ordinary * np.array([[1], [-1]])
    yield "quiet left", ordinary * np.array([[0.2], [1]])
    yield "one-sided", np.stack([mid, 1e-3 * _noise(samples, 1, 1)[:, 0, 0]])
    yield "mono", np.stack([mid, mid])
    yield "hard-panned", np.stack([mid, side])
    yield "silent", np.zeros((2, samples))
    yield "short", ordinary[:, :300]


def test_the_stereo_field_is_that_of_python(watched):
    field = """async ({bits, size}) => {
      const { fieldOf } = await import("./stereo.js");
      const numbers = new Float32Array(Uint8Array.from(atob(bits), (c) => c.charCodeAt(0)).buffer);
      const spectrum = (n) => numbers.subarray(n * (size + 2), (n + 1) * (size + 2));
      const count = numbers.length / (size + 2) / 2;
      const both = (_, n) => [spectrum(2 * n), spectrum(2 * n + 1)];
      const frames = Array.from({ length: count }, both);
      const { matrix, side, isPanned } = fieldOf(frames, size, 8000);
      return { matrix, side, isPanned };
    }"""
    layout = """async (samples) => {
      const { framesOf, hann } = await import("./stereo.js");
      const { size, starts } = framesOf(samples, 8000);
      return { size, starts, window: [...hann(Math.min(size, samples), size)] };
    }"""
    for kind, signal in _fields():
        meter = StereoMeter(8000)
        meter.add(signal[None])
        wanted = meter.field()
        found = watched.page.evaluate(layout, signal.shape[1])
        size, window = found["size"], np.array(found["window"])
        cut = [signal[:, start : start + size] * window for start in found["starts"]]
        spectra = np.fft.rfft(np.stack(cut), size).astype(np.complex64)
        bits = base64.b64encode(spectra.tobytes()).decode()
        found = watched.page.evaluate(field, {"bits": bits, "size": size})
        matrix = np.array(found["matrix"]).reshape(2, 2)
        np.testing.assert_allclose(matrix, wanted.matrix[0], rtol=2e-3, atol=1e-6, err_msg=kind)
        assert found["isPanned"] == wanted.hard_panned[0], kind
        side = float(wanted.mapped_side[0])
        assert found["side"] == pytest.approx(side, abs=2e-3), kind
