import os
import shutil
import threading
import unicodedata

import numpy as np
import pytest

from partita.audio.formats import stem_format
from partita.errors import PartitaError, UsageError
from partita.models import create_model
from partita.separation.batch import BatchOptions, OutputPlan, Song, separate_songs
from partita.separation.separator import Separator


@pytest.fixture(scope="module")
def separator():
    return Separator("hpss", stems="harmonic,percussive")


def separate(tmp_path, songs, separator, form=None, **options):
    plan = OutputPlan(
        tmp_path / "out",
        "{track}/{stem}.{ext}",
        form or stem_format("wav"),
        "hpss",
        ["harmonic", "percussive"],
    )
    return list(
        separate_songs(songs, plan, lambda: separator, BatchOptions("hpss", "", {}, **options))
    )


def pair(write_song, first, second):
    return [Song(str(write_song(f"{n}.wav")), track) for n, track in enumerate((first, second))]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Song", "song"),
        (unicodedata.normalize("NFC", "Été"), unicodedata.normalize("NFD", "Été")),
        (unicodedata.normalize("NFD", "Été"), unicodedata.normalize("NFC", "ÉTÉ")),
        ("Disc/a", "disc/A"),
    ],
)
def test_names_that_some_systems_take_for_one(tmp_path, write_song, separator, first, second):
    done, failed = separate(tmp_path, pair(write_song, first, second), separator)
    assert (done.status, failed.status) == ("done", "failed")
    assert failed.error.startswith(f"{failed.source}: its stems would get the same paths as those")
    assert "on systems that do not tell them apart" in failed.error
    assert "\n" not in failed.error


def test_names_that_are_alike_and_differ(tmp_path, write_song, separator):
    outcomes = separate(tmp_path, pair(write_song, "Straße", "Strasse"), separator)
    assert [outcome.status for outcome in outcomes] == ["done", "done"]


def test_every_error_names_its_song(tmp_path, write_song, separator):
    noise = np.random.default_rng(0).uniform(-0.2, 0.2, (6, 22050))
    songs = [Song(str(write_song("surround.wav", noise)), "surround")]
    (failed,) = separate(tmp_path, songs, separator, stem_format("mp3"), keep_rate=True)
    assert failed.error.startswith(f"{songs[0].source}: mp3 holds two channels at most")


def test_what_one_song_needs_too_much_of_ends_no_batch(tmp_path, write_song, song):
    model = create_model("hpss", {"sources": ["harmonic", "percussive", "residual"]})
    separator = Separator(model, stems="harmonic,percussive")
    mixture_stream = separator.mixture_stream

    def fails_once(reader, **options):
        if "0.wav" in reader.name:
            raise PartitaError("out of memory on cpu")
        return mixture_stream(reader, **options)

    separator.mixture_stream = fails_once
    outcomes = separate(tmp_path, pair(write_song, "a", "b"), separator)
    assert [outcome.status for outcome in outcomes] == ["failed", "done"]
    assert outcomes[0].error.endswith("0.wav: out of memory on cpu")


def test_what_no_song_would_survive_is_raised(tmp_path, write_song):
    def make():
        raise UsageError("no such device")

    plan = OutputPlan(tmp_path, "{track}/{stem}.{ext}", stem_format("wav"), "hpss", ["harmonic"])
    songs = pair(write_song, "a", "b")
    with pytest.raises(UsageError, match="no such device"):
        list(separate_songs(songs, plan, make, BatchOptions("hpss", "", {})))


def test_songs_are_numbered(tmp_path, write_song, separator):
    told = []
    lock = threading.Lock()

    def progress(song, number, total):
        with lock:
            told.append((song.track, number, total))
        return lambda *_: None

    plan = OutputPlan(tmp_path, "{track}/{stem}.{ext}", stem_format("wav"), "hpss", ["harmonic"])
    songs = [*pair(write_song, "a", "b"), Song("missing.wav", "missing")]
    only = Separator("hpss", stems="harmonic")
    outcomes = separate_songs(
        songs, plan, lambda: only, BatchOptions("hpss", "", {}), progress=progress
    )
    assert [outcome.status for outcome in outcomes] == ["done", "done", "failed"]
    assert told == [("a", 1, 3), ("b", 2, 3)]


def test_a_link_to_itself_is_replaced(tmp_path, write_song, separator):
    stem = tmp_path / "out/song/harmonic.wav"
    stem.parent.mkdir(parents=True)
    stem.symlink_to(stem)
    (outcome,) = separate(tmp_path, [Song(str(write_song()), "song")], separator, resume=True)
    assert (outcome.status, stem.is_file()) == ("done", True)


@pytest.mark.parametrize("flag", ["resume", "overwrite"])
def test_pipes_are_no_stems(tmp_path, write_song, separator, flag):
    song = Song(str(write_song()), "song")
    assert separate(tmp_path, [song], separator)[0].status == "done"
    stem = tmp_path / "out/song/harmonic.wav"
    stem.unlink()
    os.mkfifo(stem)
    (outcome,) = separate(tmp_path, [song], separator, **{flag: True})
    assert outcome.status == "failed"
    assert "harmonic.wav is not a file" in outcome.error


def test_an_output_folder_that_is_removed_meanwhile(tmp_path, write_song, separator):
    songs = pair(write_song, "first", "second")

    def progress(song, number, _total):
        def remove(_done_s, _total_s):
            if number == 1:
                shutil.rmtree(tmp_path / "out", ignore_errors=True)

        return remove

    plan = OutputPlan(
        tmp_path / "out",
        "{track}/{stem}.{ext}",
        stem_format("wav"),
        "hpss",
        ["harmonic", "percussive"],
    )
    options = BatchOptions("hpss", "", {})
    first, second = separate_songs(songs, plan, lambda: separator, options, progress=progress)
    assert (first.status, second.status) == ("failed", "done")
    assert "its folder was removed meanwhile" in first.error
