"""The page of a report in headless Chromium, from disk: what a person sees, hears and presses."""

import numpy as np
import pytest
import soundfile

from browser import Watched, chromium
from partita.reports.content import Column, LineChart, Report, Section, Song, Table
from partita.reports.page import write_page

pytestmark = pytest.mark.slow
RATE, SECONDS = 48_000, 6
SIZES = [(1400, "light"), (390, "dark")]
#: Every stem of every system is a sine of its own, so a spectrum tells what is heard.
HERTZ = {
    "reference": {"vocals": 400, "rest": 500},
    "one": {"vocals": 600, "rest": 700},
    "mixture": {"vocals": 800, "rest": 900},  # as the floor of a comparison is called
}
MIXTURE_HZ, MIXTURE_LEVEL, LEVEL = 300, 0.1, 0.02


def sine(hertz, level=LEVEL):
    return level * np.sin(2 * np.pi * hertz * np.arange(SECONDS * RATE) / RATE)


@pytest.fixture(scope="module")
def page_path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")

    def write(name, samples):
        path = folder / f"{name}.wav"
        soundfile.write(path, np.stack([samples, samples], axis=1), RATE, subtype="FLOAT")
        return path

    stems = {
        system: {stem: write(f"{system}-{stem}", sine(hertz)) for stem, hertz in stems.items()}
        for system, stems in HERTZ.items()
    }
    references = stems.pop("reference")
    mixture = write("mixture", sine(MIXTURE_HZ, MIXTURE_LEVEL))
    stems["floor"] = dict.fromkeys(("vocals", "rest", "third"), mixture)
    song = Song(
        "A song",
        mixture,
        references,
        stems,
        sdr={
            "one": {"vocals": [9, 3, 8, -2, 7, 6], "rest": [5, 5, 1, 5, 5, float("nan")]},
            "mixture": {"vocals": [4, 4, 4, 4, 0, 4]},
        },
        null_depth_db={"one": -3.0, "mixture": -4.0},
    )
    short = Song("Another song", song.mixture, {}, {"mixture": stems["mixture"]})
    columns = [Column("system"), Column("SDR", "dB")]
    table = Table("scores", "Scores.", columns, [["one", 5.0], ["two", 10.0], ["three", None]])
    chart = LineChart("losses", "Losses.", "epoch", "loss", {"one": [(1, 2.0), (2, 1.0)]})
    sections = [Section("Scores", [table]), Section("Losses", [chart])]
    return write_page(Report("A comparison", ["Data."], sections, [song, short]), folder / "out")


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def opened(browser, page_path):
    """The page, its player recorded. The policy would stop the recorder's own script."""
    watched = Watched(browser, page_path, bypass_csp=True, viewport={"width": 1400, "height": 900})
    watched.record("partita.player.engine")
    yield watched
    watched.close()


@pytest.fixture
def page(opened):
    """The page as it was at first, silent."""
    opened.page.evaluate(
        """() => {
          const { player } = partita;
          player.engine.pause();
          player.setRegion(null, false);
          player.muted.clear(); player.soloed.clear();
          player.isNull = player.isRaised = player.isZoomed = player.hasPictures = false;
          player.open(0); player.choose("one"); player.engine.seek(0);
          document.activeElement.blur();
        }"""
    )
    opened.page.wait_for_timeout(60)
    opened.recorded()
    yield opened.page
    assert not opened.problems


def heard(opened, seconds=0.18):
    """Frequencies that are heard from now on."""
    opened.page.wait_for_timeout(60)
    opened.recorded()
    opened.page.wait_for_timeout(1000 * seconds)
    samples = opened.recorded()[0]
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)))) * 4 / len(samples)
    at = {hertz: spectrum[round(hertz * len(samples) / RATE)] for hertz in range(300, 1000, 100)}
    return {hertz for hertz, level in at.items() if level > 0.1 * LEVEL}


def state(page, name):
    return page.evaluate(f"() => partita.player.{name}")


def test_plays_and_switches_without_a_click(opened, page):
    page.click("#play")
    assert heard(opened) == {600, 700}
    page.click("[data-kind=reference]")
    assert heard(opened) == {400, 500}
    opened.recorded()
    for key in ("3", "1", "0", "2"):
        page.keyboard.press(key)
        page.wait_for_timeout(120)
    samples = opened.recorded()
    steepest = 2 * np.pi * (900 + 800) / RATE * LEVEL  # of the sines; and of a ramp
    steepest = 0.8 * (steepest + MIXTURE_LEVEL / (0.005 * RATE)) * 1.1
    assert np.abs(np.diff(samples)).max() < steepest
    assert np.abs(samples).max() < 0.8 * MIXTURE_LEVEL * 1.1  # never two systems at full level
    assert state(page, "system") == "one"
    page.keyboard.press(" ")
    page.wait_for_timeout(80)
    assert not state(page, "engine.playing")
    assert page.get_attribute("#play", "aria-label") == "Play"


def test_mutes_and_solos(opened, page):
    page.click("#play")
    page.click("[aria-label='Mute vocals']")
    assert heard(opened) == {700}
    page.click("[aria-label='Solo vocals']")
    assert heard(opened) == {600}
    assert page.get_attribute("[aria-label='Solo vocals']", "aria-pressed") == "true"
    page.keyboard.press("3")  # the choice of stems stays
    assert heard(opened) == {800}
    page.keyboard.press("s")
    page.keyboard.press("m")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("m")
    assert heard(opened) == {800}


def test_null_test_plays_mixture_minus_stems(opened, page):
    page.click("#play")
    page.click("#null")
    assert heard(opened) == {300, 600, 700}
    assert "−3.0 dB relative to the mixture" in page.inner_text("#status")
    page.click("#raise")
    page.wait_for_timeout(100)
    opened.recorded()
    page.wait_for_timeout(150)
    assert np.abs(opened.recorded()).max() == pytest.approx(0.8 * 0.5, abs=0.02)
    page.keyboard.press("1")  # the reference has no residual
    assert heard(opened) == {400, 500}
    assert page.is_disabled("#null")


def test_a_floor_whose_stems_are_all_the_mixture_is_not_three_times_as_loud(opened, page):
    page.click("[data-system=floor]")
    page.click("#play")
    assert heard(opened) == {300}
    assert "floor add up to more than the mixture: heard 10 dB lower" in page.inner_text("#status")
    opened.page.wait_for_timeout(100)
    assert np.abs(opened.recorded()).max() == pytest.approx(0.8 * MIXTURE_LEVEL, rel=0.05)
    page.keyboard.press("s")  # one stem alone has its own level
    opened.page.wait_for_timeout(80)
    opened.recorded()
    opened.page.wait_for_timeout(100)
    assert np.abs(opened.recorded()).max() == pytest.approx(0.8 * MIXTURE_LEVEL, rel=0.05)
    assert page.inner_text("#status") == ""


def test_worst_second_and_loop(opened, page):
    page.click("#worst")
    assert state(page, "engine.time") == 3
    assert "vocals at 0:03: SDR −2.0 dB, median of the song 6.5 dB" in page.inner_text("#status")
    page.keyboard.press("w")
    assert state(page, "engine.time") == 2
    assert "rest at 0:02: SDR 1.0 dB" in page.inner_text("#status")
    page.click("#loop")
    page.evaluate("() => partita.player.engine.seek(2.7)")
    page.keyboard.press(" ")
    page.wait_for_timeout(600)
    assert 2 <= state(page, "engine.time") < 2.7
    page.keyboard.press("Escape")
    page.wait_for_function("() => partita.player.engine.time > 3")


def test_a_drag_loops_and_a_click_seeks(page):
    box = page.locator(".lane-view").first.bounding_box()
    left, width = box["x"] + 40, box["width"] - 40
    middle = box["y"] + 20
    page.mouse.click(left + width / 2, middle)
    assert state(page, "engine.time") == pytest.approx(3, abs=0.05)
    page.mouse.move(left + width / 6, middle)
    page.mouse.down()
    page.mouse.move(left + width / 3, middle, steps=4)
    page.mouse.up()
    loop = state(page, "engine.loop")
    assert (loop["start"], loop["end"]) == pytest.approx((1, 2), abs=0.05)
    assert page.get_attribute("#loop", "aria-pressed") == "true"
    page.keyboard.press("z")
    view = page.evaluate("() => partita.player.view")
    assert view["start"] == pytest.approx(0.5, abs=0.1)
    assert view["end"] == pytest.approx(2.5, abs=0.1)
    overview = page.locator("#overview").bounding_box()
    page.mouse.move(overview["x"] + overview["width"] * 0.5, overview["y"] + 10)
    page.mouse.down()
    page.mouse.move(overview["x"] + overview["width"] * 0.75, overview["y"] + 10, steps=4)
    page.mouse.up()
    loop = state(page, "engine.loop")
    assert (loop["start"], loop["end"]) == pytest.approx((3, 4.5), abs=0.1)


def test_spectrograms_show_what_sounds(page):
    page.keyboard.press("v")
    page.wait_for_timeout(500)
    rows = page.evaluate(
        """() => [...document.querySelectorAll(".picture-frame:not([hidden]) .picture")].map(
          (canvas) => {
            const { width, height } = canvas;
            const { data } = canvas.getContext("2d").getImageData(width / 2, 0, 1, height);
            const rows = Array.from({ length: height }, (_, y) => data[4 * y] + data[4 * y + 1]);
            return 1 - (rows.indexOf(Math.max(...rows)) + 0.5) / height;
          }
        )"""
    )
    wanted = [np.log2(1 + hertz / 200) / np.log2(1 + RATE / 2 / 200) for hertz in (600, 700)]
    assert rows == pytest.approx(wanted, abs=0.03)


def test_another_song_and_a_table(page):
    page.select_option("#song", "1")
    assert page.evaluate("() => partita.player.names") == ["mixture"]
    assert state(page, "system") == "mixture"
    cells = "() => [...document.querySelectorAll('td:first-child')].map((cell) => cell.textContent)"
    page.click("th button >> text=SDR")
    assert page.evaluate(cells) == ["two", "one", "three"]
    page.click("th button >> text=SDR")
    assert page.evaluate(cells) == ["one", "two", "three"]
    assert page.get_attribute("th.number", "aria-sort") == "ascending"


@pytest.mark.parametrize(("width", "scheme"), SIZES)
def test_fits_the_screen_under_its_policy_and_asks_for_no_network(
    browser, page_path, width, scheme
):
    watched = Watched(
        browser, page_path, viewport={"width": width, "height": 900}, color_scheme=scheme
    )
    page = watched.page
    page.keyboard.press("v")
    page.click("#play")
    page.wait_for_timeout(300)
    assert 0 < state(page, "engine.time") < 2
    page.keyboard.press("n")
    page.keyboard.press("w")
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width
    assert all(url.startswith("file://") for url in watched.requests)
    drawn = page.evaluate(
        """() => [...document.querySelectorAll("canvas")].filter((canvas) => canvas.offsetParent)
          .map((canvas) => canvas.getBoundingClientRect().width)"""
    )
    assert len(drawn) > 5
    assert max(drawn) <= width
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll("button, select, input")].filter((element) => {
          const { ariaLabel, textContent, labels } = element;
          return !(ariaLabel || textContent.trim() || labels.length);
        }).length"""
    )
    assert unnamed == 0
    assert not watched.problems
    watched.close()
