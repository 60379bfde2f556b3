"""The command line as users of other programs type it, and what it answers to mistakes."""

import av
import av.stream
import numpy as np
import pytest
import soundfile

import partita

STEMS = ("voice", "flute", "rest")


@pytest.fixture
def written(tmp_path):
    def found(out="separated"):
        return sorted(
            str(path.relative_to(tmp_path / out))
            for path in (tmp_path / out).rglob("[!.]*")
            if path.is_file()
        )

    return found


def test_a_song_is_command_enough(run, tiny_model, write_song, written):
    result = run(write_song(), "-n", tiny_model)
    assert result.status == 0, result.err
    assert written() == [f"tiny/song/{stem}.wav" for stem in ("flute", "rest", "voice")]


def test_as_in_demucs(run, tiny_model, write_song, written):
    song = write_song()
    flags = ["--two-stems=voice", "-n", tiny_model, "--mp3", "--mp3-bitrate", "128", "-j", "2"]
    result = run(*flags, song)
    assert result.status == 0, result.err
    assert written() == ["tiny/song/no_voice.mp3", "tiny/song/voice.mp3"]
    for flag, subtype in (("--int24", "PCM_24"), ("--float32", "FLOAT")):
        assert run(song, "-n", tiny_model, flag, "-o", flag).status == 0
        assert soundfile.info(f"{flag}/tiny/song/voice.wav").subtype == subtype


def test_as_in_audio_separator(run, tiny_model, write_song, written):
    flags = ["--output_format", "FLAC", "--output_dir", "out", "--single_stem", "Voice"]
    result = run("separate", write_song(), "-n", tiny_model, *flags)
    assert result.status == 0, result.err
    assert written("out") == ["tiny/song/voice.flac"]


def test_as_in_open_unmix_and_spleeter(run, tiny_model, write_song, written):
    song = write_song()
    flags = ["--targets", "voice", "flute", "--outdir", "a", "--ext", ".wav", "--niter", "0"]
    assert run("separate", song, "--model", tiny_model, *flags).status == 0
    assert written("a") == ["tiny/song/flute.wav", "tiny/song/voice.wav"]
    flags = ["-o", "b", "-c", "flac", "-f", "{filename}/{instrument}.{codec}", "-s", "1"]
    assert run("separate", "-p", tiny_model, *flags, "-i", song).status == 0
    assert written("b") == [f"song/{stem}.flac" for stem in ("flute", "rest", "voice")]


def test_times(run, tiny_model, write_song, tmp_path):
    flags = ["--start", "0:01.5", "--duration", "00:00:01"]
    assert run("separate", write_song(), "-n", tiny_model, *flags).status == 0
    assert soundfile.info(tmp_path / "separated/tiny/song/voice.wav").frames == 44100


@pytest.mark.parametrize("arguments", [["--list-models"], ["--list_models"], ["separate", "-l"]])
def test_lists_of_models(run, arguments):
    result = run(*arguments)
    assert result.status == 0
    assert result.out == run("models").out


def test_web_addresses(run):
    result = run("https://example.org/song.mp3")
    assert result.status == 1
    assert result.err == (
        "partita: https://example.org/song.mp3: is a web address: download the song first, "
        "then separate the file\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["x.wav", "--float33"], "No such option: --float33 (partita separate --help"),
        (["x.wav", "--quite"], "No such option: --quite; did you mean --quiet? (partita separate"),
        (["evaluate", "--float32"], "No such option: --float32 (partita evaluate --help"),
        (["train", "--lr", "3"], "No such option: --lr (partita train --help"),
        (["models", "show", "--jason"], "did you mean --json? (partita models show --help"),
        (["doctor", "--jsn"], "did you mean --json? (partita doctor --help"),
        (["x.wav", "--two-stems"], "requires an argument. (partita separate --help"),
        (["data", "synthesize", "--out"], "requires an argument. (partita data synthesize --help"),
        (["models", "list", "--json=3"], "does not take a value. (partita models list --help"),
        (["x.wav", "--output", "x"], "No such option: --output; did you mean --out?"),
        (["--vresion"], "did you mean --version? (partita --help"),
        (["sepparate", "x"], "unknown command 'sepparate'; did you mean separate?"),
        (
            ["frobnicate"],
            "unknown command 'frobnicate'; known: benchmark, catalogue, compare, data",
        ),
        (["x.wav", "--clip-mode", "clamp"], "there is no --clip-mode: stems are never clipped"),
        (["x.wav", "-d", "30"], "--duration 30 sets the length"),
        (["x.wav", "--start", "1:75"], "--start 1:75 is not a time"),
        (["x.wav", "--format", "FLACC"], "did you mean flac?"),
    ],
)
def test_mistakes_get_one_line(run, arguments, message):
    result = run(*arguments)
    assert result.status == 2
    assert message in result.err
    assert len(result.err.splitlines()) == 1


@pytest.mark.parametrize("columns", ["80", "60"])
@pytest.mark.parametrize(
    "command", [[], ["separate"], ["benchmark"], ["train"], ["models"], ["data"]]
)
def test_help_fits_and_shows_flags_as_flags(run, monkeypatch, command, columns):
    monkeypatch.setenv("COLUMNS", columns)
    result = run(*command, "--help")
    assert result.status == 0
    assert "bool" not in result.out
    _usage, text = result.out.split("\n", maxsplit=1)
    assert "..." not in text.replace("INPUT...", ""), "cut short"
    assert max(map(len, result.out.splitlines())) <= int(columns)


def test_other_programs_options_are_not_in_the_help(run):
    text = run("separate", "--help").out
    for hidden in ("--mp3", "--list-models", "--single-stem", "--float32", "--output-dir"):
        assert hidden not in text


@pytest.mark.parametrize(
    ("group", "line"), [([], "Separate songs into stems."), (["data"], "List the tracks of a data")]
)
def test_a_call_without_a_command_shows_the_help(run, group, line):
    result = run(*group)
    assert (result.status, result.err) == (0, "")
    assert result.out == run(*group, "--help").out
    assert line in result.out


def test_version(run):
    assert run("--version").out == f"partita {partita.__version__}\n"


def test_sound_tracks_of_a_video(run, tiny_model, tmp_path):
    """Two sound tracks of other loudness; the second is the default one."""
    path = tmp_path / "video.mkv"
    with av.open(path, "w") as container:
        tracks = [container.add_stream("pcm_s16le", 44100, layout="stereo") for _ in range(2)]
        tracks[1].disposition = av.stream.Disposition.default
        for level, track in zip((0.1, 0.4), tracks, strict=True):
            noise = np.random.default_rng(0).uniform(-level, level, (1, 2 * 22050))
            frame = av.AudioFrame.from_ndarray(np.int16(noise * 32767), "s16", "stereo")
            frame.rate = 44100
            container.mux(track.encode(frame))
            container.mux(track.encode(None))
    levels = {}
    for name, flags in {"default": [], "0": ["--stream", "0"], "1": ["--stream", "1"]}.items():
        result = run(path, "-n", tiny_model, *flags, "-o", name, "--float32")
        assert result.status == 0, result.err
        stems = [soundfile.read(f"{name}/tiny/video/{stem}.wav")[0] for stem in STEMS]
        levels[name] = np.abs(sum(stems)).max()
    assert levels["1"] == levels["default"] == pytest.approx(0.4, abs=0.02)
    assert levels["0"] == pytest.approx(0.1, abs=0.02)
    again = run(path, "-n", tiny_model, "--stream", "0", "--float32", "-o", "1", "--resume")
    assert "(redone: other options: stream)" in again.out
    missing = run(path, "-n", tiny_model, "--stream", "7", "-o", "7")
    assert missing.status == 1
    assert missing.err.startswith(f"partita: {path}: has 2 audio streams")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([""], "INPUT"),
        (["separate", ""], "INPUT"),
        (["separate", "song.wav", " "], "INPUT"),
        (["separate", "--json", "--", ""], "INPUT"),
        (["separate", "song.wav", "--out", ""], "--out / -o"),
        (["separate", "song.wav", "--outdir="], "--out / -o"),
        (["separate", "song.wav", "-n", ""], "--name / --model / -n"),
        (["separate", "song.wav", "--filename", ""], "--filename"),
        (["evaluate", "", "estimates"], "REFERENCES"),
        (["evaluate", "references", ""], "ESTIMATES"),
        (["evaluate", "references", "estimates", "--csv", ""], "--csv"),
        (["benchmark", "--data", "", "--model", "hpss"], "--data"),
        (["benchmark", "--published", "there", "--published", ""], "--published"),
        (["train", "", "--data", "songs"], "RECIPE"),
        (["train", "umx-tiny", "--data", ""], "--data"),
        (["train", "umx-tiny", "--data", "songs", "--from="], "--from"),
        (["data", "info", ""], "ROOT"),
        (["data", "synthesize", "--out", ""], "--out / -o"),
        (["data", "synthesize", "--out", "songs", "--midi", ""], "--midi"),
        (["models", "show", ""], "NAME"),
        (["models", "fetch", ""], "NAME"),
    ],
)
def test_empty_names_are_refused(run, tmp_path, arguments, named):
    """As of shell variables that are not set; to pathlib they are the current folder."""
    result = run(*arguments)
    assert result.status == 2
    assert result.err.startswith(f"partita: {named} is empty: ")
    assert len(result.err.splitlines()) == 1
    assert (result.out, list(tmp_path.iterdir())) == ("", [])


def test_a_file_whose_name_is_a_space(run, tiny_model, write_song, written):
    assert run(write_song(" ").name, "-n", tiny_model).status == 0
    assert written() == [f"tiny/ /{stem}.wav" for stem in ("flute", "rest", "voice")]
