import sqlite3

import pytest

from partita.serve.library import Library, NotFoundError
from partita.serve.schema import LibraryError


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
