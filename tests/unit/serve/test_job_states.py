"""Whatever happens to jobs, and whenever the process dies, the library stays true."""

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from partita.serve.library import Library, new_id
from partita.serve.records import JobResult, SongRecord, StemRecord
from partita.serve.states import (
    ENDED,
    MOST_ATTEMPTS,
    Event,
    ImpossibleError,
    State,
    next_state,
    require_ended,
)


def record(identifier):
    return SongRecord(
        id=identifier,
        name="a song",
        folder=f"a-song-{identifier}",
        file="song.wav",
        size=4,
        sample_rate=44100,
        channels=2,
        samples=44100,
        peaks="",
        added_at=0.0,
    )


def result():
    stem = StemRecord(name="vocals", file="vocals.flac", size=3, peaks="")
    return JobResult(stems=(stem,), gain_db=0.0, null_depth_db=None, elapsed_s=1.0)


class Lives(RuleBasedStateMachine):
    """A model of the library in plain sets, beside the real one on disk."""

    songs, jobs = Bundle("songs"), Bundle("jobs")

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.library = Library(self.folder)
        self.states, self.attempts, self.of_song = {}, {}, {}
        self.seen, self.mirror = 0, {}

    def teardown(self):
        self.library.close()
        shutil.rmtree(self.folder)

    @rule(target=songs)
    def add_song(self):
        upload = self.library.incoming / "upload"
        upload.write_bytes(b"RIFF")
        song = self.library.add_song(upload, record(new_id()))
        assert self.library.song_path(song).read_bytes() == b"RIFF"
        return song.id

    @rule(target=jobs, song=songs)
    def add_job(self, song):
        if song not in {each.id for each in self.library.songs()}:
            return None
        job = self.library.add_job(song, "hpss")
        self.states[job.id], self.attempts[job.id] = State.QUEUED, 0
        self.of_song[job.id] = song
        return job.id

    @rule(job=jobs, event=st.sampled_from([e for e in Event if e is not Event.INTERRUPT]))
    def happen(self, job, event):
        if job not in self.states:
            return
        before = self.states[job]
        try:
            wanted = next_state(before, event)
        except ImpossibleError:
            with pytest.raises(ImpossibleError):
                self.library.apply(job, event)
            return
        folder = self.library.job_folder(self.library.job(job))
        if event is Event.START:
            folder.mkdir()
            (folder / "vocals.flac").write_bytes(b"abc")
        values = {"result": result()} if event is Event.FINISH else {}
        values |= {"error": "broken"} if event is Event.FAIL else {}
        found = self.library.apply(job, event, **values)
        assert found.state is wanted
        if event is not Event.RETRY:
            self.attempts[job] += {Event.START: 1, Event.PUT_BACK: -1}.get(event, 0)
        elif before in ENDED:
            self.attempts[job] = 0
        self.states[job] = wanted

    @rule(job=jobs, done=st.floats(0, 10))
    def progress(self, job, done):
        if job in self.states:
            self.library.set_progress(job, "separating", done, 10.0)
            shown = self.library.job(job)
            assert (shown.phase == "separating") <= (shown.state is State.RUNNING)

    @rule(job=jobs)
    def delete_job(self, job):
        if job not in self.states:
            return
        try:
            require_ended(self.states[job])
        except ImpossibleError:
            with pytest.raises(ImpossibleError):
                self.library.delete_job(job)
        else:
            self.library.delete_job(job)
            del self.states[job]

    @rule(song=songs)
    def delete_song(self, song):
        if song not in {each.id for each in self.library.songs()}:
            return
        jobs = [job for job in self.states if self.of_song[job] == song]
        if all(self.states[job] in ENDED for job in jobs):
            folder = self.library.song_folder(self.library.song(song))
            self.library.delete_song(song)
            assert not folder.exists()
            for job in jobs:
                del self.states[job]
        else:
            with pytest.raises(ImpossibleError):
                self.library.delete_song(song)

    @rule()
    def die_and_start_again(self):
        self.library.close()  # what was committed is all that a killed process leaves
        self.library = Library(self.folder)
        for job, state in self.states.items():
            if state is State.RUNNING:
                lost = self.attempts[job] >= MOST_ATTEMPTS
                self.states[job] = State.FAILED if lost else State.QUEUED

    @invariant()
    def states_are_as_expected(self):
        found = {job.id: job for job in self.library.jobs()}
        assert {name: job.state for name, job in found.items()} == self.states
        for name, job in found.items():
            assert job.attempts == self.attempts[name]
            assert (job.result is not None) == (job.state is State.DONE)
            assert bool(job.error) == (job.state is State.FAILED)
            kept = job.state in (State.RUNNING, State.DONE)
            assert self.library.job_folder(job).exists() == kept

    @invariant()
    def who_listens_now_and_then_misses_nothing(self):
        self.seen, songs, jobs, deleted = self.library.changes_since(self.seen)
        self.mirror |= {each.id: each for each in (*songs, *jobs)}
        for identifier in deleted:
            self.mirror.pop(identifier, None)
        everything = [*self.library.songs(), *self.library.jobs()]
        assert self.mirror == {each.id: each for each in everything}


Lives.TestCase.settings = settings(max_examples=12, stateful_step_count=25, deadline=None)
TestLives = pytest.mark.slow(Lives.TestCase)


def test_a_job_that_always_kills_the_process_fails_in_the_end(tmp_path):
    with Library(tmp_path) as library:
        (library.incoming / "a").touch()
        song = library.add_song(library.incoming / "a", record(new_id()))
        job = library.add_job(song.id, "hpss")
    for _ in range(MOST_ATTEMPTS):
        with Library(tmp_path) as library:
            library.apply(job.id, Event.START)
    with Library(tmp_path) as library:
        found = library.job(job.id)
        assert found.state is State.FAILED
        assert "3 times" in found.error
        assert library.apply(job.id, Event.RETRY).state is State.QUEUED


def test_two_requests_with_one_key_are_one(tmp_path):
    with Library(tmp_path) as library:
        for name in ("a", "b"):
            (library.incoming / name).write_text(name)
        first = library.add_song(library.incoming / "a", record(new_id()), "key")
        second = library.add_song(library.incoming / "b", record(new_id()), "key")
        assert first == second
        assert library.song_path(first).read_text() == "a"
        jobs = [library.add_job(first.id, "hpss", "other key") for _ in range(2)]
        assert jobs[0] == jobs[1] == library.jobs()[0]
        assert len(library.jobs()) == 1
