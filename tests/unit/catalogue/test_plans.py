"""Plans of catalogues: which songs there are, in which order, and what is wrong with some."""

import csv
import gc
import os

import numpy as np
import pytest
import soundfile

from catalogue_songs import write_songs
from partita.catalogue.inputs import find_inputs
from partita.catalogue.planning import plan
from partita.catalogue.records import PlannedSong
from partita.catalogue.store import Manifest
from partita.errors import UsageError


@pytest.fixture
def planned(tmp_path):
    """Plan inputs; returns a function that gives header and songs."""

    def make(*inputs, **options):
        manifest = Manifest(str(tmp_path / f"manifest{len(list(tmp_path.iterdir()))}"))
        header = plan([str(each) for each in inputs], manifest, **{"depth": "header", **options})
        assert manifest.header() == header
        return header, list(manifest.songs())

    return make


def test_long_songs_come_first(planned, tmp_path):
    for length in (0.1, 0.4, 0.2):
        write_songs(tmp_path / f"songs/{length}", 1, seconds=length)
    header, songs = planned(tmp_path / "songs")
    assert [song.track for song in songs] == ["0.4/000", "0.2/000", "0.1/000"]
    assert (header.songs, header.shards, header.faults) == (3, 1, 0)
    assert header.total_s == pytest.approx(0.7)
    assert header.total_bytes == sum(song.size for song in songs)
    assert songs[0].version == str(os.stat(songs[0].address).st_mtime_ns)  # noqa: PTH116


def test_what_cannot_be_separated_is_planned_with_its_fault(planned, tmp_path):
    folder = write_songs(tmp_path / "songs", 1, names=("broken",))
    missing = tmp_path / "gone.wav"
    header, songs = planned(folder, missing)
    faults = {song.track: (song.fault_kind, song.fault) for song in songs if song.fault}
    assert faults["gone"] == ("missing", f"{missing}: no such file")
    assert faults["broken"][0] == "unreadable"
    assert header.faults == 2


def test_of_two_songs_with_one_target_the_second_is_at_fault(planned, tmp_path):
    write_songs(tmp_path / "a", 1)
    write_songs(tmp_path / "b", 1)
    header, songs = planned(tmp_path / "a", tmp_path / "b")
    (fault,) = (song for song in songs if song.fault)
    assert fault.fault_kind == "target"
    assert f"the same paths as those of {tmp_path}/a/000.wav" in fault.fault
    assert header.faults == 1


def test_a_song_that_is_found_twice_is_planned_once(planned, tmp_path):
    folder = write_songs(tmp_path / "songs", 2)
    header, _ = planned(folder, folder / "000.wav", str(folder / "*.wav"))
    assert header.songs == 2


def test_the_same_recording_is_found_in_other_formats(planned, tmp_path, song):
    folder = tmp_path / "songs"
    folder.mkdir()
    long = np.concatenate([song, song[:, ::-1]], axis=1).T
    soundfile.write(folder / "a.wav", long, 44100)
    late = np.concatenate([np.zeros((20000, 2)), 0.5 * long])
    soundfile.write(folder / "b.ogg", late, 44100)
    soundfile.write(folder / "c.flac", song[:, ::-1].T, 44100)
    header, songs = planned(folder, depth="sound")
    by_track = {song.track: song for song in songs}
    assert by_track["b"].duplicate_of == by_track["a"].id
    assert (by_track["a"].duplicate_of, by_track["c"].duplicate_of) == ("", "")
    assert header.duplicates == 1


@pytest.mark.parametrize("form", ["csv", "tsv", "parquet"])
def test_tables_of_addresses(planned, tmp_path, form):
    write_songs(tmp_path / "music/x", 2)
    table = tmp_path / f"list.{form}"
    rows = [
        {"title": "one", "path": "music/x/000.wav"},
        {"title": "two", "path": str(tmp_path / "music/x/001.wav")},
        {"title": "three", "path": ""},
    ]
    if form == "parquet":
        arrow = pytest.importorskip("pyarrow")
        parquet = pytest.importorskip("pyarrow.parquet")
        parquet.write_table(arrow.Table.from_pylist(rows), table)
    else:
        with table.open("w", newline="") as file:
            mark = "\t" if form == "tsv" else ","
            writer = csv.DictWriter(file, ["title", "path"], delimiter=mark)
            writer.writeheader()
            writer.writerows(rows)
    _, songs = planned(table)
    assert sorted(song.track for song in songs if not song.fault) == ["000", "001"]
    (fault,) = (song for song in songs if song.fault)
    assert fault.fault == f"{table}: row 4 has no address"


def test_a_table_names_targets_and_addresses_in_columns_of_any_name(tmp_path):
    table = tmp_path / "list.csv"
    table.write_text("where,track\n/m/a/b.wav,artist/song\n/m/c.flac,\n")
    found = list(find_inputs([str(table)], column="where"))
    assert [(each.address, each.track) for each in found] == [
        ("/m/a/b.wav", "artist/song"),
        ("/m/c.flac", "c"),
    ]
    with pytest.raises(UsageError, match="has no column address or path or url"):
        list(find_inputs([str(table)]))


def test_names_never_leave_the_destination(planned, tmp_path):
    write_songs(tmp_path / "songs", 2)
    table = tmp_path / "list.csv"
    table.write_text("path,track\nsongs/000.wav,../../etc/x\nsongs/001.wav,/a\n")
    _, songs = planned(table)
    assert sorted(song.track for song in songs) == ["__/__/etc/x", "a"]


def test_listing_reads_nothing(planned, tmp_path):
    folder = write_songs(tmp_path / "songs", 1, names=("broken",))
    header, songs = planned(folder, depth="listing")
    assert header.faults == 0
    assert all(song.duration_s is None and song.size for song in songs)


def test_nothing_to_plan_is_an_error(planned, tmp_path):
    (tmp_path / "empty.csv").write_text("path\n")
    with pytest.raises(UsageError, match="no songs were found"):
        planned(tmp_path / "empty.csv")
    with pytest.raises(UsageError, match="standard input cannot be planned"):
        planned("-")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1")
    with pytest.raises(UsageError, match="cannot be read as a table"):
        planned(tmp_path / "bad.parquet")


def test_few_songs_of_a_plan_are_in_memory(tmp_path, monkeypatch):
    """They wait on the disk, and the plan is read shard by shard."""
    monkeypatch.setattr("partita.catalogue.planning.SHARD_SONGS", 20)
    table = tmp_path / "list.csv"
    table.write_text("path\n" + "".join(f"/gone/{number}.wav\n" for number in range(200)))
    manifest = Manifest(str(tmp_path / "manifest"))
    most = []

    def count(number, _):
        if number % 70 == 0:
            most.append(sum(type(each) is PlannedSong for each in gc.get_objects()))

    plan([str(table)], manifest, depth="listing", progress=count)
    for number, attempt in enumerate(manifest.left(), start=1):
        count(number, attempt)
    assert len(most) == 4
    assert max(most) <= 45
