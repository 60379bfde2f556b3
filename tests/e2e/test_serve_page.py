"""The page of `partita serve` in headless Chromium: songs in, stems out, for everybody."""

import base64
import json

import numpy as np
import pytest

from browser import Watched, assert_for_everybody, chromium
from partita.serve.intake import Intake
from partita.serve.library import Library
from partita.serve.limits import Limits
from serve_client import KEEP_PLAYER, Server

pytestmark = pytest.mark.slow
ENGINE = "document.player.engine"
#: A drop of a file, as a person's.
_DROP = """([name, text]) => {
  const bytes = Uint8Array.from(atob(text), (each) => each.charCodeAt(0));
  const dataTransfer = new DataTransfer();
  dataTransfer.items.add(new File([bytes], name));
  for (const type of ["dragenter", "dragover", "drop"]) {
    const options = { dataTransfer, bubbles: true, cancelable: true };
    document.getElementById("drop").dispatchEvent(new DragEvent(type, options));
  }
}"""


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def opened(browser, server):
    """The page under its own policy, opened once: that takes a second."""
    found = Watched(browser, server.address)
    found.page.wait_for_selector("#library:not([hidden])")
    found.page.select_option("#model", "hpss")
    yield found
    found.close()


@pytest.fixture
def watched(opened):
    """The page at its library, without what others have left there."""
    opened.page.goto(opened.page.url.split("#")[0] + "#/")
    opened.page.wait_for_selector("#library:not([hidden])")
    opened.page.bring_to_front()
    opened.page.evaluate(KEEP_PLAYER)
    opened.problems.clear()
    return opened


@pytest.fixture
def page(watched):
    return watched.page


@pytest.fixture(scope="module")
def wav_path(wav, tmp_path_factory):
    path = tmp_path_factory.mktemp("music") / "Ein Lied.wav"
    path.write_bytes(wav)
    return path


def row_of(page, name):
    return page.locator("#songs .song").filter(has_text=name)


def put_into(folder, data, *names):
    """Put songs into a library that no server has: uploads would start a process."""
    with Library(folder) as library:
        for name in names:
            with Intake(library, Limits(), name, len(data)) as intake:
                intake.write(data)
                intake.finish()


def test_a_song_is_dropped_and_its_stems_can_be_heard_also_after_reloads(watched, wav):
    page = watched.page
    assert "needs no weights" in page.inner_text("#model-facts")
    page.evaluate(_DROP, ["Mein Lied.wav", base64.b64encode(wav).decode()])
    row = row_of(page, "Mein Lied")
    row.locator(".job").wait_for()
    page.reload()
    row.locator(".open").wait_for(timeout=60_000)
    assert page.locator("#uploads li").count() == 0
    row.locator(".open").click()
    page.wait_for_selector(".lane")
    assert page.locator(".lane .stem").all_inner_texts() == ["harmonic", "percussive", "residual"]
    page.reload()
    page.wait_for_selector(".lane")
    page.go_back()
    page.wait_for_selector("#library:not([hidden])")
    page.go_forward()
    page.wait_for_selector(".lane")
    page.go_back()
    row.get_by_text("Delete", exact=True).click()
    row.get_by_text("Delete for good?").click()
    row.wait_for(state="detached")
    assert not watched.problems


def test_two_tabs_show_the_same(watched, server, wav):
    other = watched.context.new_page()
    other.goto(server.address)
    song = server.upload(wav, "both.wav").json["id"]
    for page in (watched.page, other):
        row_of(page, "both").wait_for()
    row = row_of(other, "both")
    row.get_by_text("Delete", exact=True).click()
    row.get_by_text("Delete for good?").click()
    for page in (watched.page, other):
        row_of(page, "both").wait_for(state="detached")
    assert server.get(f"/api/songs/{song}").status == 404
    other.close()


def test_keys_are_enough(page, server, separated, wav_path):
    """From the library to a download without a mouse."""
    song, _ = separated

    def tab_to(name):
        for _ in range(80):
            page.keyboard.press("Tab")
            focus = page.evaluate(
                "() => document.activeElement.ariaLabel || document.activeElement.textContent"
            )
            if focus.startswith(name):
                return
        raise AssertionError(f"{name} is not reached")

    row_of(page, song["name"]).first.wait_for()  # what makes the page anew may move the focus
    page.evaluate("() => document.activeElement.blur()")
    with page.expect_file_chooser() as chooser:  # a key right after it would overtake the listening
        tab_to("Choose files")
        page.keyboard.press("Enter")
    chooser.value.set_files(str(wav_path))
    page.locator("#uploads li").wait_for(state="detached", timeout=60_000)
    tab_to(f"Listen: {song['name']}")
    page.keyboard.press("Enter")
    page.wait_for_selector(".lane")
    tab_to("To the content")
    page.keyboard.press("Enter")
    assert "#/song/" in page.url
    tab_to("Play")
    page.keyboard.press("Space")
    page.wait_for_function(f"() => {ENGINE}.time > 0.1")
    page.keyboard.press("Space")
    page.wait_for_selector("#play:not(.playing)")
    tab_to("Mute")
    page.keyboard.press("Enter")
    assert page.locator(".lane.silent").count() == 1
    page.keyboard.press("Enter")
    tab_to("Download")
    with page.expect_download(timeout=60_000) as download:
        page.keyboard.press("Enter")
    assert download.value.suggested_filename.startswith(song["name"])
    page.evaluate("() => { location.hash = '#/'; }")
    row = row_of(page, "Ein Lied").first
    row.get_by_text("Delete", exact=True).focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")  # away: it is not asked any more
    assert row.get_by_text("Delete for good?").count() == 0


@pytest.mark.parametrize("is_there", [True, False])
def test_a_song_that_comes_too_late_moves_nobody(page, separated, is_there):
    asked = []

    def keep(request):
        asked.append(request)

    page.route("**/api/jobs/*", keep)
    page.evaluate("(id) => { location.hash = `#/song/${id}`; }", separated[1]["id"])
    page.wait_for_selector("#player:not([hidden])")
    page.evaluate("() => { location.hash = '#/'; }")
    page.wait_for_selector("#library:not([hidden])")
    page.get_by_role("button", name="Choose files").focus()
    with page.expect_response("**/api/jobs/*"):
        asked[0].continue_() if is_there else asked[0].fulfill(status=404, json={"error": "gone"})
    page.unroute("**/api/jobs/*")
    page.wait_for_timeout(200)
    assert page.evaluate("() => document.activeElement.id") == "choose-files"
    assert page.locator(".toast").inner_text() == ""


def test_what_is_no_song_is_said_and_can_be_dismissed(page, tmp_path):
    (tmp_path / "notes.txt").write_text("no music")
    page.set_input_files("#files", str(tmp_path / "notes.txt"))
    page.get_by_role("alert").get_by_text("not an audio file").wait_for()
    page.get_by_label("Dismiss notes.txt").click()
    assert page.locator("#uploads li").count() == 0


def test_an_upload_goes_on_when_the_connection_is_back(page, wav_path):
    before = row_of(page, wav_path.stem).count()
    page.context.set_offline(True)
    page.set_input_files("#files", str(wav_path))
    page.get_by_text("The server does not answer; it is tried again.").wait_for()
    page.context.set_offline(False)
    page.locator("#uploads li").wait_for(state="detached", timeout=30_000)
    row_of(page, wav_path.stem).nth(before).wait_for()


def test_a_folder_is_searched_for_songs(page, wav, tmp_path):
    (tmp_path / "album/disc 1").mkdir(parents=True)
    (tmp_path / "album/disc 1/first.wav").write_bytes(wav)
    (tmp_path / "album/cover.jpg").write_bytes(b"a picture")
    (tmp_path / "album/list.m3u").write_text("disc 1/first.wav")
    page.set_input_files("#folder", str(tmp_path / "album"))
    page.get_by_role("alert").get_by_text("2 files that are no song left out").wait_for()
    row_of(page, "first").locator(".job").wait_for(timeout=60_000)
    assert page.locator("#uploads li").count() == 0


def test_speed_and_pitch_under_the_pages_own_policy(watched, separated):
    page = watched.page
    page.evaluate("(id) => { location.hash = `#/song/${id}`; }", separated[1]["id"])
    page.wait_for_selector(".lane")
    for name, value in (("Speed", 80), ("Pitch", -2)):
        page.get_by_label(name).evaluate(
            "(one, value) => { one.value = value; one.dispatchEvent(new Event('input')); }", value
        )
    page.wait_for_function(f"() => {ENGINE}.speed === 0.8")
    page.evaluate("() => document.activeElement.blur()")
    page.keyboard.press(" ")
    page.wait_for_function(f"() => {ENGINE}.time > 0.2")
    clocks = f"() => [{ENGINE}.time, {ENGINE}.context.currentTime]"
    before = np.array(page.evaluate(clocks))
    page.wait_for_timeout(800)
    song, real = np.array(page.evaluate(clocks)) - before
    page.keyboard.press(" ")
    page.click("#reset")
    assert song / real == pytest.approx(0.8, abs=0.02)
    assert not watched.problems


def test_the_page_is_small_and_asks_no_other_site(watched, server):
    sizes = [len(server.get(url.removeprefix(server.address.rstrip("/"))).body)
             for url in {*watched.requests} if "/api/" not in url]  # fmt: skip
    assert sum(sizes) < 300_000
    assert all(url.startswith(server.address) for url in watched.requests)


def test_the_player_is_for_everybody(watched, separated):
    page = watched.page
    page.evaluate("(id) => { location.hash = `#/song/${id}`; }", separated[1]["id"])
    page.wait_for_selector(".lane")
    page.click(".keys summary")
    page.click("#null")
    page.get_by_label("Mute residual").click()
    page.evaluate("() => document.player.lanes.zoom({ start: 1, end: 2 })")
    assert_for_everybody(page)
    page.keyboard.press("v")
    assert_for_everybody(page)
    page.keyboard.press("v")
    page.click("#reset")


def test_a_library_in_all_states_is_for_everybody(browser, server, separated, tmp_path):
    """Uploads, separations in each state, a refused file, a deletion to confirm, no server."""
    song, done = server.get(f"/api/songs/{separated[0]['id']}").json, separated[1]
    states = {"queued": "", "running": "", "done": "", "failed": "It broke.", "cancelled": ""}
    jobs = [
        {
            **done,
            "id": state,
            "state": state,
            "phase": "separating",
            "progress": 0.4,
            "error": error,
        }
        for state, error in states.items()
    ]
    everything = {"all": True, "songs": [song], "jobs": jobs, "deleted": []}
    found = Watched(browser, "about:blank")
    page = found.page
    page.route(
        "**/api/events",
        lambda route: route.fulfill(
            content_type="text/event-stream", body=f"id: 1\ndata: {json.dumps(everything)}\n\n"
        ),
    )
    page.route("**/api/songs?name=wait*", lambda _: None)  # an upload that goes on
    page.goto(server.address)
    page.wait_for_selector("#library:not([hidden])")
    for name in ("notes.txt", "wait.wav"):
        (tmp_path / name).write_bytes(b"no music")
        page.set_input_files("#files", str(tmp_path / name))
    page.get_by_role("alert").get_by_text("not an audio file").wait_for()
    page.click("#room summary")
    page.get_by_role("checkbox").first.wait_for()
    page.get_by_text("The server is away").wait_for()
    assert {*page.locator(".job").evaluate_all("(all) => all.map((one) => one.className)")} == {
        f"job {state}" for state in states
    }
    page.get_by_text("Delete", exact=True).first.click()
    assert_for_everybody(page)
    found.close()


def test_a_token_is_asked_for_and_a_server_that_was_away_is_there_again(browser, tmp_path, wav):
    first = Server(tmp_path, "--token", "open sesame")
    found = Watched(browser, first.address)
    page = found.page
    page.get_by_label("Token").fill("wrong")
    page.keyboard.press("Enter")
    page.get_by_role("alert").get_by_text("That is not the token").wait_for()
    assert_for_everybody(page)
    page.get_by_label("Token").fill("open sesame")
    page.keyboard.press("Enter")
    page.wait_for_selector("#library:not([hidden])")
    assert page.is_hidden("#login")
    assert_for_everybody(page)  # without songs
    link = found.context.browser.new_context().new_page()
    link.goto(first.address + "#token=open%20sesame")
    link.wait_for_selector("#library:not([hidden])")
    assert "sesame" not in link.url
    link.context.close()
    first.kill()
    page.get_by_text("The server is away").wait_for()
    put_into(tmp_path, wav, "later.wav")
    again = Server(tmp_path, "--token", "open sesame", "--port", str(first.port))
    try:
        row_of(page, "later").wait_for(timeout=15_000)
        assert page.is_hidden("#connection")
    finally:
        again.stop()
    found.close()


def test_a_full_library_offers_its_oldest_songs(browser, tmp_path, wav, wav_path):
    put_into(tmp_path, wav, "first.wav", "second.wav")
    server = Server(tmp_path, "--quota", str(2.5 * len(wav) / 1e9))
    found = Watched(browser, server.address)
    page = found.page
    try:
        row_of(page, "second").wait_for()
        page.set_input_files("#files", str(wav_path))
        page.get_by_role("alert").get_by_text("There is no room for it").wait_for()
        boxes = page.get_by_role("list", name="The oldest songs").get_by_role("checkbox")
        boxes.first.wait_for()
        assert boxes.count() == 1
        page.get_by_text("Delete 1 song", exact=True).click()
        page.get_by_text("Delete 1 song for good?").click()
        row_of(page, "first").wait_for(state="detached")
        assert [song["name"] for song in server.get("/api/songs").json["songs"]] == ["second"]
    finally:
        found.close()
        server.stop()
