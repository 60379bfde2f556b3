import numpy as np
import pytest
import soundfile

from partita.comparison.paper.budgets import BUDGETS, get_budget
from partita.comparison.paper.data import prepare_data
from partita.comparison.paper.entrants import REALTIME, paper_entrants
from partita.comparison.paper.numbers import SOURCES, TRACK
from partita.comparison.paper.tables import regrouped, telling_excerpts, write_table
from partita.comparison.paper.words import scaled, which_sources, which_track
from partita.datasets import open_dataset
from partita.errors import UnknownNameError, UsageError
from partita.training.recipes import load_recipe

RATE = 4000


@pytest.fixture
def write_tracks(tmp_path):
    """Write folders of stems: path → stem → in which seconds it sounds; returns the root."""

    def write(tracks):
        for path, stems in tracks.items():
            folder = tmp_path / "songs" / path
            folder.mkdir(parents=True)
            for number, (stem, seconds) in enumerate(stems.items()):
                rng = np.random.default_rng(number)
                samples = 0.1 * rng.standard_normal((len(seconds), RATE, 2))
                samples *= np.array([each == "#" for each in seconds])[:, None, None]
                soundfile.write(folder / f"{stem}.wav", samples.reshape(-1, 2), RATE)
        return tmp_path / "songs"

    return write


FOUR = dict.fromkeys(SOURCES, "##")


@pytest.mark.parametrize(
    ("names", "scored"),
    [
        ("abcdefg", ["c", "f"]),
        ("ab", ["b"]),
        ("a", ["a"]),
        (["train/a", "test/b", "train/c"], ["b"]),
        (["train/a", "train/b", "valid/c"], ["b"]),
    ],
)
def test_which_tracks_are_scored(write_tracks, tmp_path, names, scored):
    data = prepare_data(write_tracks(dict.fromkeys(names, FOUR)), BUDGETS["paper"], tmp_path)
    assert [track.name for track in data.scored] == scored
    assert data.can_train == (len(names) > 1)
    assert data.sources == SOURCES
    assert data.track == scored[0]
    assert len(data.tracks) == len(names)


def test_the_papers_track_comes_first(write_tracks, tmp_path):
    tracks = dict.fromkeys(["train/a", "test/1", "test/2", f"test/{TRACK}"], FOUR)
    data = prepare_data(write_tracks(tracks), BUDGETS["minutes"], tmp_path)
    assert [track.name for track in data.scored] == [TRACK, "1"]  # a budget of two
    assert data.is_papers_track
    assert which_track(data) == f"The one track is the paper's, {TRACK}."


def test_other_sources(write_tracks, tmp_path):
    stems = dict.fromkeys(["vocals", "guitar"], "##")
    data = prepare_data(write_tracks({"a": stems, "b": stems}), BUDGETS["paper"], tmp_path)
    assert data.sources == ("vocals", "guitar")
    assert which_sources(data) == (
        "The tracks have no drums and no bass and no other to compare with the paper's. "
        "The paper has no guitar."
    )
    assert "lacks the paper's track" in which_track(data)
    nmf, *_ = paper_entrants(data, BUDGETS["paper"], tmp_path)
    from partita import Separator

    assert Separator(nmf.model).sources == ("vocals", "guitar")


def test_what_is_no_data_set_of_songs(write_tracks, tmp_path):
    root = write_tracks({"vocals": {"x": "#", "y": "#"}, "drums": {"z": "#"}})
    with pytest.raises(UsageError, match="unrelated files"):
        prepare_data(root, BUDGETS["paper"], tmp_path)
    with pytest.raises(UnknownNameError, match="minutes"):
        get_budget("minute")


def test_a_table_is_written_once(write_tracks, tmp_path):
    root = write_tracks(dict.fromkeys(["a", "b"], FOUR))
    data = prepare_data(root, BUDGETS["minutes"], tmp_path)
    assert data.words == "songs: 1 track scored (0.0 min), 1 track to learn from (0.0 min)"
    assert data.seconds == {"test": 2.0, "train": 2.0, "valid": 0.0}
    before = data.table.stat().st_mtime_ns
    assert prepare_data(root, BUDGETS["minutes"], tmp_path).table.stat().st_mtime_ns == before
    soundfile.write(root / "a/bass.wav", np.full((3 * RATE, 2), 0.1), RATE)
    assert prepare_data(root, BUDGETS["minutes"], tmp_path).tracks[0].duration_s == 3


def test_excerpts_are_where_stems_sound(write_tracks):
    stems = {"vocals": "......######", "drums": "..##########", "bass": ".####......."}
    (track,) = open_dataset(write_tracks({"a": stems}))
    first, second = telling_excerpts(track, 4.0)
    assert list(first.stems) == ["vocals", "drums"]  # the bass has no excerpt with the vocals
    assert first.stems["vocals"].start_s >= 5
    assert second.name == f"a at {second.stems['bass'].start_s:g} s"
    assert second.duration_s == 4
    assert set(second.stems) >= {"bass", "drums"}
    assert telling_excerpts(track, 60.0) == [track]
    assert telling_excerpts(track, None) == [track]


def test_one_excerpt_where_all_sound_and_none_of_silence(write_tracks):
    root = write_tracks({"a": {"x": "..####..", "y": "....####"}, "b": {"x": "........"}})
    sounding, silent = open_dataset(root)
    (only,) = telling_excerpts(sounding, 4.0)
    assert only.stems["x"].start_s == 3.0 or only.stems["x"].start_s == 2.0
    assert set(only.stems) == {"x", "y"}
    (middle,) = telling_excerpts(silent, 4.0)
    assert middle.stems["x"].start_s == 2.0


def test_other_stems_in_a_table(write_tracks, tmp_path):
    root = write_tracks({"a": dict.fromkeys(["vocals", "drums", "bass"], "##")})
    stems = {"band": ("drums", "bass"), "voice": ("vocals",), "flute": ("flute",)}
    write_table(tmp_path / "new.csv", regrouped(open_dataset(root), stems))
    (track,) = open_dataset(tmp_path / "new.csv")
    (old,) = open_dataset(root)
    assert list(track.stems) == ["band", "voice"]
    assert (track.load("band").samples == old.load("drums+bass").samples).all()


@pytest.mark.parametrize("name", list(BUDGETS))
def test_entrants_are_those_that_recipes_train(write_tracks, tmp_path, name):
    data = prepare_data(write_tracks(dict.fromkeys("abc", FOUR)), BUDGETS[name], tmp_path)
    entrants = {each.name: each for each in paper_entrants(data, BUDGETS[name], tmp_path)}
    plans = {name: each.training for name, each in entrants.items() if each.training}
    steps = {}
    for entrant, plan in plans.items():
        if plan.recipe == entrant:
            training = load_recipe(plan.recipe).changed(plan.settings).training
            steps[entrant] = training.epochs * training.steps_per_epoch, training.batch_size
    assert steps[REALTIME] == steps["umx-crosstalk"]
    assert steps["demucs-light"] == steps["demucs-multidecoder"]
    for each in (REALTIME, "demucs-light"):
        assert (scaled(plans[each]) == "as in the paper's table") == (name == "paper")
    assert "minutes" not in " ".join(plans[REALTIME].settings)
    alone = prepare_data(data.root / "a", BUDGETS[name], tmp_path / "alone")
    assert not any(each.training for each in paper_entrants(alone, BUDGETS[name], tmp_path))
