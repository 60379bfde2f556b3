"""Batches: one bad song hurts only itself, and a person knows how far it got."""

import json
import os
import resource
import signal
import subprocess
import sys
import time

import numpy as np
import pytest


@pytest.fixture
def album(write_song, tmp_path, song):
    """Make a folder of short songs; returns its path."""

    def make(count):
        for index in range(count):
            write_song(f"album/{index}.wav", song[:, : 20000 + index])
        return tmp_path / "album"

    return make


def command(tiny_model, *arguments):
    return [sys.executable, "-m", "partita", "separate", "-n", tiny_model, *arguments]


@pytest.mark.parametrize("jobs", ["1", "4"])
def test_a_song_whose_encoding_fails_hurts_only_itself(
    tiny_model, album, write_song, song, tmp_path, jobs
):
    """A limit on the size of files acts like a full disk: blocks of samples fit, headers do not."""
    folder = album(4)
    samples = np.tile(song, 3)
    write_song("album/- long.wav", samples, subtype="FLOAT")
    limit = samples.shape[1] * 2 * 4 + 20
    result = subprocess.run(
        command(tiny_model, folder, "--bits", "float", "--jobs", jobs, "--json"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    outcomes = [json.loads(line) for line in result.stdout.splitlines()]
    assert [outcome["status"] for outcome in outcomes] == ["failed", *["done"] * 4]
    assert outcomes[0]["error"].startswith(f"{folder}/- long.wav: cannot write ")
    assert result.returncode == 1
    assert result.stderr == f"partita: {outcomes[0]['error']}\n"


def test_a_summary_ends_a_batch(run, tiny_model, album, tmp_path):
    folder = album(2)
    assert run("separate", "-n", tiny_model, folder / "0.wav").status == 0
    result = run("separate", "-n", tiny_model, folder, "missing.wav", "--resume")
    assert result.status == 1
    assert result.out.splitlines()[-1].startswith("3 songs: 1 done, 1 skipped, 1 failed; 0:0")
    one = run("separate", "-n", tiny_model, folder / "0.wav", "--overwrite")
    assert "songs:" not in one.out


@pytest.mark.parametrize("flag", ["--quiet", "--json"])
def test_machines_get_no_summary(run, tiny_model, album, flag):
    result = run("separate", "-n", tiny_model, album(2), flag)
    assert result.err == ""
    assert len(result.out.splitlines()) == (2 if flag == "--json" else 0)


def test_json_says_of_each_input_why_a_batch_ended(run, tiny_model, album):
    files = [str(path) for path in sorted(album(2).iterdir())]
    for flags, status in ((["--device", "cuda:77"], 2), (["--stems", "x"], 2)):
        result = run("separate", "-n", tiny_model, *files, "--json", *flags)
        assert result.status == status
        outcomes = [json.loads(line) for line in result.out.splitlines()]
        assert [outcome["input"] for outcome in outcomes] == files
        assert {outcome["status"] for outcome in outcomes} == {"failed"}
        assert result.err == f"partita: {outcomes[0]['error']}\n"


@pytest.mark.parametrize(
    ("flags", "advice"),
    [
        ([], "the same command with --resume continues"),
        (["--resume"], "the same command continues"),
        (["--overwrite"], "the same command with --resume instead of --overwrite continues"),
    ],
)
def test_ctrl_c_says_how_to_go_on(tiny_model, write_song, tmp_path, song, flags, advice):
    write_song("album/0.wav")
    for index in range(1, 3):
        write_song(f"album/{index}.wav", np.tile(song, 80))
    batch = subprocess.Popen(
        command(tiny_model, "album", "--quiet", *flags),
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    # The first song's own work folder is gone before it is recorded what made its stems.
    first, works = tmp_path / "separated/tiny/0", "separated/.partita-*/*.f32"
    while not (list(first.glob(".*.json")) and list(tmp_path.glob(works))):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    batch.send_signal(signal.SIGINT)
    out, err = batch.communicate(timeout=60)
    assert batch.returncode == 130
    assert (out, err) == ("", f"partita: interrupted; 1 of 3 songs is done; {advice}\n")


@pytest.mark.parametrize(
    ("source", "jobs", "number"),
    [
        ("pipe", "1", signal.SIGINT),
        ("pipe", "2", signal.SIGINT),
        ("pipe", "2", signal.SIGTERM),
        ("-", "2", signal.SIGINT),
    ],
)
def test_nobody_waits_for_input_that_does_not_come(
    tiny_model, write_song, song, tmp_path, source, jobs, number
):
    """Named pipes without a writer, standard input without an end."""
    os.mkfifo(tmp_path / "pipe")
    write_song(samples=song[:, :20000])
    with subprocess.Popen(
        command(tiny_model, "song.wav", source, "--jobs", jobs, "--json"),
        cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path)}, text=True,
    ) as batch:  # fmt: skip
        assert json.loads(batch.stdout.readline())["status"] == "done"
        batch.send_signal(number)
        try:
            batch.wait(timeout=30)  # a second on a machine that does nothing else
        finally:
            batch.kill()
        said = batch.stderr.read()
    if number == signal.SIGINT:
        expected = "interrupted; 1 of 2 songs is done; the same command with --resume continues"
        assert (batch.returncode, said) == (130, f"partita: {expected}\n")
    else:
        assert (batch.returncode, said) == (143, "")
    assert not list(tmp_path.glob("partita-input-*"))
