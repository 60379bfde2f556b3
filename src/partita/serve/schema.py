"""The library's database: its tables, and what opens it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from partita.errors import PartitaError, one_line

#: Of the tables; raised when they change, with a step that leads there.
VERSION = 2

_TABLES = """
CREATE TABLE songs (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    folder TEXT NOT NULL UNIQUE,
    file TEXT NOT NULL,
    size INTEGER NOT NULL,
    sample_rate INTEGER NOT NULL,
    channels INTEGER NOT NULL,
    samples INTEGER NOT NULL,
    peaks TEXT NOT NULL,
    added_at REAL NOT NULL,
    request TEXT UNIQUE,
    revision INTEGER NOT NULL,
    tempo_key TEXT,
    correction TEXT
) STRICT;
CREATE TABLE jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    song_id TEXT NOT NULL REFERENCES songs (id) ON DELETE CASCADE,
    model TEXT NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    phase TEXT NOT NULL,
    done REAL NOT NULL,
    total REAL NOT NULL,
    error TEXT NOT NULL,
    folder TEXT NOT NULL,
    created_at REAL NOT NULL,
    result TEXT,
    request TEXT UNIQUE,
    revision INTEGER NOT NULL
) STRICT;
CREATE INDEX jobs_by_song ON jobs (song_id);
CREATE INDEX jobs_by_state ON jobs (state, number);
-- What was deleted, so that clients that were away hear of it.
CREATE TABLE deleted (id TEXT PRIMARY KEY, revision INTEGER NOT NULL) STRICT;
CREATE TABLE revisions (last INTEGER NOT NULL) STRICT;
INSERT INTO revisions VALUES (0);
"""
#: Version → what leads to the next.
_STEPS = {
    1: "ALTER TABLE songs ADD COLUMN tempo_key TEXT; ALTER TABLE songs ADD COLUMN correction TEXT;"
}


class LibraryError(PartitaError):
    """A library that cannot be used."""


def open_database(path: Path) -> sqlite3.Connection:
    """Open the database of a library, with its tables; threads may share it behind a lock.

    Raises
    ------
    LibraryError
        It is damaged, of a later version, or cannot be written.
    """
    name = one_line(path)
    try:
        database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        database.row_factory = sqlite3.Row
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute("PRAGMA foreign_keys = ON")
        (found,) = database.execute("PRAGMA user_version").fetchone()
        if found == 0:
            database.executescript(f"BEGIN; {_TABLES} PRAGMA user_version = {VERSION}; COMMIT;")
        for version in range(found or VERSION, VERSION):
            step = f"{_STEPS[version]} PRAGMA user_version = {version + 1};"
            database.executescript(f"BEGIN; {step} COMMIT;")
    except sqlite3.Error as error:
        raise LibraryError(f"{name}: the library's index cannot be opened: {error}") from error
    if found > VERSION:
        database.close()
        raise LibraryError(f"{name}: a later version of partita made it: update partita")
    return database
