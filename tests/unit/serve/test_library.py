import contextlib
import sqlite3
import time

import pytest

from partita.mixing.tempo_key import Correction, TempoKey
from partita.serve.jobs import JobQueue
from partita.serve.library import Library, NotFoundError, new_id
from partita.serve.limits import Limits
from partita.serve.records import JobResult, SongRecord, StemRecord
from partita.serve.schema import LibraryError
from partita.serve.states import ENDED, Event


def add_song(library, size=4, added_at=0.0):
    identifier = new_id()
    (library.incoming / identifier).touch()
    record = SongRecord(
        id=identifier,
        name="a song",
        folder=identifier,
        file="song.wav",
        size=size,
        sample_rate=44100,
        channels=2,
        samples=441_000,
        peaks="",
        added_at=added_at,
    )
    return library.add_song(library.incoming / identifier, record)


def finish(library, song, *sizes, tempo_key=None):
    job = library.add_job(song.id, "hpss")
    stems = [
        StemRecord(name=str(n), file=f"{n}.flac", size=s, peaks="") for n, s in enumerate(sizes)
    ]
    result = JobResult(
        stems=tuple(stems), gain_db=0.0, null_depth_db=None, elapsed_s=1.0, tempo_key=tempo_key
    )
    library.apply(job.id, Event.START)
    library.apply(job.id, Event.FINISH, result=result)


def test_sizes_are_those_of_songs_with_all_their_stems(tmp_path):
    with Library(tmp_path) as library:
        assert library.size() == 0
        one, other = add_song(library, 5, 2.0), add_song(library, 7, 1.0)
        finish(library, one, 10, 20)
        finish(library, one, 100)
        library.add_job(other.id, "hpss")
        assert library.sizes() == [(other, 7), (one, 135)]
        assert library.size() == 142


def test_the_oldest_songs_that_nothing_waits_for_make_room(tmp_path):
    with Library(tmp_path) as library:
        songs = [add_song(library, 10, float(n)) for n in range(4)]
        busy = library.add_job(songs[1].id, "hpss")
        assert library.oldest(0) == []
        assert library.oldest(1) == [(songs[0], 10)]
        assert [song for song, _ in library.oldest(11)] == [songs[0], songs[2]]
        assert [song for song, _ in library.oldest(10**9)] == [songs[0], songs[2], songs[3]]
        library.apply(busy.id, Event.CANCEL)
        assert [song for song, _ in library.oldest(11)] == songs[:2]


def test_songs_whose_stems_would_not_fit_fail_one_after_the_other(tmp_path):
    quota = 6 * 441_000 * 3  # stereo, 24 bits: three stems would fit, four do not
    with Library(tmp_path, quota) as library, JobQueue(library, Limits()) as queue:
        song = add_song(library, 1)
        jobs = [queue.add(song.id, model).id for model in ("four-stems", "hpss")]
        end = time.monotonic() + 20
        while library.job(jobs[1]).state not in ENDED and time.monotonic() < end:
            time.sleep(0.02)
        for job in map(library.job, jobs):
            assert "There is no room for it: the library holds 1e-09 of 0.00794 GB" in job.error


TEMPO = TempoKey(
    tempo_bpm=100.0, is_tempo_sure=True, beats_s=(0.6, 1.2, 1.8), key="C minor", is_key_sure=False
)


def test_tempo_and_key_stay_with_the_song_and_so_does_what_a_person_says(tmp_path):
    with Library(tmp_path) as library:
        song = add_song(library)
        with pytest.raises(NotFoundError, match="no tempo or key"):
            library.correct(song.id, Correction())
        finish(library, song, 1, tempo_key=TEMPO)
        assert library.song(song.id).tempo_key == TEMPO
        assert library.jobs()[0].result.tempo_key is None
        finish(library, song, 1)
        before = library.revision
        library.correct(song.id, Correction(tempo_factor=2.0, key="Eb major"))
        assert library.changes_since(before)[1][0].corrected.tempo_bpm == 200
    with Library(tmp_path) as library:
        found = library.song(song.id).corrected
        assert (found.tempo_bpm, found.key) == (200, "Eb major")
        assert library.correct(song.id, Correction()).corrected == TEMPO


def test_a_library_of_the_first_version_is_brought_up_to_date(tmp_path):
    with Library(tmp_path) as library:
        song = add_song(library)
    with contextlib.closing(sqlite3.connect(tmp_path / "library.sqlite3")) as database:
        for column in ("tempo_key", "correction"):
            database.execute(f"ALTER TABLE songs DROP COLUMN {column}")
        database.execute("PRAGMA user_version = 1")
    for _ in range(2):
        with Library(tmp_path) as library:
            assert library.songs() == [song]
            finish(library, song, 1, tempo_key=TEMPO)
            assert library.song(song.id).tempo_key == TEMPO
            song = library.song(song.id)


def test_one_process_at_a_time_has_it(tmp_path):
    with Library(tmp_path), pytest.raises(LibraryError, match="another partita serve"):
        Library(tmp_path)
    with Library(tmp_path) as again:
        assert again.songs() == []


def test_a_later_version_is_not_touched(tmp_path):
    Library(tmp_path).close()
    database = sqlite3.connect(tmp_path / "library.sqlite3")
    database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(LibraryError, match="update partita"):
        Library(tmp_path)


def test_a_damaged_index_is_one_sentence(tmp_path):
    tmp_path.joinpath("library.sqlite3").write_bytes(b"no database, but long enough" * 100)
    with pytest.raises(LibraryError, match="cannot be opened"):
        Library(tmp_path)


def test_what_was_uploaded_in_part_is_gone_after_a_crash(tmp_path):
    with Library(tmp_path) as library:
        (library.incoming / "half.mp3").touch()
    with Library(tmp_path) as library:
        assert not list(library.incoming.iterdir())


def test_unknown_ids(tmp_path):
    with Library(tmp_path) as library:
        for look in (library.song, library.job, library.delete_song, library.delete_job):
            with pytest.raises(NotFoundError):
                look("../../etc/passwd")
        with pytest.raises(NotFoundError):
            library.add_job("nothing", "hpss")
