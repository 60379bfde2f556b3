"""What the process that separates does with a task, in this process."""

import dataclasses
import pickle
import sys

import numpy as np
import pytest
import soundfile

from common import little_room
from partita.child_process import Reporter, answer
from partita.serve.jobs import JobQueue
from partita.serve.library import Library, new_id
from partita.serve.limits import Limits, QueueFullError
from partita.serve.records import SongRecord
from partita.serve.separating import Separation
from partita.serve.worker import ForPeople
from partita.weights import cards


def run(task):
    """Return the answer, and the phases that were reported."""
    messages = []
    found = answer(pickle.dumps(ForPeople(task)), Reporter(messages.append))
    return found, list(dict.fromkeys(message["phase"] for message in messages))


def test_stems_are_written_and_described(write_song, song, tmp_path):
    task = Separation(write_song(), "a song", tmp_path / "stems", "hpss")
    found, phases = run(task)
    result = found["done"]
    assert phases[0] == "loading"
    assert phases[-2:] == ["writing", "estimating"]
    assert [stem.name for stem in result.stems] == ["harmonic", "percussive", "residual"]
    for stem in result.stems:
        path = tmp_path / "stems" / stem.file
        assert path.stat().st_size == stem.size
        info = soundfile.info(path)
        assert (info.frames, info.samplerate, info.subtype) == (song.shape[1], 44100, "PCM_24")
    assert result.null_depth_db < -80
    assert set(result.quality["stems"]) == {"harmonic", "percussive", "residual"}
    assert not result.quality["stems"]["harmonic"]["known_stem"]


def test_tempo_is_estimated_once_and_only_where_its_library_is(tmp_path, monkeypatch):
    time = np.arange(8 * 22050) / 22050
    rng = np.random.default_rng(0)
    beats = 0.3 * np.exp(-(time % 0.5) / 0.02) * rng.standard_normal(len(time))
    soundfile.write(tmp_path / "beats.wav", beats, 22050)
    task = Separation(tmp_path / "beats.wav", "beats", tmp_path / "stems", "hpss")
    again = dataclasses.replace(task, needs_tempo_key=False)
    assert run(again)[0]["done"].tempo_key is None
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "sonara", None)
        assert run(task)[0]["done"].tempo_key is None
    pytest.importorskip("sonara", reason="the extra mix is not installed")
    found = run(task)[0]["done"].tempo_key
    assert found.tempo_bpm == pytest.approx(120, rel=0.01)
    assert found.beats_s[0] == pytest.approx(0.5, abs=0.02)


def test_a_disk_that_fills_is_one_sentence(write_song, song, tmp_path):
    task = Separation(write_song(), "a song", tmp_path / "stems", "hpss")
    with little_room(song.shape[1] * 4):
        found, _ = run(task)
    assert found == {"failed": "The library's disk is full: delete songs or free some space."}
    assert not list((tmp_path / "stems").rglob("*.flac"))


def test_a_song_that_is_gone_is_called_by_its_name(tmp_path):
    found, _ = run(Separation(tmp_path / "song.wav", "a song", tmp_path / "stems", "hpss"))
    assert found == {"failed": "a song: no such file"}


def test_weights_that_cannot_be_had(write_song, tmp_path, monkeypatch):
    monkeypatch.setenv("PARTITA_HOME", str(tmp_path / "home"))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert "umx" in cards.CARDS
    found, _ = run(Separation(write_song(), "a song", tmp_path / "stems", "umx"))
    why = found["failed"]
    assert "partita models fetch NAME" in why
    assert str(tmp_path) not in why


def test_a_full_queue_takes_no_more_but_answers_what_it_has(tmp_path):
    with Library(tmp_path) as library:
        (library.incoming / "a").touch()
        values = {"name": "a", "folder": "a", "file": "a", "size": 0, "sample_rate": 8000}
        record = SongRecord(id=new_id(), channels=1, samples=1, peaks="", added_at=0.0, **values)
        song = library.add_song(library.incoming / "a", record).id
        queue = JobQueue(library, Limits(most_waiting=2))  # which does not run
        jobs = [queue.add(song, "hpss", key) for key in ("one", "two")]
        with pytest.raises(QueueFullError, match="2 songs wait"):
            queue.add(song, "hpss", "three")
        assert queue.add(song, "hpss", "two") == jobs[1]
        queue.cancel(jobs[0].id)
        assert queue.add(song, "hpss", "three").state == "queued"
