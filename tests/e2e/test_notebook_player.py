"""Players of notebooks in headless Chromium: in sync, muted, alone, one at a time."""

import numpy as np
import pytest
import torch

import partita
from browser import Watched, chromium
from partita.audio.signal import Audio

pytestmark = pytest.mark.slow
RATE = 48_000


def noise(seed, seconds=4):
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal((2, seconds * RATE)))
    spectrum[:, 1000 * seconds :] = 0
    found = np.fft.irfft(spectrum)
    return torch.from_numpy((0.3 * found / np.abs(found).max()).astype(np.float32))


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    path = tmp_path_factory.mktemp("notebook") / "page.html"
    first = noise(0)
    signals = {"a": Audio(first, RATE), "minus a": Audio(-first, RATE), "b": Audio(noise(1), RATE)}
    partita.show(signals, path=path)
    other = path.with_name("other.html")  # two cells of a notebook, each with the script
    partita.show(signals["b"], path=other)
    path.write_text(path.read_text() + other.read_text().partition("<body>")[2])
    with chromium() as browser:
        found = Watched(browser, path)
        found.page.evaluate(
            "() => { const [one] = document.querySelectorAll('.partita-player');"
            "window.one = Object.assign(Object.create(one.partitaPlayer),"
            "{_open: () => one.partitaPlayer._device()}); }"
        )
        found.record("window.one")
        yield found
        found.close()


def press(watched, label, player=0):
    watched.page.locator(".partita-player").nth(player).locator(label).click()


def heard_ms(watched, milliseconds):
    watched.page.wait_for_timeout(200)
    watched.recorded()
    watched.page.wait_for_timeout(milliseconds)
    return watched.recorded()


def level(samples):
    return float(np.sqrt((samples**2).mean())) if samples.size else 0.0


def test_signals_play_in_sync_and_can_be_muted_and_heard_alone(watched):
    press(watched, ".partita-play")
    single = level(noise(1).numpy())
    both = heard_ms(watched, 400)  # a and minus a cancel out but for the codec
    assert level(both) == pytest.approx(single, rel=0.25)
    press(watched, "[aria-label='mute b']")
    silent = heard_ms(watched, 400)
    assert level(silent) < 0.1 * single
    assert silent.shape[1] > 0.2 * RATE
    press(watched, "[aria-label='solo a']")
    assert level(heard_ms(watched, 400)) == pytest.approx(level(noise(0).numpy()), rel=0.25)
    off = watched.page.locator(".partita-off .partita-name").all_inner_texts()
    assert off == ["minus a", "b"]
    press(watched, "[aria-label='solo b']")  # one click from one to the other
    assert level(heard_ms(watched, 400)) == pytest.approx(single, rel=0.25)
    watched.page.locator("[aria-label='solo a']").first.click(modifiers=["Shift"])
    off = watched.page.locator(".partita-off .partita-name").all_inner_texts()
    assert off == ["minus a"]
    press(watched, ".partita-play")
    assert level(heard_ms(watched, 200)) < 1e-4
    press(watched, "[aria-label='solo a']")
    press(watched, "[aria-label='solo a']")
    press(watched, "[aria-label='mute b']")
    assert not watched.problems


def test_a_click_on_a_waveform_seeks_and_the_end_stops(watched):
    wave = watched.page.locator(".partita-wave").first
    box = wave.bounding_box()
    wave.click(position={"x": box["width"] * 0.9, "y": 5})
    assert watched.page.locator(".partita-time").first.inner_text() == "0:03 / 0:04"
    press(watched, ".partita-play")
    button = watched.page.locator(".partita-play").first
    assert button.inner_text() == "Pause"
    watched.page.wait_for_function(
        "() => document.querySelector('.partita-play').textContent === 'Play'", timeout=5000
    )
    assert watched.page.locator(".partita-time").first.inner_text() == "0:00 / 0:04"
    assert not watched.problems


def test_one_player_at_a_time(watched):
    press(watched, ".partita-play")
    press(watched, ".partita-play", player=1)
    watched.page.wait_for_timeout(200)
    assert watched.page.locator(".partita-play").all_inner_texts() == ["Play", "Pause"]
    assert watched.page.locator("audio:visible").count() == 0
    press(watched, ".partita-play", player=1)
    assert not watched.problems


def test_without_scripts_the_browsers_players_are_there(watched, tmp_path):
    path = tmp_path / "page.html"
    partita.show({"a": Audio(noise(0), RATE), "b": Audio(noise(1), RATE)}, path=path)
    plain = Watched(watched.context.browser, path, java_script_enabled=False)
    assert plain.page.locator("audio:visible").count() == 2
    assert plain.page.locator("button:visible").count() == 0
    plain.close()
