"""All stems of a song get their names or none; one song's trouble stays its own."""

import contextlib
import errno
import fcntl
import os
import resource
import shutil
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile

from partita.audio import work_folder as work_folder_module
from partita.audio.formats import stem_format
from partita.audio.publish import publish
from partita.audio.stem_writer import StemWriter
from partita.audio.tags import Tags
from partita.audio.work_folder import work_folder
from partita.errors import AudioWriteError

RATE = 44100


@pytest.fixture
def writer(tmp_path, stems):
    """Open a writer of two stems that has taken everything."""

    @contextlib.contextmanager
    def make(folder=tmp_path, paths=None, form="wav", **options):
        paths = paths or {name: folder / f"{name}.{form}" for name in ("vocals", "drums")}
        signals = np.stack([stems["vocals"], stems["drums"]])
        with StemWriter(
            paths,
            stem_format(form),
            sample_rate=RATE,
            channels=2,
            tags=dict.fromkeys(paths, Tags()),
            root=folder,
            **options,
        ) as made:
            made.write(signals.sum(axis=0), signals)
            yield made

    return make


@pytest.fixture
def elsewhere(tmp_path):
    """A folder on another file system."""
    shared_memory = Path("/dev/shm")
    if not shared_memory.is_dir() or shared_memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("this machine has one file system only")
    folder = Path(tempfile.mkdtemp(dir=shared_memory))
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize("form", ["wav", "flac", "ogg"])
def test_a_song_that_fails_does_not_stop_the_others(tmp_path, writer, form):
    """The event is the batch's: nobody but the batch sets it."""
    cancel = threading.Event()
    with writer(tmp_path / "b", form=form, cancel=cancel) as other:
        named = pytest.raises(AudioWriteError, match=r"cannot write .*/a/\w+\.\w+: ")
        with writer(tmp_path / "a", form=form, cancel=cancel) as failing, full_disk(), named:
            failing.finish()
        assert not cancel.is_set()
        assert all(path.exists() for path in other.finish().values())
    assert list((tmp_path / "a").iterdir()) == []


@contextlib.contextmanager
def full_disk():
    """A limit on the size of files acts like a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_batch_that_is_interrupted_stops_its_encoders(tmp_path, writer):
    cancel = threading.Event()
    with writer(cancel=cancel) as interrupted:
        cancel.set()
        with pytest.raises(InterruptedError):
            interrupted.finish()
    assert list(tmp_path.iterdir()) == []


def test_stems_may_go_to_another_file_system(tmp_path, writer, elsewhere):
    (tmp_path / "linked").symlink_to(elsewhere)
    paths = {"vocals": tmp_path / "vocals.wav", "drums": tmp_path / "linked/deep/drums.wav"}
    with writer(paths=paths) as made:
        made.finish()
    for path in (paths["vocals"], elsewhere / "deep/drums.wav"):
        assert soundfile.info(path).frames == 4 * RATE
    assert sorted(path.name for path in tmp_path.iterdir()) == ["linked", "vocals.wav"]
    assert [path.name for path in (elsewhere / "deep").iterdir()] == ["drums.wav"]


@pytest.mark.parametrize("old", [True, False])
def test_all_stems_or_none_on_two_file_systems(tmp_path, writer, elsewhere, old):
    (tmp_path / "linked").symlink_to(elsewhere)
    (elsewhere / "drums.wav").mkdir()
    if old:
        (tmp_path / "vocals.wav").write_text("the old one")
    paths = {"vocals": tmp_path / "vocals.wav", "drums": tmp_path / "linked/drums.wav"}
    with writer(paths=paths) as made, pytest.raises(AudioWriteError, match=r"drums\.wav: a folder"):
        made.finish()
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == (["linked", "vocals.wav"] if old else ["linked"])
    if old:
        assert (tmp_path / "vocals.wav").read_text() == "the old one"
    assert [path.name for path in elsewhere.iterdir()] == ["drums.wav"]


@pytest.mark.parametrize("has_links", [True, False])
def test_old_stems_stay_where_a_new_one_cannot_go(tmp_path, monkeypatch, has_links):
    if not has_links:

        def refuse(self, target):
            raise OSError(errno.EPERM, "no links here")

        monkeypatch.setattr(Path, "hardlink_to", refuse)
    with work_folder(tmp_path) as folder:
        files = {}
        for name in ("a", "b", "c"):
            (folder / name).write_text(f"new {name}")
            files[folder / name] = tmp_path / name
        (tmp_path / "a").write_text("old a")
        (tmp_path / "c").mkdir()
        with pytest.raises(OSError) as caught:  # noqa: PT011
            publish(files)
        assert caught.value.filename == str(tmp_path / "c")
        assert (tmp_path / "a").read_text() == "old a"
        assert not (tmp_path / "b").exists()
        (tmp_path / "c").rmdir()
        publish(files)
        assert [(tmp_path / name).read_text() for name in "abc"] == ["new a", "new b", "new c"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "c"]


def test_stems_are_on_the_disk_before_they_have_names(tmp_path, writer, monkeypatch):
    synced, named_early = set(), []
    fsync = os.fsync

    def watch(descriptor):
        synced.add(os.fstat(descriptor).st_ino)
        named_early.extend(tmp_path.glob("*.wav") if len(synced) <= 2 else [])
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watch)
    with writer() as made:
        paths = made.finish().values()
    assert named_early == []
    assert {path.stat().st_ino for path in paths} <= synced
    assert tmp_path.stat().st_ino in synced


@pytest.fixture
def shared():
    """A folder that everybody may write to, as somebody who is not root."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    user = os.geteuid()
    yield folder
    os.seteuid(user)
    for path in folder.iterdir():
        path.chmod(0o700)
    shutil.rmtree(folder)


def test_work_folders_of_other_people_are_left_alone(shared):
    for name, mode in ((".partita-closed", 0o000), (".partita-open", 0o755)):
        (shared / name).mkdir()
        (shared / name / "lock").touch(mode=0o600)
        (shared / name).chmod(mode)
    theirs = sorted(path.name for path in shared.iterdir())
    if os.geteuid() == 0:
        os.seteuid(65534)
    else:
        (shared / ".partita-open/lock").unlink()
    with work_folder(shared) as folder:
        (folder / "file").touch()
    assert sorted(path.name for path in shared.iterdir()) == theirs


def test_root_leaves_the_work_folders_of_other_people_alone(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("needs two users")
    (tmp_path / ".partita-theirs").mkdir()
    (tmp_path / ".partita-theirs/lock").touch()
    os.chown(tmp_path / ".partita-theirs", 65534, 65534)
    with work_folder(tmp_path):
        pass
    assert (tmp_path / ".partita-theirs/lock").exists()


def test_a_link_in_place_of_a_lock_is_not_followed(tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("kept")
    (tmp_path / ".partita-trap").mkdir()
    (tmp_path / ".partita-trap/lock").symlink_to(precious)
    (tmp_path / ".partita-link").symlink_to(tmp_path)
    (tmp_path / ".partita-file").touch()
    with work_folder(tmp_path):
        pass
    assert precious.read_text() == "kept"


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP, errno.EINVAL])
def test_file_systems_without_locks(tmp_path, monkeypatch, number):
    def refuse(descriptor, operation):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    monkeypatch.setattr(work_folder_module, "_PATIENCE_S", 0.1)
    with work_folder(tmp_path) as first, work_folder(tmp_path) as second:
        assert first != second
        assert first.exists()
    assert list(tmp_path.iterdir()) == []
