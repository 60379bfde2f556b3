"""Every flag of ``partita separate``, driven as a person would, with a small model."""

import io
import json
import subprocess
import sys

import mutagen
import numpy as np
import pytest
import soundfile
from PIL import Image

from partita.audio.signal import load_audio

STEMS = ("voice", "flute", "rest")


@pytest.fixture
def separate(run, tiny_model):
    def separate_cli(*arguments):
        return run("separate", "--name", tiny_model, *arguments)

    return separate_cli


def read(path):
    return soundfile.read(path, dtype="float32", always_2d=True)


def test_defaults(separate, write_song, tmp_path, song):
    result = separate(write_song())
    assert result.status == 0, result.err
    assert files(tmp_path / "separated") == [f"tiny/song/{stem}.wav" for stem in sorted(STEMS)]
    stems = [read(tmp_path / "separated" / "tiny" / "song" / f"{stem}.wav") for stem in STEMS]
    for samples, rate in stems:
        assert rate == 44100
        assert samples.shape == (song.shape[1], 2)
        assert np.abs(samples).max() > 0.01
    total = sum(samples for samples, _ in stems)
    assert np.abs(total - song.T).max() < 3 * 2**-15
    assert "song.wav → separated/tiny/song/: voice.wav, flute.wav, rest.wav" in result.out
    assert "real time" in result.out
    assert "null depth -1" in result.out
    assert result.err == ""


@pytest.mark.parametrize("extension", ["flac", "mp3", "ogg", "opus", "m4a"])
def test_formats(separate, write_song, tmp_path, extension):
    assert separate(write_song(), "--format", extension).status == 0
    for stem in STEMS:
        audio = load_audio(tmp_path / f"separated/tiny/song/{stem}.{extension}")
        assert audio.duration_s == pytest.approx(4.0, abs=0.05)


def test_stem_mp4_in_and_out(separate, write_song, tmp_path):
    assert separate(write_song(), "--format", "stem.mp4").status == 0
    path = tmp_path / "separated/tiny/song/song.stem.mp4"
    mixture = load_audio(path)
    assert mixture.duration_s == pytest.approx(4.0, abs=0.05)
    result = separate(path, "--out", "again")
    assert result.status == 0, result.err
    assert (tmp_path / "again/tiny/song/voice.wav").exists()


@pytest.mark.parametrize(
    ("bits", "subtype"), [("16", "PCM_16"), ("24", "PCM_24"), ("float", "FLOAT")]
)
def test_bits(separate, write_song, tmp_path, bits, subtype):
    assert separate(write_song(), "--bits", bits).status == 0
    assert soundfile.info(tmp_path / "separated/tiny/song/voice.wav").subtype == subtype


def test_bitrate(separate, write_song, tmp_path):
    assert separate(write_song(), "--format", "mp3", "--bitrate", "96k").status == 0
    info = mutagen.File(tmp_path / "separated/tiny/song/voice.mp3").info
    assert info.bitrate == pytest.approx(96_000, rel=0.1)


def test_stems_and_sums(separate, write_song, tmp_path):
    assert separate(write_song(), "--stems", "flute,voice+rest").status == 0
    folder = tmp_path / "separated/tiny/song"
    assert files(folder) == ["flute.wav", "voice+rest.wav"]


def test_two_stems(separate, write_song, tmp_path, song):
    assert separate(write_song(), "--two-stems", "voice", "--bits", "float").status == 0
    folder = tmp_path / "separated/tiny/song"
    assert files(folder) == ["no_voice.wav", "voice.wav"]
    total = read(folder / "voice.wav")[0] + read(folder / "no_voice.wav")[0]
    assert np.abs(total - song.T).max() < 1e-4


def test_filename_and_out(separate, write_song, tmp_path):
    template = "{track} ({stem}, {model}).{ext}"
    assert separate(write_song(), "--out", "my stems", "--filename", template).status == 0
    assert (tmp_path / "my stems" / "song (flute, tiny).wav").exists()


def test_excerpt(separate, write_song, tmp_path, song):
    result = separate(write_song(), "--start", "1.5", "--duration", "1", "--bits", "float")
    assert result.status == 0
    total = sum(read(tmp_path / f"separated/tiny/song/{stem}.wav")[0] for stem in STEMS)
    assert total.shape == (44100, 2)
    assert np.abs(total - song[:, 66150:110250].T).max() < 1e-3


def test_segment_overlap_shifts_and_seed(separate, write_song, tmp_path):
    song = write_song()
    outputs = {}
    for name, flags in {
        "plain": [],
        "segment": ["--segment", "1", "--overlap", "0.5"],
        "shifts": ["--shifts", "2", "--seed", "7"],
        "again": ["--shifts", "2", "--seed", "7"],
        "other": ["--shifts", "2", "--seed", "8"],
    }.items():
        assert separate(song, "--out", name, *flags).status == 0
        outputs[name] = (tmp_path / name / "tiny/song/flute.wav").read_bytes()
    assert outputs["shifts"] == outputs["again"]
    assert len(set(outputs.values())) == 4


def test_device_and_precision(separate, write_song, tmp_path):
    assert separate(write_song(), "--device", "cpu", "--precision", "bfloat16").status == 0
    assert (tmp_path / "separated/tiny/song/flute.wav").exists()


def test_sum_to_mix(separate, write_song, tmp_path, song):
    result = separate(write_song(), "--sum-to-mix", "--bits", "float", "--json")
    assert result.status == 0
    total = sum(read(tmp_path / f"separated/tiny/song/{stem}.wav")[0] for stem in STEMS)
    written = read(tmp_path / "song.wav")[0]
    assert np.abs(total - written).max() < 1e-6
    assert json.loads(result.out)["null_depth_db"] < -130


def test_keep_rate(separate, write_song, tmp_path):
    noise = np.random.default_rng(0).uniform(-0.2, 0.2, (6, 96000))
    path = write_song("surround.wav", noise, 96000)
    assert separate(path, "--keep-rate").status == 0
    samples, rate = read(tmp_path / "separated/tiny/surround/flute.wav")
    assert (samples.shape, rate) == ((96000, 6), 96000)
    assert separate(path, "--out", "plain").status == 0
    samples, rate = read(tmp_path / "plain/tiny/surround/flute.wav")
    assert (samples.shape, rate) == ((44100, 2), 44100)


def test_folders_jobs_and_json(separate, write_song, tmp_path):
    for name in ("a.wav", "b.wav", "deeper/c.wav"):
        write_song(f"album/{name}")
    result = separate(tmp_path / "album", "--jobs", "2", "--json")
    assert result.status == 0
    objects = [json.loads(line) for line in result.out.splitlines()]
    assert [o["status"] for o in objects] == ["done"] * 3
    assert (tmp_path / "separated/tiny/deeper/c/voice.wav").exists()
    first = objects[0]
    assert first["stems"]["voice"] == "separated/tiny/a/voice.wav"
    assert (first["sample_rate"], first["channels"], first["duration_s"]) == (44100, 2, 4.0)
    assert first["null_depth_db"] < -90
    assert first["warnings"] == []


def test_quiet(separate, write_song):
    result = separate(write_song(), "--quiet")
    assert (result.status, result.out, result.err) == (0, "", "")


def test_standard_input(separate, write_song, monkeypatch, tmp_path):
    data = write_song().read_bytes()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert separate("-").status == 0
    assert (tmp_path / "separated/tiny/stdin/voice.wav").exists()


def test_tags_and_cover_reach_the_stems(separate, write_song, tmp_path):
    path = write_song("song.flac")
    file = mutagen.File(path)
    file["title"], file["artist"], file["replaygain_track_gain"] = "Ode", "Sappho", "-6 dB"
    file.save()
    assert separate(path, "--format", "mp3").status == 0
    tags = mutagen.File(tmp_path / "separated/tiny/song/flute.mp3").tags
    assert str(tags["TIT2"]) == "Ode (flute)"
    assert str(tags["TPE1"]) == "Sappho"
    assert not [key for key in tags if "gain" in key.lower()]


def test_loud_songs_are_not_clipped_stem_by_stem(separate, write_song, song, tmp_path):
    path = write_song(samples=song * 5, subtype="FLOAT")
    result = separate(path, "--json")
    gain_db = json.loads(result.out)["gain_db"]
    assert gain_db < -3
    total = sum(read(tmp_path / f"separated/tiny/song/{stem}.wav")[0] for stem in STEMS)
    assert np.abs(total - 5 * song.T * 10 ** (gain_db / 20)).max() < 1e-3
    assert "to avoid clipping" in separate(path, "--overwrite").out


@pytest.mark.parametrize("extension", ["mp3", "flac", "stem.mp4"])
def test_what_a_song_says_of_itself_comes_along(separate, write_song, tmp_path, extension):
    from mutagen.id3 import ID3, TBPM, TIT2, TKEY, USLT

    path = tmp_path / "song.mp3"
    song = load_audio(write_song())
    song.save(path)
    tags = ID3()
    for frame in (TIT2(text="Title"), TBPM(text="128"), TKEY(text="8A"), USLT(text="la\nla")):
        tags.add(frame)
    tags.save(path)
    assert separate(path, "--format", extension).status == 0
    is_one = extension == "stem.mp4"
    name = "song" if is_one else "voice"
    found = mutagen.File(tmp_path / f"separated/tiny/song/{name}.{extension}")
    names = {
        "mp3": ("TIT2", "TBPM", "TKEY", "USLT::eng"),
        "flac": ("title", "bpm", "initialkey", "lyrics"),
        "stem.mp4": ("©nam", "tmpo", "----:com.apple.iTunes:initialkey", "©lyr"),
    }
    values = [found[key] for key in names[extension]]
    texts = [str(value if extension == "mp3" else value[0]) for value in values]
    key = "b'8A'" if is_one else "8A"
    assert texts == ["Title" if is_one else "Title (voice)", "128", key, "la\nla"]


def test_the_program_runs_on_its_own(write_song, tiny_model, tmp_path):
    command = [sys.executable, "-m", "partita", "separate", write_song(), "-n", tiny_model]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "voice.wav" in result.stdout
    assert result.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Missing argument 'INPUT...'"),
        (["song.wav", "--nam", "x"], "No such option: --nam"),
        (["song.wav", "--name", "spleter-2stems"], "unknown model 'spleter-2stems'; did you mean"),
        (["song.wav", "--stems", "vocal"], "unknown stem 'vocal'; did you mean vocals?"),
        (
            ["song.wav", "--model", "spleeter-2stems", "--two-stems", "drums"],
            "unknown stem 'drums'; known: accompaniment, vocals",
        ),
        (["song.wav", "--stems", "vocals", "--two-stems", "vocals"], "exclude each other"),
        (["song.wav", "--model", "hpss+repet"], "which stem should repet separate"),
        (["song.wav", "--model", "hpss:drums+repet"], "unknown stem 'drums'; known: harmonic"),
        (["song.wav", "--model", "hpss:harmonic"], "a model is missing"),
        (["song.wav", "--model", "hpss:harmonic+ibm"], "'ibm' is an oracle"),
        (["song.wav", "--model", "repet+hpss", "--stems", "accompaniment"], "unknown stem"),
        (["song.wav", "--format", "wave"], "unknown format 'wave'; did you mean wav?"),
        (["song.wav", "--format", "mp3", "--bits", "24"], "--bits applies to wav"),
        (["song.wav", "--filename", "{x}/{stem}"], "unknown field {x}"),
        (["song.wav", "--duration", "0"], "--duration 0 is not a positive"),
        (["song.wav", "--resume", "--overwrite"], "exclude each other"),
        (["-", "--figures"], "a second time, which standard input does not allow"),
        (["song.wav", "/dev/null", "--figures"], "a second time, which /dev/null does not allow"),
        (["song.wav", "--jobs", "0"], "--jobs"),
        (["song.wav", "--start", "-1"], "--start -1 is not a time"),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(run, arguments, message):
    result = run("separate", *arguments)
    assert result.status == 2
    assert message in result.err
    assert len(result.err.splitlines()) == 1
    assert result.out == ""


def test_wrong_options_of_the_separator(separate, write_song):
    for flags in (["--device", "cuda:77"], ["--precision", "int4"], ["--overlap", "1"]):
        result = separate(write_song(), *flags)
        assert result.status == 2
        assert len(result.err.splitlines()) == 1


def test_wiener(separate, write_song, tmp_path, song):
    path = write_song(subtype="FLOAT")
    for count in ("0", "1"):
        result = separate(path, "--wiener", count, "--bits", "float", "--out", count)
        assert result.status == 0, result.err
    plain, refined = (
        [read(tmp_path / f"{count}/tiny/song/{stem}.wav")[0] for stem in STEMS]
        for count in ("0", "1")
    )
    assert np.abs(refined[0] - plain[0]).max() > 1e-3
    assert np.abs(sum(refined) - song.T).max() < 1e-6
    result = separate(path, "--wiener", "-1")
    assert result.status == 2
    assert len(result.err.splitlines()) == 1


CHAIN = "hpss:harmonic+repet"
CHAIN_STEMS = ["percussive", "residual", "vocals", "accompaniment"]


def test_a_chain(run, write_song, tmp_path, song):
    result = run("separate", write_song(), "--model", CHAIN, "--bits", "float", "--json")
    assert result.status == 0, result.err
    outcome = json.loads(result.out)
    assert outcome["model"] == CHAIN
    assert outcome["null_depth_db"] < -90
    folder = "separated/hpss-harmonic+repet/song"
    assert outcome["stems"] == {stem: f"{folder}/{stem}.wav" for stem in CHAIN_STEMS}
    total = sum(read(tmp_path / folder / f"{stem}.wav")[0] for stem in CHAIN_STEMS)
    assert np.abs(total - song.T).max() < 3 * 2**-15


def test_stems_of_a_chain_of_checkpoints(run, write_song, tmp_path, tiny_model):
    song, chain = write_song(), f"{tiny_model}:rest+hpss"
    assert run("separate", song, "-n", chain, "--stems", "voice,percussive+flute").status == 0
    assert run("separate", song, "-n", chain, "--two-stems", "harmonic").status == 0
    files = sorted((tmp_path / "separated/tiny-rest+hpss/song").glob("*.wav"))
    stems = ["harmonic", "no_harmonic", "percussive+flute", "voice"]
    assert [path.stem for path in files] == stems


def test_options_apply_to_every_model_of_a_chain(run, write_song, tmp_path):
    song = write_song()
    flags = ["--segment", "1", "--shifts", "1", "--wiener", "1", "--sum-to-mix", "--keep-rate"]
    result = run("separate", song, "--model", "repet+hpss", *flags, "--json")
    assert result.status == 0, result.err
    assert json.loads(result.out)["null_depth_db"] < -110


def test_the_drums_of_a_chain(run, write_song, tmp_path, song):
    chain = "hpss:percussive+nmfd-drums"
    path = write_song(samples=song[:, :66150])
    result = run("separate", path, "--model", chain, "--bits", "float", "--json")
    assert result.status == 0, result.err
    stems = json.loads(result.out)["stems"]
    assert list(stems) == ["harmonic", "residual", "kick", "snare", "hats"]
    found = {stem: read(tmp_path / stems[stem])[0] for stem in stems}
    assert all(np.abs(samples).max() > 1e-3 for samples in found.values())
    assert np.abs(sum(found.values()) - song[:, :66150].T).max() < 1e-4
    whole = run("separate", path, "--model", "hpss", "--bits", "float", "--out", "whole")
    assert whole.status == 0
    percussive = read(tmp_path / "whole/hpss/song/percussive.wav")[0]
    drums = found["kick"] + found["snare"] + found["hats"]
    assert np.abs(drums - percussive).max() < 1e-4


# Pictures


def files(folder):
    """Return what a person sees below a folder: hidden files say what made the stems."""
    found = sorted(path for path in folder.rglob("[!.]*") if path.is_file())
    return [str(path.relative_to(folder)) for path in found]


def picture_size(path):
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        return picture.size


def test_figures_of_a_model_without_factors(run, write_song, tmp_path):
    result = run("separate", write_song(), "--model", "hpss", "--figures", "--duration", "1")
    assert (result.status, result.err) == (0, "")
    folder = tmp_path / "separated/hpss/song"
    assert files(folder) == ["harmonic.wav", "percussive.wav", "residual.wav", "spectrograms.png"]
    width, height = picture_size(folder / "spectrograms.png")
    assert width > height > 600  # four panels


@pytest.mark.parametrize("name", ["nmf", "nmfd"])
def test_figures_of_a_model_with_factors(run, write_song, tmp_path, name):
    flags = ["--model", name, "--figures", "--start", "1", "--duration", "0.5", "--quiet"]
    result = run("separate", write_song(), *flags)
    assert (result.status, result.out, result.err) == (0, "", "")
    found = files(tmp_path / f"separated/{name}/song")
    assert len(found) == 4 + 2
    assert {"factors.png", "spectrograms.png"} < set(found)
    for picture in ("factors.png", "spectrograms.png"):
        assert picture_size(tmp_path / f"separated/{name}/song" / picture)[0] == 1800


def test_figures_beside_one_file(run, write_song, tmp_path):
    path = write_song("my.song.wav")
    flags = ["--figures", "--format", "stem.mp4", "--filename", "{track}.{ext}", "--duration", "1"]
    assert run("separate", path, "--model", "hpss", *flags).status == 0
    assert files(tmp_path / "separated") == ["my.song-spectrograms.png", "my.song.stem.mp4"]


def test_figures_of_chosen_stems_and_of_several_songs(run, write_song, tmp_path):
    for name in ("a.wav", "b.wav"):
        write_song(f"album/{name}")
    flags = ["--figures", "--two-stems", "percussive", "--jobs", "2", "--duration", "0.5"]
    result = run("separate", tmp_path / "album", "--model", "hpss", *flags)
    assert result.status == 0, result.err
    expected = ["no_percussive.wav", "percussive.wav", "spectrograms.png"]
    assert files(tmp_path / "separated/hpss") == [f"{s}/{name}" for s in "ab" for name in expected]


def test_a_picture_that_cannot_be_written(run, write_song, tmp_path):
    folder = tmp_path / "separated/hpss/song"
    (folder / "spectrograms.png").mkdir(parents=True)
    flags = ["--model", "hpss", "--figures", "--duration", "0.5"]
    result = run("separate", write_song(), *flags)
    assert result.status == 1
    assert "spectrograms.png: a folder of that name is in the way" in result.err
    assert len(result.err.splitlines()) == 1
    assert files(folder) == ["harmonic.wav", "percussive.wav", "residual.wav"]


def test_without_matplotlib_nothing_is_separated(run, write_song, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    result = run("separate", write_song(), "--model", "hpss", "--figures")
    assert result.status == 2
    assert "partita[report]" in result.err
    assert not (tmp_path / "separated").exists()
