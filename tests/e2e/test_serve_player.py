"""The player of `partita serve` in headless Chromium: stems heard, balanced and downloaded."""

import io

import numpy as np
import pytest
import soundfile

from browser import Watched, chromium
from serve_client import KEEP_PLAYER

pytestmark = pytest.mark.slow
RATE = 44_100
#: The engine of the page that is open.
ENGINE = "document.player.engine"


@pytest.fixture(scope="module")
def song():
    """Twelve seconds of noise below 1 kHz and clicks: every place in it is unique."""
    rng = np.random.default_rng(0)
    spectrum = np.fft.rfft(rng.standard_normal((2, 12 * RATE)))
    spectrum[:, 12 * 1000 :] = 0
    noise = np.fft.irfft(spectrum)
    noise *= 0.2 / np.abs(noise).max()
    noise[:, :: RATE // 2] += 0.5
    return noise.astype(np.float32)


@pytest.fixture(scope="module")
def wav(song, tmp_path_factory):
    path = tmp_path_factory.mktemp("music") / "Ein Lied.wav"
    soundfile.write(path, song.T, RATE, subtype="PCM_16")
    return path


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def job(server, wav):
    song = server.upload(wav.read_bytes(), wav.name).json
    job = server.post(f"/api/songs/{song['id']}/jobs", {"model": "hpss"}).json
    return server.wait_for(job["id"], "done")


@pytest.fixture(scope="module")
def stems(server, job):
    found = {}
    for stem in job["result"]["stems"]:
        flac = server.get(f"/api/jobs/{job['id']}/stems/{stem['name']}").body
        found[stem["name"]] = soundfile.read(io.BytesIO(flac), dtype="float32")[0].T
    return found


@pytest.fixture(scope="module")
def player(browser, server, job):
    """The page with a song open, and what it plays recorded."""
    found = Watched(browser, server.address, bypass_csp=True)  # the recorder is a data: URL
    found.page.wait_for_selector("#library:not([hidden])")
    found.page.evaluate(KEEP_PLAYER)
    found.page.evaluate("(id) => { location.hash = `#/song/${id}`; }", job["id"])
    found.page.wait_for_selector(".lane")
    found.page.wait_for_function("() => document.player.engine.pieces.decoded.size >= 4")
    found.record(ENGINE)
    found.page.evaluate(f"() => {{ {ENGINE}.volume = 1; }}")
    yield found
    found.close()


@pytest.fixture
def heard(player):
    """Do something, play, and return what was heard, without the fades at both ends."""

    def play(start, seconds=1.0, act=None):
        page = player.page
        page.click("#reset")
        if act:
            act(page)
        page.evaluate(f"() => {{ document.activeElement.blur(); return {ENGINE}.seek({start}); }}")
        page.wait_for_timeout(150)
        player.recorded()
        page.keyboard.press(" ")
        page.wait_for_function(f"() => {ENGINE}.time > {start + 0.9 * seconds}")
        page.keyboard.press(" ")
        page.wait_for_timeout(150)
        assert not player.problems
        samples = player.recorded()
        sounding = np.flatnonzero(np.abs(samples).max(axis=0) > 1e-6)
        return samples[:, sounding[0] + 2000 : sounding[-1] - 500] if len(sounding) else samples

    return play


def place_in(signal, excerpt):
    """Return where an excerpt lies in a signal, and how far it is from it at most."""
    size = 2 ** int(np.ceil(np.log2(signal.shape[1] + excerpt.shape[1])))
    spectra = np.fft.rfft(signal[0] + signal[1], size)
    spectra *= np.fft.rfft(excerpt[0] + excerpt[1], size).conj()
    place = int(np.fft.irfft(spectra, size)[: signal.shape[1]].argmax())
    match = signal[:, place : place + excerpt.shape[1]]
    return place, float(np.abs(excerpt[:, : match.shape[1]] - match).max())


def test_all_stems_are_the_song_to_the_sample_across_a_joint(heard, stems):
    whole = sum(stems.values())
    place, error = place_in(whole, heard(9.5))
    assert place == pytest.approx(9.5 * RATE + 2000, abs=8)
    assert error < 2**-16


def test_the_original_is_the_song(heard, song):
    place, error = place_in(song, heard(3, act=lambda page: page.click("#original")))
    assert place == pytest.approx(3 * RATE + 2000, abs=8)
    assert error < 2**-14


def test_mute_level_and_pan(heard, stems):
    def balance(page):
        page.get_by_label("Mute residual").click()
        for label, value in (("Level of harmonic", -6), ("Pan of percussive", 100)):
            slider = page.get_by_label(label)
            slider.evaluate(
                "(one, value) => { one.value = value; one.dispatchEvent(new Event('input')); }",
                value,
            )

    panned = stems["percussive"].copy()
    panned[1] += panned[0]
    panned[0] = 0
    wanted = 10 ** (-6 / 20) * stems["harmonic"] + panned
    place, error = place_in(wanted, heard(2, act=balance))
    assert place == pytest.approx(2 * RATE + 2000, abs=8)
    assert error < 2**-14


def test_solo_by_key(heard, stems):
    place, error = place_in(
        stems["percussive"], heard(4, act=lambda page: page.keyboard.press("2"))
    )
    assert place == pytest.approx(4 * RATE + 2000, abs=8)
    assert error < 2**-16


def test_the_null_test_is_what_the_separation_has_lost(heard, player):
    rest = heard(1, act=lambda page: page.click("#null"))
    assert np.abs(rest).max() < 2**-14
    assert "dB relative to the song" in player.page.inner_text("#player-status")


def test_what_is_heard_can_be_downloaded(player, stems):
    page = player.page
    page.click("#reset")
    page.get_by_label("Mute harmonic").click()
    page.get_by_label("Level of percussive").evaluate(
        "(one) => { one.value = -6; one.dispatchEvent(new Event('input')); }"
    )
    page.select_option("#export-format", "wav float")
    with page.expect_download(timeout=60_000) as download:
        page.click("#export-start")
    assert download.value.suggested_filename == "Ein Lied (mix).wav"
    samples, rate = soundfile.read(download.value.path(), dtype="float32")
    wanted = 10 ** (-6 / 20) * stems["percussive"] + stems["residual"]
    assert rate == RATE
    np.testing.assert_allclose(samples.T, wanted, atol=1e-6)
    page.click("#reset")


def test_keys_and_a_region(player):
    page = player.page
    page.click("#reset")
    page.evaluate(f"() => {{ document.activeElement.blur(); return {ENGINE}.seek(0); }}")
    page.keyboard.press("ArrowRight")
    assert page.evaluate(f"() => {ENGINE}.time") == pytest.approx(5)
    page.keyboard.press("Shift+ArrowLeft")
    assert page.evaluate(f"() => {ENGINE}.time") == pytest.approx(4)
    box = page.locator(".lane-view").nth(1).bounding_box()
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 20)
    page.mouse.up()
    loop = page.evaluate(f"() => {ENGINE}.loop")
    assert loop["start"] == pytest.approx(3, abs=0.05)
    assert loop["end"] == pytest.approx(6, abs=0.05)
    page.keyboard.press("l")
    assert page.evaluate(f"() => {ENGINE}.loop") is None
    page.keyboard.press("Escape")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("m")
    assert page.get_by_label("Mute residual").get_attribute("aria-pressed") == "true"


def test_zoom_and_spectrograms(player):
    page = player.page
    page.click("#reset")
    page.keyboard.press("Escape")
    page.evaluate(f"() => {{ document.activeElement.blur(); return {ENGINE}.seek(4); }}")
    picture = "() => document.querySelector('.lane canvas').toDataURL()"
    whole = page.evaluate(picture)
    page.evaluate("() => document.player.lanes.zoom({ start: 3, end: 5 })")
    assert page.evaluate(picture) != whole
    box = page.locator(".lane-view").first.bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + 20)
    assert page.evaluate(f"() => {ENGINE}.time") == pytest.approx(4, abs=0.01)
    page.keyboard.press("z")
    page.wait_for_function(f"(whole) => ({picture})() === whole", arg=whole)
    page.keyboard.press("v")
    # Below 1 kHz there is noise, above are clicks: the picture is light at the bottom.
    page.wait_for_function("""() => {
      const canvas = document.querySelector(".lane canvas");
      const copy = new OffscreenCanvas(canvas.width, canvas.height);
      const context = copy.getContext("2d", { willReadFrequently: true });
      context.drawImage(canvas, 0, 0);
      const light = (y) => {
        const row = context.getImageData(0, y, canvas.width, 1).data;
        return row.reduce((sum, value, n) => sum + (n % 4 < 3 ? value : 0), 0) / canvas.width;
      };
      return light(canvas.height - 3) > 2 * light(3);
    }""")
    page.keyboard.press("v")
    assert not player.problems
