import pytest

from partita.comparison.synthetic_songs import SyntheticSongs, make_songs
from partita.datasets import open_dataset
from partita.errors import UsageError
from partita.plugins import SONG_SOURCES, plugin_names
from partita.training.recipes import load_recipe
from partita.training.run import Start

STEMS = ("drums", "bass")


@pytest.fixture
def model():
    settings = ("sources=drums,bass", "sample_rate=8000", "workers=1", "hidden=8")
    return Start(load_recipe("umx-tiny"), settings).resolve()


@pytest.mark.slow
def test_songs_are_made_once(tmp_path, model):
    if "toml" not in plugin_names(SONG_SOURCES):
        pytest.skip("partita-synthesis is not installed")
    wanted = SyntheticSongs(STEMS, 1, 1.5)
    root = make_songs(wanted, *model, tmp_path / "songs")
    lesson, scored = open_dataset(root)
    assert (lesson.subset, scored.subset) == ("train", "test")
    assert set(scored.stems) == set(STEMS)
    assert (scored.sample_rate, scored.channels, scored.duration_s) == (8000, 1, 1.5)
    assert scored.load("drums").samples.any()
    made = next(iter(scored.stems.values())).path
    before = made.stat().st_mtime_ns
    make_songs(wanted, *model, tmp_path / "songs")
    assert made.stat().st_mtime_ns == before
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["songs"]


def test_without_the_plug_in(tmp_path, model, monkeypatch):
    monkeypatch.setattr("partita.plugins.entry_points", lambda **_: [])
    with pytest.raises(UsageError, match="needs partita-synthesis"):
        make_songs(SyntheticSongs(STEMS, 1, 1.5), *model, tmp_path / "songs")
    assert not (tmp_path / "songs").exists()
