"""Listening tests: what is chosen, its anchors, and that nothing tells listeners who is who."""

import json
import re
from collections import Counter

import numpy as np
import pytest
import soundfile
from scipy import signal

from listening_songs import ENTRANTS, RATE, make_report, make_song
from partita.errors import ScoresError, UsageError
from partita.reports.content import Song
from partita.reports.listening import KEY_FILE, read_key, write_listening_page
from partita.reports.listening.excerpts import (
    at_listening_level,
    find_excerpt,
    interference_anchor,
    low_anchor,
    read_excerpt,
)
from partita.reports.listening.plan import MOST_SIGNALS, MOST_TRIALS, choose_excerpts


@pytest.fixture(scope="module")
def song(tmp_path_factory):
    return make_song(tmp_path_factory.mktemp("song"))


@pytest.fixture(scope="module")
def written(song, tmp_path_factory):
    """The folder of a comparison with a listening test."""
    folder = tmp_path_factory.mktemp("comparison")
    page = write_listening_page(make_report(song), folder, seed=3)
    assert page == folder / "listening" / "listening.html"
    return folder


def test_no_file_that_listeners_get_names_an_entrant(written):
    files = [path for path in (written / "listening").rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".html", ".js", ".json"}
    for path in files:
        text = str(path.relative_to(written)) + path.read_text(encoding="utf-8")
        for name in (*ENTRANTS, "anchor", "hidden reference", "3.5 kHz"):
            assert name not in text, path


def test_the_key_lies_outside_and_names_every_sound(written):
    key = read_key(written / KEY_FILE)
    assert key.seed == 3
    assert {(trial.song, trial.stem) for trial in key.trials} == {
        ("Some Song", "vocals"),
        ("Some Song", "bass"),
    }
    for trial in key.trials:
        kinds = Counter(item.kind for item in trial.items)
        assert kinds == {
            "entrant": 3, "reference": 1, "low anchor": 1, "interference anchor": 1
        }  # fmt: skip
        assert {item.entrant for item in trial.items} == {*ENTRANTS, ""}
        assert trial.reference not in {item.id for item in trial.items}
    pairs = {tuple(sorted(item.entrant for item in pair.items)) for pair in key.pairs}
    assert pairs == {
        ("alpha-net", "beta-net"), ("alpha-net", "gamma-net"), ("beta-net", "gamma-net")
    }  # fmt: skip
    assert len(key.pairs) == 6


def test_the_order_in_the_page_says_nothing(written):
    """Sounds are sorted by id, and no two of them share a file, not even reference and copy."""
    for name in ("listening.html", "preference.html"):
        test = shown(written / "listening" / name)
        for trial in test["trials"]:
            assert trial["items"] == sorted(trial["items"])
        folders = [signal["folder"] for signal in test["signals"].values()]
        assert len(set(folders)) == len(folders)
        for folder in folders:
            assert (written / "listening" / "audio" / folder / "0.js").is_file()


def shown(page):
    """What a page is told about its test."""
    found = re.search(r'<script type="application/json" id="test">(.*?)</script>', page.read_text())
    return json.loads(found[1])


@pytest.mark.slow
def test_pages_are_reproducible_and_differ_by_seed(song, written, tmp_path):
    write_listening_page(make_report(song), tmp_path, seed=3)
    for name in ("listening.html", "preference.html"):
        again = (tmp_path / "listening" / name).read_bytes()
        assert again == (written / "listening" / name).read_bytes()
    assert (tmp_path / KEY_FILE).read_bytes() == (written / KEY_FILE).read_bytes()
    other = tmp_path / "other"
    other.mkdir()
    write_listening_page(make_report(song), other, seed=4)
    first, second = read_key(tmp_path / KEY_FILE), read_key(other / KEY_FILE)
    assert first.page != second.page
    ids = [{item.id for trial in key.trials for item in trial.items} for key in (first, second)]
    assert not ids[0] & ids[1]


@pytest.mark.slow
def test_the_key_of_an_earlier_test_is_kept(song, tmp_path):
    write_listening_page(make_report(song), tmp_path)
    earlier = read_key(tmp_path / KEY_FILE)
    fewer = Song(
        song.name,
        song.mixture,
        song.references,
        {name: song.estimates[name] for name in ENTRANTS[:1]},
    )
    write_listening_page(make_report(fewer), tmp_path)
    assert read_key(tmp_path / KEY_FILE).page != earlier.page
    assert read_key(tmp_path / f"listening-key-{earlier.page}.json") == earlier
    # One entrant has no pair, and sounds that the page no longer plays are gone.
    assert not (tmp_path / "listening" / "preference.html").exists()
    used = {
        each["folder"] for each in shown(tmp_path / "listening/listening.html")["signals"].values()
    }
    assert {path.name for path in (tmp_path / "listening/audio").iterdir()} == used


@pytest.mark.slow
def test_many_entrants_are_shared_out(tmp_path):
    entrants = [f"net {number:02}" for number in range(20)]
    song = make_song(tmp_path, entrants=entrants, stems=("vocals", "bass"))
    (first, *_) = choose_excerpts([song], np.random.default_rng(0))
    assert sorted(len(group) for group in first.groups) == [6, 7, 7]
    assert sorted(entrant for group in first.groups for entrant in group) == entrants
    write_listening_page(make_report(song), tmp_path)
    trials = read_key(tmp_path / KEY_FILE).trials
    assert len(trials) == 6
    assert all(len(trial.items) <= MOST_SIGNALS for trial in trials)
    assert all(sum(item.kind == "reference" for item in trial.items) == 1 for trial in trials)


def test_stems_and_songs_come_equally_often(song):
    stems = ("vocals", "drums", "bass", "other")
    songs = [
        Song(
            f"song {number}",
            song.mixture,
            dict.fromkeys(stems, song.references["vocals"]),
            {"net": dict.fromkeys(stems, song.references["vocals"])},
        )
        for number in range(6)
    ]
    chosen = choose_excerpts(songs, np.random.default_rng(1))
    assert len(chosen) == MOST_TRIALS
    assert set(Counter(each.stem for each in chosen).values()) == {3}
    assert set(Counter(each.song.name for each in chosen).values()) == {2}


def test_excerpts_lie_where_the_stem_sounds(tmp_path):
    rate = 8000
    samples = np.zeros(40 * rate)
    samples[15 * rate : 27 * rate] = 0.1 * np.random.default_rng(0).standard_normal(12 * rate)
    path = tmp_path / "stem.wav"
    soundfile.write(path, samples, rate)
    found = [find_excerpt(path, np.random.default_rng(seed)) for seed in range(8)]
    assert found == [find_excerpt(path, np.random.default_rng(seed)) for seed in range(8)]
    for start_s, duration_s in found:
        assert duration_s == 10
        assert 14.4 <= start_s <= 17.6  # half a second of silence is still 95 % full
    assert len(set(found)) > 1
    soundfile.write(path, 0 * samples, rate)
    assert find_excerpt(path, np.random.default_rng(0)) is None
    soundfile.write(path, samples[15 * rate : 15 * rate + 100], rate)
    assert find_excerpt(path, np.random.default_rng(0)) is None


def test_a_file_that_ends_early_is_silent_from_there(tmp_path):
    soundfile.write(tmp_path / "short.wav", np.full(RATE, 0.5), RATE)
    samples, rate = read_excerpt(tmp_path / "short.wav", 0.5, 1.0)
    assert (samples.shape, rate) == ((1, RATE), RATE)
    assert (samples[0, : RATE // 2] == 0.5).all()
    assert not samples[0, RATE // 2 :].any()


@pytest.mark.parametrize("rate", [44_100, 48_000, 16_000])
def test_the_low_anchor_has_the_response_of_the_standard(rate):
    impulse = np.zeros((1, 8001), np.float32)
    impulse[0, 4000] = 1
    filtered = low_anchor(impulse, rate)[0]
    frequencies, response = signal.freqz(filtered, worN=8192, fs=rate)
    gains_db = 20 * np.log10(np.abs(response) + 1e-12)
    assert np.abs(gains_db[frequencies <= 3500]).max() < 0.1
    assert gains_db[frequencies >= 4000].max() < -25
    assert gains_db[frequencies >= 4500].max() < -50
    np.testing.assert_allclose(filtered, filtered[::-1], atol=1e-7)  # not late


def test_no_low_anchor_where_it_would_be_the_reference():
    assert low_anchor(np.ones((1, 100), np.float32), 8000) is None


def test_the_interference_anchor_has_the_others_at_the_level_of_the_stem():
    rng = np.random.default_rng(0)
    stem, others = (level * rng.standard_normal((2, 10_000)) for level in (0.1, 0.4))
    anchor = interference_anchor(stem.astype("f4"), (stem + others).astype("f4"))
    assert anchor.std() == pytest.approx(stem.std(), rel=1e-3)
    for part in (stem, others):
        assert np.corrcoef(anchor.ravel(), part.ravel())[0, 1] == pytest.approx(2**-0.5, abs=0.02)
    assert interference_anchor(stem.astype("f4"), stem.astype("f4")) is None


def test_a_trial_has_one_gain():
    rng = np.random.default_rng(0)
    reference = 0.001 * rng.standard_normal((1, RATE)).astype("f4")
    signals = {"true": reference, "half": reference / 2}
    levelled = at_listening_level(signals, "true", RATE)
    assert 20 * np.log10(levelled["true"].std()) == pytest.approx(-23, abs=0.2)
    np.testing.assert_allclose(levelled["half"], levelled["true"] / 2)
    assert levelled["true"][0, 0] == levelled["true"][0, -1] == 0
    assert signals["true"] is reference
    assert reference.std() == pytest.approx(0.001, rel=0.05)
    loud = at_listening_level({**signals, "loud": 100 * reference}, "true", RATE)
    assert max(np.abs(each).max() for each in loud.values()) <= 0.98


def test_songs_without_true_stems_make_no_test(song, tmp_path):
    blind = Song(song.name, song.mixture, {}, song.estimates)
    with pytest.raises(UsageError, match="needs songs with true stems"):
        write_listening_page(make_report(blind), tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "other"}, "not a partita-listening-key file"),
        ({"version": 2}, "of another version"),
        ({"trials": None}, "not the key of a test"),
        ({"pairs": [{"id": "a"}]}, "not the key of a test"),
    ],
)
def test_damaged_keys(written, tmp_path, change, message):
    content = json.loads((written / KEY_FILE).read_text())
    (tmp_path / KEY_FILE).write_text(json.dumps({**content, **change}))
    with pytest.raises(ScoresError, match=message):
        read_key(tmp_path / KEY_FILE)
