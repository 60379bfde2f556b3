"""The page of `partita serve` in headless Chromium: a song in, stems out, heard and balanced."""

import io

import numpy as np
import pytest
import soundfile

from browser import Watched, chromium
from serve_client import Server

pytestmark = pytest.mark.slow
RATE = 44_100
#: The engine of the page that is open.
ENGINE = "document.player.engine"
_KEEP_PLAYER = """() => {
  const { open } = partita.Player.prototype;
  partita.Player.prototype.open = function (id) {
    document.player = this;
    return open.call(this, id);
  };
}"""


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
def server(browser, tmp_path_factory):
    found = Server(tmp_path_factory.mktemp("library"))
    yield found
    assert "Traceback" not in found.stop()[0]


@pytest.fixture
def watched(browser, server):
    """The page under its own policy."""
    found = Watched(browser, server.address)
    yield found
    found.close()


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
    found.page.evaluate(_KEEP_PLAYER)
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


def test_a_song_goes_in_and_its_stems_can_be_heard(watched, wav):
    page = watched.page
    page.wait_for_selector("#library:not([hidden])")
    page.select_option("#model", "hpss")
    assert "needs no weights" in page.inner_text("#model-facts")
    page.set_input_files("#files", str(wav))
    row = page.locator("#songs .song").first
    row.locator(".open").wait_for(timeout=60_000)
    assert row.locator(".song-name").inner_text() == "Ein Lied"
    assert page.locator("#uploads li").count() == 0
    row.locator(".open").click()
    page.wait_for_selector(".lane")
    assert page.locator(".lane .stem").all_inner_texts() == ["harmonic", "percussive", "residual"]
    page.reload()
    page.wait_for_selector(".lane")
    page.go_back()
    page.wait_for_selector("#library:not([hidden])")
    row = page.locator("#songs .song").first
    row.get_by_text("Delete", exact=True).click()
    count = page.locator("#songs .song").count()
    row.get_by_text("Delete for good?").click()
    page.wait_for_function(f"() => document.querySelectorAll('#songs .song').length < {count}")
    assert not watched.problems


def test_two_pages_show_the_same(browser, server, watched, wav):
    other = Watched(browser, server.address)
    for page in (watched.page, other.page):
        page.wait_for_selector("#library:not([hidden])")
    song = server.upload(wav.read_bytes(), "both.wav").json["id"]
    for page in (watched.page, other.page):
        page.get_by_text("both").wait_for()
    server.ask("DELETE", f"/api/songs/{song}")
    for page in (watched.page, other.page):
        page.get_by_text("both").wait_for(state="detached")
    other.close()


def test_what_is_no_song_is_said_and_can_be_dismissed(watched, tmp_path):
    (tmp_path / "notes.txt").write_text("no music")
    page = watched.page
    page.wait_for_selector("#library:not([hidden])")
    page.set_input_files("#files", str(tmp_path / "notes.txt"))
    page.get_by_role("alert").get_by_text("not an audio file").wait_for()
    page.get_by_label("Dismiss notes.txt").click()
    assert page.locator("#uploads li").count() == 0


def test_a_full_library_offers_its_oldest_songs(browser, tmp_path, wav):
    data = wav.read_bytes()
    server = Server(tmp_path, "--quota", str(2.5 * len(data) / 1e9))
    found = Watched(browser, server.address)
    page = found.page
    try:
        for name in ("first.wav", "second.wav"):
            server.upload(data, name)
        page.get_by_text("second").wait_for()
        page.set_input_files("#files", str(wav))
        page.get_by_role("alert").get_by_text("There is no room for it").wait_for()
        boxes = page.get_by_role("list", name="The oldest songs").get_by_role("checkbox")
        assert boxes.count() == 1
        page.get_by_text("Delete 1 song", exact=True).click()
        page.get_by_text("Delete 1 song for good?").click()
        page.locator("#songs").get_by_text("first").wait_for(state="detached")
        assert [song["name"] for song in server.get("/api/songs").json["songs"]] == ["second"]
        page.get_by_label(f"Dismiss {wav.name}").click()
        page.set_input_files("#files", str(wav))
        page.locator("#songs").get_by_text("Ein Lied").wait_for()
    finally:
        found.close()
        server.stop()


def test_a_folder_is_searched_for_songs(watched, wav, tmp_path):
    (tmp_path / "album/disc 1").mkdir(parents=True)
    (tmp_path / "album/disc 1/first.wav").write_bytes(wav.read_bytes())
    (tmp_path / "album/cover.jpg").write_bytes(b"a picture")
    (tmp_path / "album/list.m3u").write_text("disc 1/first.wav")
    page = watched.page
    page.wait_for_selector("#library:not([hidden])")
    page.select_option("#model", "hpss")
    page.set_input_files("#folder", str(tmp_path / "album"))
    page.get_by_role("alert").get_by_text("2 files that are no song left out").wait_for()
    row = page.locator("#songs .song").filter(has_text="first")
    row.get_by_text("Cancel").or_(row.get_by_text("Remove")).wait_for(timeout=60_000)
    assert page.locator("#uploads li").count() == 0


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


def test_speed_and_pitch_under_the_pages_own_policy(watched, server, job):
    page = watched.page
    page.wait_for_selector("#library:not([hidden])")
    page.evaluate(_KEEP_PLAYER)
    page.evaluate("(id) => { location.hash = `#/song/${id}`; }", job["id"])
    page.wait_for_selector(".lane")
    for name, value in (("Speed", 80), ("Pitch", -2)):
        page.get_by_label(name).evaluate(
            "(one, value) => { one.value = value; one.dispatchEvent(new Event('input')); }", value
        )
    page.wait_for_function(f"() => {ENGINE}.speed === 0.8")
    page.keyboard.press(" ")
    page.wait_for_function(f"() => {ENGINE}.time > 0.2")
    clocks = f"() => [{ENGINE}.time, {ENGINE}.context.currentTime]"
    before = np.array(page.evaluate(clocks))
    page.wait_for_timeout(800)
    song, real = np.array(page.evaluate(clocks)) - before
    assert song / real == pytest.approx(0.8, abs=0.02)
    assert not watched.problems


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


@pytest.mark.parametrize("width", [390, 1400])
def test_nothing_is_wider_than_the_window(browser, server, job, width):
    found = Watched(browser, server.address, viewport={"width": width, "height": 800})
    for address in ("#/", f"#/song/{job['id']}"):
        found.page.goto(server.address + address)
        found.page.wait_for_selector(".song" if address == "#/" else ".lane")
        assert found.page.evaluate("() => document.documentElement.scrollWidth") <= width
    found.close()


def test_the_page_is_small_and_asks_no_other_site(watched, server):
    watched.page.wait_for_selector("#library:not([hidden])")
    sizes = [len(server.get(url.removeprefix(server.address.rstrip("/"))).body)
             for url in watched.requests if "/api/" not in url]  # fmt: skip
    assert sum(sizes) < 300_000
    assert all(url.startswith(server.address) for url in watched.requests)


def test_a_token_is_asked_for(browser, tmp_path):
    server = Server(tmp_path, "--token", "open sesame")
    try:
        found = Watched(browser, server.address)
        page = found.page
        page.get_by_label("Token").fill("wrong")
        page.keyboard.press("Enter")
        page.get_by_role("alert").get_by_text("That is not the token").wait_for()
        page.get_by_label("Token").fill("open sesame")
        page.keyboard.press("Enter")
        page.wait_for_selector("#library:not([hidden])")
        assert page.is_hidden("#login")
        found.close()
        by_link = Watched(browser, server.address + "#token=open%20sesame")
        by_link.page.wait_for_selector("#library:not([hidden])")
        assert "sesame" not in by_link.page.url
        by_link.close()
    finally:
        server.stop()


def test_the_server_goes_away_and_comes_back(browser, tmp_path, wav):
    first = Server(tmp_path)
    found = Watched(browser, first.address)
    found.page.wait_for_selector("#library:not([hidden])")
    first.kill()
    found.page.get_by_text("The server is away").wait_for()
    again = Server(tmp_path, "--port", str(first.port))
    try:
        again.upload(wav.read_bytes(), "later.wav")
        found.page.get_by_text("later").wait_for(timeout=15_000)
        assert found.page.is_hidden("#connection")
    finally:
        again.stop()
    found.close()
