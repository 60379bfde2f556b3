from pathlib import Path

from partita.datasets import StemFile, Track
from partita.datasets.unaligned import hold_out, random_songs


def recordings(**counts):
    return [
        Track(f"{source}/{n}", Path(f"{source}/{n}"), "", {source: StemFile(Path(f"{source}/{n}"))})
        for source, count in counts.items()
        for n in range(count)
    ]


def test_some_of_each_source_are_held_out():
    tracks = recordings(vocals=10, drums=3, bass=1)
    train, valid = hold_out(tracks, 2, seed=0)
    held = [next(iter(track.stems)) for track in valid]
    assert (held.count("vocals"), held.count("drums"), held.count("bass")) == (2, 2, 0)
    assert {t.name for t in train} | {t.name for t in valid} == {t.name for t in tracks}
    assert not {t.name for t in train} & {t.name for t in valid}
    assert hold_out(tracks, 2, seed=0) == (train, valid)
    assert hold_out(tracks, 2, seed=1) != (train, valid)


def test_random_songs_hold_every_recording():
    tracks = recordings(vocals=5, drums=2)
    songs = random_songs(tracks, seed=0)
    assert len(songs) == 5
    assert all(set(song.stems) == {"vocals", "drums"} for song in songs)
    used = {file.path for song in songs for file in song.stems.values()}
    assert used == {track.path for track in tracks}
    assert len({song.name for song in songs}) == 5
    assert random_songs([], seed=0) == []
