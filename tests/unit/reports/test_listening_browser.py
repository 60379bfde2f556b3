"""Listening tests in a browser: from disk, by keys, and answers that Python reads back."""

import json
import re
import shutil

import pytest

from browser import Watched, chromium
from listening_songs import make_report, make_song
from partita.comparison.listening import compare_pairs, ratings_of, read_answers
from partita.reports.listening import KEY_FILE, read_key, write_listening_page

pytestmark = pytest.mark.slow

LETTERS = "ABCDEFGHIJKL"
_HEARD = """(name) => {
  const missing = document.querySelector(".hint").textContent.match(/Still to hear: ([^.]*)/);
  return !missing || (missing[1] !== "all" && !missing[1].split(", ").includes(name));
}"""


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("comparison")
    write_listening_page(make_report(make_song(folder, entrants=["alpha", "beta"])), folder, seed=5)
    return folder


def opened(browser, folder, name, **context):
    return Watched(browser, folder / "listening" / f"{name}.html", **context)


def begin(page, listener):
    page.fill("#code", listener)
    page.click("#start")


def sounds(page):
    """Ids of what is rated, A first."""
    buttons = page.query_selector_all(".rows button, .two button")
    return [button.get_attribute("data-sound") for button in buttons]


def hear(page, *keys):
    """Play sounds by their keys, each until it counts as heard."""
    for key in keys:
        page.keyboard.press(key)
        name = "the reference" if key == "r" else key.upper()
        page.wait_for_function(_HEARD, arg=name)


def missing(page):
    page.wait_for_timeout(80)
    return page.inner_text(".hint")


def saved(page, button, folder):
    with page.expect_download() as download:
        page.click(button)
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


def rate(page, ratings):
    for index, item in enumerate(sounds(page)):
        page.locator(".rows input[type=range]").nth(index).fill(str(ratings[item]))


def test_answers_of_mushra_are_read_back(browser, folder, tmp_path):
    key = read_key(folder / KEY_FILE)
    levels = {"reference": 100, "low anchor": 30, "interference anchor": 20, "entrant": 60}
    wanted = {item.id: levels[item.kind] for trial in key.trials for item in trial.items}
    watched = opened(browser, folder, "listening", accept_downloads=True)
    page = watched.page
    begin(page, "Zoë / 7")
    assert page.inner_text(".top span") == "Practice"
    page.keyboard.press("n")
    assert page.inner_text(".top span") == "Trial 1 of 2"
    assert missing(page) == "Still to hear: all. Still to rate: A, B, C, D, E."
    rate(page, wanted)
    hear(page, "r", "a", "b")
    assert missing(page) == "Still to hear: C, D, E."
    page.keyboard.press("n")
    assert page.inner_text(".top span") == "Trial 1 of 2"
    first = sounds(page)
    page.reload()  # the draft goes on where it was
    page.click("#resume")
    assert sounds(page) == first
    assert [each.inner_text() for each in page.query_selector_all("output")] == [
        str(wanted[item]) for item in first
    ]
    hear(page, "r", *"abcde")
    assert missing(page) == ""
    page.keyboard.press("n")
    assert page.inner_text(".top span") == "Trial 2 of 2"
    part = read_answers(saved(page, "text=Save answers so far", tmp_path), {key.page: key})
    assert len(part.ratings) == 1
    rate(page, {item: min(level, 55) for item, level in wanted.items()})
    hear(page, "r", *"abcde")
    assert "none of your ratings is 100" in missing(page)
    page.click("#next")
    path = saved(page, "#save", tmp_path)
    assert path.name == f"listening-mushra-{key.page[:6]}-Zoe-7.json"
    answers = read_answers(path, {key.page: key})
    assert answers.listener == "Zoë / 7"
    ratings = ratings_of([answers])
    assert len(ratings) == 10
    for rating in ratings:
        level = levels[rating.item.kind]
        wanted_value = level if rating.trial.id in part.ratings else min(level, 55)
        assert rating.value == wanted_value
    content = json.loads(path.read_text())
    assert content["trials"][0]["order"] == first
    assert content["trials"][0]["seconds"] > 2
    assert watched.problems == []
    assert all(url.startswith(("file:", "data:", "blob:")) for url in watched.requests)
    watched.close()


def test_preferences_are_read_back(browser, folder, tmp_path):
    key = read_key(folder / KEY_FILE)
    names = {item.id: item.entrant for pair in key.pairs for item in pair.items}
    watched = opened(browser, folder, "preference", accept_downloads=True)
    page = watched.page
    begin(page, "")
    for number in (1, 2):
        assert page.inner_text(".top span") == f"Pair {number} of 2"
        letter = LETTERS[[names[item] for item in sounds(page)].index("alpha")]
        page.click(f"text={letter} is better")
        assert missing(page) == "Still to hear: A, B."
        hear(page, "a", "b")
        page.click("#next")
    answers = read_answers(saved(page, "#save", tmp_path), {key.page: key})
    assert re.fullmatch(r"anonymous-[0-9a-f]{8}", answers.listener)
    (pair,) = compare_pairs([answers], ["alpha", "beta"])
    assert (pair.wins, pair.losses, pair.ties) == (2, 0, 0)
    assert watched.problems == []
    watched.close()


def test_orders_are_those_of_the_listener(browser, folder):
    watched = opened(browser, folder, "listening")
    script = """(who) => {
        const test = JSON.parse(document.getElementById("test").textContent);
        return stepsOf(test, who).map(({trial, order, practice}) => [trial.id, order, practice]);
    }"""
    orders = {who: watched.page.evaluate(script, who) for who in ("Anna", "Ben", "Cleo", "Dora")}
    assert watched.page.evaluate(script, "Anna") == orders["Anna"]
    assert len({json.dumps(order) for order in orders.values()}) == 4
    key = read_key(folder / KEY_FILE)
    items = {trial.id: sorted(item.id for item in trial.items) for trial in key.trials}
    for steps in orders.values():
        assert [practice for *_, practice in steps] == [True, False, False]
        assert {name for name, *_ in steps[1:]} == set(items)
        assert all(sorted(order) == items[name] for name, order, _ in steps)
    # Each of many listeners is as likely to hear the reference first as any other sound.
    first = [watched.page.evaluate(script, f"listener {n}")[1][1][0] for n in range(200)]
    counts = [first.count(item) for item in set(first)]
    assert len(counts) == 10
    assert max(counts) < 40
    watched.close()


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1400, "light")])
def test_pages_fit(browser, folder, width, scheme):
    for name in ("listening", "preference"):
        viewport = {"width": width, "height": 800}
        watched = opened(browser, folder, name, viewport=viewport, color_scheme=scheme)
        begin(watched.page, "Anna")
        assert watched.page.evaluate("document.documentElement.scrollWidth") <= width
        assert watched.problems == []
        watched.close()


def test_a_part_is_repeated(browser, folder):
    watched = opened(browser, folder, "preference")
    page = watched.page
    begin(page, "Anna")
    box = page.locator("#time").bounding_box()
    page.mouse.move(box["x"] + 0.25 * box["width"], box["y"] + 9)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.75 * box["width"], box["y"] + 9)
    page.mouse.up()
    assert page.inner_text(".under span") == "Repeats 0.1 to 0.4 s."
    page.click("text=Repeat all")
    assert page.inner_text(".under span").startswith("Repeats all 0.5 s.")
    watched.close()


def test_missing_audio_is_said(browser, folder, tmp_path):
    shutil.copytree(folder / "listening", tmp_path / "listening")
    shutil.rmtree(tmp_path / "listening" / "audio")
    watched = opened(browser, tmp_path, "preference")
    begin(watched.page, "Anna")
    watched.page.keyboard.press("a")
    watched.page.wait_for_function(
        "document.querySelector('.hint').textContent.includes('missing')"
    )
    assert "keep the page's folder together" in watched.page.inner_text(".hint")
    watched.close()


def test_a_browser_without_storage_has_no_draft_but_works(browser, folder):
    watched = opened(browser, folder, "preference")
    page = watched.page
    page.add_init_script(
        "Object.defineProperty(window, 'localStorage', {get() { throw new Error('none'); }})"
    )
    page.reload()
    assert "this browser keeps nothing" in page.inner_text("main")
    begin(page, "Anna")
    assert page.inner_text(".top span") == "Pair 1 of 2"
    assert watched.problems == []
    watched.close()
