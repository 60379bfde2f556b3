"""Tempo, key, click and count-in on the page of `partita serve`, in headless Chromium."""

import io
import json
import zipfile

import numpy as np
import pytest
import soundfile

from browser import Watched, assert_for_everybody, chromium
from partita.mixing.click import ClickTrack
from partita.mixing.tempo_key import Correction, TempoKey
from serve_client import KEEP_PLAYER

pytestmark = pytest.mark.slow
RATE = 44_100
ENGINE = "document.player.engine"
FOUND = "document.player.music.found"


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def job(server):
    """Eight seconds of A minor with noise on 120 beats a minute."""
    pytest.importorskip("sonara", reason="the extra mix is not installed")
    time = np.arange(8 * RATE) / RATE
    noise = np.random.default_rng(0).standard_normal(len(time))
    chord = sum(np.sin(2 * np.pi * hertz * time) for hertz in (220.0, 261.6, 329.6))
    song = 0.2 * np.exp(-(time % 0.5) / 0.02) * noise + 0.05 * chord
    file = io.BytesIO()
    soundfile.write(file, song, RATE, format="WAV", subtype="PCM_16")
    song = server.upload(file.getvalue(), "Ein Takt.wav").json
    job = server.post(f"/api/songs/{song['id']}/jobs", {"model": "hpss"}).json
    return server.wait_for(job["id"], "done")


@pytest.fixture
def open_page(browser, server, job):
    """Open the song, as it was estimated, on a page that keeps its player."""
    server.ask("PUT", f"/api/songs/{job['song_id']}/correction", {})
    opened = []

    def open_(**context):
        found = Watched(browser, server.address, **context)
        opened.append(found)
        found.page.wait_for_selector("#library:not([hidden])")
        found.page.evaluate(KEEP_PLAYER)
        found.page.evaluate("(id) => { location.hash = `#/song/${id}`; }", job["id"])
        found.page.wait_for_selector(".lane")
        return found

    yield open_
    for page in opened:
        assert not page.problems
        page.close()


@pytest.fixture
def player(open_page):
    """The page with what it plays recorded; all stems are muted."""
    found = open_page(bypass_csp=True)  # the recorder is a data: URL
    found.record(ENGINE)
    found.page.evaluate(f"() => {{ {ENGINE}.volume = 1; }}")
    for stem in ("harmonic", "percussive", "residual"):
        found.page.get_by_label(f"Mute {stem}").click()
    found.page.evaluate("() => document.activeElement.blur()")
    return found


def clicks(samples):
    """Where sounds begin, in seconds."""
    loud = np.flatnonzero(np.abs(samples[0]) > 0.05)
    return loud[np.insert(np.diff(loud) > 0.1 * RATE, 0, True)] / RATE if len(loud) else loud


def test_tempo_and_key_are_put_right_in_all_pages(open_page, server, job):
    one, other = open_page().page, open_page().page
    for page in (one, other):
        assert page.inner_text("#tempo") == "120 BPM"
        assert page.input_value("#key") == "A minor"
    one.get_by_label("Half the tempo").click()
    one.locator("#tempo", has_text="60 BPM").wait_for()
    one.select_option("#key", "C major")  # and the next before the answer
    one.select_option("#bar", "3 beats")
    one.evaluate(f"() => {ENGINE}.seek(2.1)")
    one.keyboard.press("b")
    other.wait_for_function(f"() => {FOUND}.one !== null && {FOUND}.key === 'C major'")
    other.locator("#tempo", has_text="60 BPM").wait_for()
    assert other.input_value("#bar") == "3"
    found = server.get(f"/api/songs/{job['song_id']}").json["music"]
    assert found["beats_s"][found["one"]] == pytest.approx(2, abs=0.03)
    one.get_by_label("Pitch").fill("-2")
    one.get_by_label("Speed").fill("150")
    one.locator("#tempo", has_text="90 BPM").wait_for()
    assert one.inner_text("#key-heard") == "heard in Bb major"
    one.click(".home")
    one.locator(".song", has_text="Ein Takt").get_by_text("60 BPM · C major").wait_for()


def test_tempo_and_key_are_for_everybody(open_page):
    page = open_page().page
    for key in "bckz":
        page.keyboard.press(key)
    page.get_by_label("Pitch").fill("3")
    page.wait_for_function(f"() => {FOUND}.one !== null")
    assert_for_everybody(page)


def test_a_bar_is_counted_in_before_playing_and_before_repetitions(player):
    page = player.page
    page.get_by_label("Twice the tempo").click()
    page.locator("#tempo", has_text="240 BPM").wait_for()
    page.keyboard.press("c")
    page.evaluate("() => document.player.setRegion({ start: 2, end: 3 }, true)")
    page.wait_for_function(f"() => {ENGINE}.time === 2")
    lead_s = page.evaluate(f"() => partita.countIn({FOUND}, 2).seconds")
    assert lead_s == pytest.approx(1, abs=0.03)
    page.keyboard.press(" ")
    page.wait_for_timeout(500)
    assert page.evaluate(f"() => {ENGINE}.time") == 2  # it still counts
    page.wait_for_function(f"() => {ENGINE}.time > 2.8")
    page.wait_for_function(f"() => {ENGINE}.time === 2")
    page.wait_for_function(f"() => {ENGINE}.time > 2.1")
    page.keyboard.press(" ")
    found = clicks(player.recorded())
    assert len(found) == 8
    steps = np.diff(found)
    assert steps == pytest.approx([lead_s / 4] * 3 + [1 + lead_s / 4] + [lead_s / 4] * 3, abs=0.03)
    page.keyboard.press(" ")
    page.wait_for_timeout(400)
    page.keyboard.press(" ")  # in the midst of the count: no click comes after
    page.wait_for_timeout(1000)
    assert 1 <= len(clicks(player.recorded())) <= 3


def test_what_is_counted_in_begins_in_time(player):
    page = player.page
    page.keyboard.press("c")
    page.get_by_label("Mute harmonic").click()
    page.evaluate(f"() => {{ document.activeElement.blur(); return {ENGINE}.seek(3); }}")
    lead_s = page.evaluate(f"() => partita.countIn({FOUND}, 3).seconds")
    page.keyboard.press(" ")
    page.wait_for_function(f"() => {ENGINE}.time > 3.4")
    page.keyboard.press(" ")
    samples = player.recorded()[0]
    begin = int(clicks(samples[None])[0] * RATE)
    music = begin + round(lead_s * RATE)
    rise = np.abs(samples[music - 400 : music + 400])
    assert np.abs(samples[music - 2000 : music - 600]).max() < 1e-3  # the last click has died away
    assert np.argmax(rise > 2e-3) == pytest.approx(400, abs=150)  # within 3 ms, with the fade of 5


def test_the_click_along_is_that_of_exports(player, server, job):
    page = player.page
    page.evaluate(f"() => {ENGINE}.seek(1.3)")
    page.keyboard.press("b")
    page.wait_for_function(f"() => {FOUND}.one !== null")
    page.keyboard.press("k")
    assert page.inner_text("#click-value") == "−12 dB"
    page.keyboard.press(" ")
    page.wait_for_function(f"() => {ENGINE}.time > 2.6")
    page.keyboard.press(" ")
    music = server.get(f"/api/songs/{job['song_id']}").json["music"]
    correction = music.pop("correction")
    assert correction["one_s"] == pytest.approx(1.3, abs=0.01)
    song = TempoKey.from_json(music)
    assert song.corrected(Correction(one_s=1.3)).one == song.one
    wanted = 10 ** (-12 / 20) * ClickTrack(song, RATE).block(0, 8 * RATE)
    heard = player.recorded()[0]
    heard = heard[np.flatnonzero(np.abs(heard) > 1e-4)[0] + 3000 :][: RATE // 2]
    size = 2 ** int(np.ceil(np.log2(len(wanted) + len(heard))))
    spectra = np.fft.rfft(wanted, size) * np.fft.rfft(heard, size).conj()
    place = int(np.fft.irfft(spectra, size)[: len(wanted)].argmax())
    np.testing.assert_allclose(heard, wanted[place : place + len(heard)], atol=2e-4)


def test_mixes_with_a_click(open_page):
    page = open_page().page
    page.keyboard.press("k")
    page.get_by_label("with a click track").check()
    with page.expect_download(timeout=60_000) as download:
        page.click("#export-start")
    archive = zipfile.ZipFile(download.value.path())
    assert archive.namelist() == ["Ein Takt/mix.wav", "Ein Takt/click.wav"]
    mixed, click = (
        soundfile.read(io.BytesIO(archive.read(name)))[0] for name in archive.namelist()
    )
    assert np.abs(click).max() == pytest.approx(10 ** (-6 / 20), abs=1e-3)
    page.select_option("#export-what", "practice-pack")
    with page.expect_download(timeout=60_000) as download:
        page.click("#export-start")
    names = zipfile.ZipFile(download.value.path()).namelist()
    assert len(names) == 8
    assert {"Ein Takt/click.wav", "Ein Takt/practice_harmonic.wav", "Ein Takt/residual.wav"} < {
        *names
    }
    page.select_option("#export-what", "")
    page.keyboard.press("k")
    page.get_by_label("with a click track").uncheck()
    with page.expect_download(timeout=60_000) as download:
        page.click("#export-start")
    plain = soundfile.read(download.value.path())[0]
    np.testing.assert_allclose(mixed - plain, click * 10 ** (-6 / 20), atol=2e-4)


@pytest.mark.parametrize("finds", [False, True])
def test_without_beats_there_is_no_click(browser, server, separated, finds):
    """The song of the other tests is too short for beats."""
    found = Watched(browser, "about:blank")
    page = found.page

    def answer(route):
        facts = {**route.fetch().json(), "finds_tempo": finds}
        route.fulfill(body=json.dumps(facts), content_type="application/json")

    page.route("**/api/server", answer)
    page.goto(f"{server.address}#/song/{separated[1]['id']}")
    page.wait_for_selector(".lane")
    for key in "ckb":
        page.keyboard.press(key)
    assert ("pip install sonara" in page.inner_text("#music-note")) != finds
    for hidden in ("#music", "#click", "#export-click"):
        assert page.is_hidden(hidden)
    assert not found.problems
    found.close()
