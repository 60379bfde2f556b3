"""Which songs of a plan are the same recording, for millions of songs.

`partita.datasets.fingerprint` compares all pairs, which a catalogue cannot. Here a song is known by
a few of the words of its fingerprint (32 bits: one frame), those with the smallest hashes: two
recordings of which many words are equal choose many of the same (min-wise hashing: Broder, "On the
resemblance and containment of documents", 1997). So songs with a word in common are found in an
index, and are the same where several words are, at one offset.
"""

from __future__ import annotations

import base64
import sqlite3
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from torch import Tensor

_WORDS = 64
_LEAST_COMMON = 4  # unrelated songs: 0; lossy copies: 6 to 56 of 64
_MOST_OFFSET_FRAMES = 90  # a little over a second
_APART_FRAMES = 2
#: Words that so many songs have tell nothing: silence, a test tone.
_MOST_SONGS = 50
#: Lengths of the same recording differ by no more, in seconds: pauses at both ends.
_MOST_LONGER_S = 4.0
_FORM = np.dtype([("word", "<u4"), ("frame", "<u2")])


def sketch(fingerprint: Tensor) -> str:
    """Return what identifies a recording, as text.

    Parameters
    ----------
    fingerprint : Tensor ``[frames, 32]``
        From `partita.datasets.fingerprint.fingerprint`.
    """
    bits = fingerprint.numpy()
    frames = np.flatnonzero((bits != 0).all(axis=1))  # the others are silent
    powers = np.uint64(1) << np.arange(32, dtype=np.uint64)
    words = ((bits[frames] > 0) * powers).sum(axis=1, dtype=np.uint64).astype(np.uint32)
    distinct, first = np.unique(words, return_index=True)
    chosen = np.argsort(_hash(distinct), kind="stable")[:_WORDS]
    pairs = np.empty(len(chosen), _FORM)
    pairs["word"], pairs["frame"] = distinct[chosen], frames[first[chosen]]
    return base64.b64encode(pairs.tobytes()).decode("ascii")


def _hash(words: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint64]:
    """Return a hash of each word (Wellons' lowbias32), in an order unlike that of the words."""
    mask = np.uint64(0xFFFFFFFF)
    mixed = words.astype(np.uint64)
    mixed ^= mixed >> np.uint64(16)
    mixed = (mixed * np.uint64(0x7FEB352D)) & mask
    mixed ^= mixed >> np.uint64(15)
    mixed = (mixed * np.uint64(0x846CA68B)) & mask
    hashed: npt.NDArray[np.uint64] = mixed ^ (mixed >> np.uint64(16))
    return hashed


class DuplicateIndex:
    """An index of sketches, on disk.

    Parameters
    ----------
    database : sqlite3.Connection
        Gets a table.
    """

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        database.execute(
            "CREATE TABLE words (word INTEGER, frame INTEGER, song INTEGER, duration_s REAL)"
        )
        database.execute("CREATE INDEX by_word ON words (word)")

    def add(self, song: int, text: str, duration_s: float) -> int | None:
        """Add a song; return the number of the first one that is the same; None: it is new.

        Parameters
        ----------
        song : int
            Its number.
        text : str
            From `sketch`.
        duration_s : float
            Of the whole recording.
        """
        pairs = np.frombuffer(base64.b64decode(text), _FORM)
        ours = dict(zip(pairs["word"].tolist(), pairs["frame"].tolist(), strict=True))
        same = self._find(ours, duration_s)
        self._database.executemany(
            "INSERT INTO words VALUES (?, ?, ?, ?)",
            [(word, frame, song, duration_s) for word, frame in ours.items()],
        )
        return same

    def _find(self, ours: Mapping[int, int], duration_s: float) -> int | None:
        offsets: dict[int, list[int]] = {}
        for word, frame in ours.items():
            rows = self._database.execute(
                "SELECT song, frame, duration_s FROM words WHERE word = ? LIMIT ?",
                (word, _MOST_SONGS),
            ).fetchall()
            if len(rows) == _MOST_SONGS:
                continue
            for other, their_frame, their_s in rows:
                offset = their_frame - frame
                if (
                    abs(offset) <= _MOST_OFFSET_FRAMES
                    and abs(their_s - duration_s) <= _MOST_LONGER_S
                ):
                    offsets.setdefault(other, []).append(offset)
        for other in sorted(offsets):
            if _most_aligned(offsets[other]) >= _LEAST_COMMON:
                return other
        return None


def _most_aligned(offsets: list[int]) -> int:
    counts = Counter(offsets)
    return max(
        sum(counts[offset + apart] for apart in range(-_APART_FRAMES, _APART_FRAMES + 1))
        for offset in counts
    )
