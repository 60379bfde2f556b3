"""``partita evaluate`` and ``partita benchmark``, through the command line."""

import csv
import json
import math
import re
import shutil
import unicodedata

import numpy as np
import pytest
import soundfile
import torch

from common import SHARED, SMALL_UNMIX
from partita.evaluation.scores import METRICS, WHOLE_TRACK_METRICS

FOUR = ("vocals", "drums", "bass", "other")


def write(folder, signals, rate=8000):
    folder.mkdir(parents=True, exist_ok=True)
    for name, samples in signals.items():
        soundfile.write(folder / f"{name}.wav", samples.T, rate, subtype="FLOAT")


def signals(seed, names=FOUR, samples=16000, channels=2):
    generator = np.random.default_rng(seed)
    return {
        name: 0.1 * generator.standard_normal((channels, samples)).astype(np.float32)
        for name in names
    }


def disturbed(references, gain=0.1):
    return {
        name: samples + gain * np.roll(samples, 1000, axis=1)
        for name, samples in references.items()
    }


@pytest.fixture
def tracks(tmp_path):
    """Two tracks with references and estimates."""
    for index, name in enumerate(("One", "Two")):
        true = signals(index)
        write(tmp_path / "true" / name, true)
        write(tmp_path / "system" / name, disturbed(true))
    return tmp_path


def test_folders(run, tracks):
    result = run("evaluate", "true", "system")
    assert (result.status, result.err) == (0, "")
    lines = result.out.splitlines()
    assert lines[0].split()[:2] == ["target", "SDR"]
    assert [line.split()[0] for line in lines[1:5]] == list(FOUR)
    assert "a: scored together: vocals, drums, bass, other" in result.out
    assert float(lines[1].split()[1]) == pytest.approx(20, abs=0.5)


def test_json_is_musevals_object_with_the_track(run, tracks):
    result = run("evaluate", "true", "system", "--json")
    first, second = map(json.loads, result.out.splitlines())
    assert (first["track"], second["track"]) == ("One", "Two")
    assert first["system"] == "system"
    target = first["targets"][0]
    assert set(target["frames"][0]["metrics"]) == set(METRICS)
    assert target["frames"][1]["time"] == 1.0
    assert set(target["scored_with"]) == set(FOUR)
    assert first["partita"]["sample_rate"] == 8000


def test_targets_fix_the_set(run, tracks):
    result = run("evaluate", "true", "system", "--targets", "vocals,accompaniment", "--json")
    content = json.loads(result.out.splitlines()[0])
    assert [target["name"] for target in content["targets"]] == ["vocals", "accompaniment"]
    assert content["targets"][0]["scored_with"] == ["vocals", "accompaniment"]
    assert content["partita"]["targets"] == ["vocals", "accompaniment"]


def test_single_tracks_of_other_names(run, tracks):
    shutil.move(tracks / "system/One", tracks / "mine")
    result = run("evaluate", "true/One", "mine")
    assert (result.status, result.err) == (0, "")


def test_versions_and_windows(run, tracks):
    result = run("evaluate", "true/One", "system/One", "--bss", "v3", "--window", "0.5", "--json")
    content = json.loads(result.out)
    assert len(content["targets"][0]["frames"]) == 4
    assert content["partita"]["version"] == "v3"
    result = run("evaluate", "true/One", "system/One", "--window", "inf", "--json")
    assert len(json.loads(result.out)["targets"][0]["frames"]) == 1


def made_of(text):
    return re.search(r'"made_of": "(\w+)"', text)[1]


def test_score_files_and_resume(run, tracks):
    command = ["evaluate", "true", "system", "--out", "scores", "--json"]
    first = run(*command)
    path = tracks / "scores/system/test/One.json"
    assert json.loads(path.read_text())["track"] == "One"
    # What is taken over shows by a figure that nothing would compute.
    path.write_text(path.read_text().replace('"SDR": 20', '"SDR": 77'))
    assert '"SDR": 77' in run(*command, "--resume").out
    (tracks / "true/One/vocals.wav").touch()
    assert run(*command, "--resume").out == first.out.replace(
        made_of(first.out), made_of(path.read_text())
    )
    (tracks / "system/One/vocals.wav").write_bytes(b"broken since")
    # Other settings or a broken file are no reason to take a score over.
    path.write_text("{")
    again = run(*command, "--resume")
    assert again.status == 1
    assert "One" in again.err
    write(tracks / "system/One", disturbed(signals(0)))
    other = run(*command, "--resume", "--window", "0.5")
    assert json.loads(other.out.splitlines()[-1])["partita"]["window_s"] == 0.5


def test_scores_of_another_version_of_the_metrics_are_made_again(run, tracks):
    command = ["evaluate", "true", "system", "--out", "scores", "--csv", "all.csv"]
    first = run(*command)
    paths = sorted((tracks / "scores/system/test").glob("*.json"))
    before = [path.read_text() for path in paths]
    for path, text in zip(paths, before, strict=True):  # as versions without SI-SAR wrote them
        content = json.loads(text.replace('"SDR": 20', '"SDR": 77'))
        del content["partita"]["metrics_version"]
        for target in content["targets"]:
            del target["whole_track"]["SI-SAR"]
        path.write_text(json.dumps(content))
    old = run("benchmark", "--published", "scores/system", "--csv", "old.csv")
    assert old.status == 0
    assert "SI-SDR" in old.out
    assert "SI-SAR" not in old.out + (tracks / "old.csv").read_text()
    again = run(*command, "--resume")
    assert again.err.count("of another version of the metrics (now with uSDR, SI-SDR, SI-SAR)") == 1
    assert [path.read_text() for path in paths] == before
    assert again.out == first.out
    assert ",SI-SAR," in (tracks / "all.csv").read_text()
    assert run(*command, "--resume").err == first.err


@pytest.mark.parametrize("name", ["one", "ONE"])
def test_tracks_whose_scores_would_get_one_file(run, tracks, name):
    """A track that fails, before its scores take another's place on some systems."""
    for side in ("true", "system"):
        shutil.copytree(tracks / side / "Two", tracks / side / name)
    result = run("evaluate", "true", "system", "--out", "scores", "--quiet")
    assert result.status == 1
    ours, other = sorted(["One", name])[::-1]
    assert result.err == (
        f"partita: {ours}: its scores would get the file of {other}'s: rename one\n"
    )
    assert len(list((tracks / "scores/system/test").iterdir())) == 2
    assert run("evaluate", "true", "system", "--quiet").status == 0


def test_jobs_change_nothing(run, tracks):
    one, two = (run("evaluate", "true", "system", "--json", "-j", str(jobs)) for jobs in (1, 2))
    for line, other in zip(one.out.splitlines(), two.out.splitlines(), strict=True):
        for target, same in zip(
            json.loads(line)["targets"], json.loads(other)["targets"], strict=True
        ):
            for frame, again in zip(target["frames"], same["frames"], strict=True):
                assert frame["metrics"] == pytest.approx(again["metrics"], abs=1e-5)


def test_csv(run, tracks):
    assert run("evaluate", "true", "system", "--csv", "scores.csv").status == 0
    with (tracks / "scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 4 * (len(METRICS) + len(WHOLE_TRACK_METRICS))
    assert rows[0]["system"] == "system"
    assert float(rows[0]["value_db"]) > 10


def test_benchmark_with_oracles_and_a_model(run, tracks, tiny_model):
    for track in ("One", "Two"):
        folder = tracks / "true" / track
        for old, new in (("vocals", "voice"), ("drums", "flute"), ("bass", "rest")):
            (folder / f"{old}.wav").rename(folder / f"{new}.wav")
        (folder / "other.wav").unlink()
    command = ["benchmark", "--data", "true", "-n", "mixture", "-n", "irm2", "-n", tiny_model]
    result = run(*command, "--out", "scores", "--csv", "all.csv")
    assert (result.status, result.err) == (0, "")
    assert result.out.count("tiny") == 3
    first = result.out.splitlines()[1].split()
    assert (first[0], first[1]) == ("flute", "irm2")
    assert (tracks / "scores/tiny/test/Two.json").exists()
    assert (tracks / "scores/mixture/test/One.json").exists()
    again = run(*command, "--out", "scores", "--resume", "--json")
    assert len(again.out.splitlines()) == 6


def test_benchmark_of_a_chain(run, tracks):
    chain = "hpss:harmonic+repet"
    result = run("benchmark", "--data", "true", "-n", chain, "--targets", "vocals,accompaniment",
                 "--out", "scores", "--json")  # fmt: skip
    assert (result.status, result.err) == (0, "")
    scored = [json.loads(line) for line in result.out.splitlines()]
    assert {item["system"] for item in scored} == {"hpss-harmonic+repet"}
    assert (tracks / "scores/hpss-harmonic+repet/test/Two.json").exists()


def test_the_mixture_scores_its_closed_form(run, tracks):
    result = run("benchmark", "--data", "true", "-n", "mixture", "--window", "inf", "--json")
    content = json.loads(result.out.splitlines()[0])
    true = signals(0)
    for target in content["targets"]:
        rest = sum(true[name].astype(float) for name in FOUR if name != target["name"])
        energies = np.sum(true[target["name"]].astype(float) ** 2), np.sum(rest**2)
        expected = 10 * math.log10(energies[0] / energies[1])
        assert target["frames"][0]["metrics"]["SDR"] == pytest.approx(expected, abs=1e-4)


def test_published_systems_stand_beside(run, tracks):
    assert run("evaluate", "true", "system", "--out", "scores").status == 0
    shutil.copytree(tracks / "scores/system", tracks / "published/theirs")
    result = run("benchmark", "--published", "published/theirs")
    assert (result.status, result.err) == (0, "")
    both = run("evaluate", "true", "system", "--published", "published/theirs")
    assert "theirs" in both.out
    assert "system" in both.out


def test_real_published_systems(run):
    folder = SHARED / "published"
    if not folder.is_dir():
        pytest.skip("other people's scores (../shared/published) are not on this machine")
    flags = [word for name in ("mixture", "oracle-irm2") for word in ("--published", folder / name)]
    result = run("benchmark", *flags)
    assert result.status == 0
    assert "9.43" in result.out  # vocals of the ideal ratio mask, as published
    assert "1.12" in result.out  # and of the mixture


BAD = {
    "length": (lambda t: t[:, :-5000], "estimate drums has 11000 samples, reference vocals has"),
    "channels": (lambda t: t[:1], "files that belong together differ"),
    "NaN": (lambda t: t * np.nan, "NaN or infinite samples"),
    "nothing": (lambda t: t[:, :0], "holds no audio samples"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_estimates_are_one_line_and_the_rest_is_scored(run, tracks, case):
    change, message = BAD[case]
    estimates = disturbed(signals(0))
    names = FOUR if case == "length" else ("drums",)
    write(tracks / "system/One", {name: change(estimates[name]) for name in names})
    result = run("evaluate", "true", "system")
    assert result.status == 1
    assert len(result.err.splitlines()) == 1
    assert "One" in result.err
    if case != "length":
        assert message in result.err
    assert "vocals" in result.out
    assert "1 failed" in result.out


def test_other_rates(run, tracks):
    write(tracks / "system/One", disturbed(signals(0)), rate=16000)
    result = run("evaluate", "true", "system")
    assert result.status == 1
    assert "references are at 8000 Hz, estimates at 16000 Hz" in result.err
    assert len(result.err.splitlines()) == 1


def test_other_channel_count(run, tracks):
    write(tracks / "system/One", disturbed(signals(0, channels=1)))
    result = run("evaluate", "true", "system")
    assert result.status == 1
    assert "has 1 channels, reference vocals has 2" in result.err


def test_codec_padding_is_cut_with_a_warning(run, tracks):
    estimates = disturbed(signals(0))
    padded = {name: np.pad(samples, ((0, 0), (0, 1000))) for name, samples in estimates.items()}
    write(tracks / "system/One", padded)
    result = run("evaluate", "true", "system")
    assert result.status == 0
    assert "warning: One: estimates are 1000 samples too long: cut" in result.err


def test_tracks_on_one_side_only(run, tracks):
    (tracks / "system/Two").rename(tracks / "system/Three")
    result = run("evaluate", "true", "system")
    assert result.status == 1
    missing, extra = sorted(result.err.splitlines(), key=lambda line: "Three:" in line)
    assert "Two: no estimates of that name in system; estimates there: One, Three" in missing
    assert "Three: no references of that name in true; references there: One, Two" in extra
    assert "2 failed" in result.out


def test_names_compare_in_one_unicode_form(run, tracks):
    for side, form in (("true", "NFC"), ("system", "NFD")):
        for old, new in (("One", "Où"), ("Two", "Für Élise")):
            folder = (tracks / side / old).rename(tracks / side / unicodedata.normalize(form, new))
            stem = unicodedata.normalize(form, "flûte")
            (folder / "other.wav").rename(folder / f"{stem}.wav")
    for sides in (("true", "system"), ("system", "true")):
        result = run("evaluate", *sides)
        assert (result.status, result.err) == (0, "")
        assert "flûte" in result.out


def test_names_that_fall_together_are_an_error(run, tracks):
    (tracks / "true/One").rename(tracks / "true" / unicodedata.normalize("NFC", "Où"))
    (tracks / "true/Two").rename(tracks / "true" / unicodedata.normalize("NFD", "Où"))
    (tracks / "system/One").rename(tracks / "system/Où")
    shutil.rmtree(tracks / "system/Two")
    result = run("evaluate", "true", "system")
    assert result.status == 1
    assert "Où: two tracks have this name" in result.err


@pytest.mark.parametrize("shift", [-1500, 1105])
def test_late_estimates_are_said(run, tracks, shift):
    late = {name: np.roll(s, shift, axis=1) for name, s in disturbed(signals(0)).items()}
    write(tracks / "system/One", late)
    result = run("evaluate", "true", "system")
    assert result.status == 0
    how = "late" if shift > 0 else "early"
    assert f"warning: One: estimates are {abs(shift)} samples (" in result.err
    assert f"ms) {how}: scores suffer" in result.err
    assert len(result.err.splitlines()) == 1
    content = json.loads(run("evaluate", "true/One", "system/One", "--json").out)
    assert f"{abs(shift)} samples" in content["warnings"][0]


def test_one_song_against_another(run, tracks):
    result = run("evaluate", "true/One", "system/Two")
    assert result.status == 0
    assert "is it the same song?" in result.err


def test_a_short_stem_is_not_filled_up_in_silence(run, tracks):
    write(tracks / "system/One", {"drums": disturbed(signals(0))["drums"][:, :8000]})
    result = run("evaluate", "true", "system")
    assert result.status == 1
    assert "One: estimate drums has 8000 samples, reference vocals has 16000" in result.err


def test_lossy_references_score_as_in_python(run, tracks, write_song, stems):
    import partita

    rate, samples = 44100, 2 * 44100
    true = {name: s[:, :samples] for name, s in stems.items()}
    (tracks / "lossy").mkdir()
    for name, signal in true.items():
        partita.Audio(torch.from_numpy(signal), rate).save(tracks / f"lossy/{name}.mp3")
    write(tracks / "guess", disturbed(true), rate)
    content = json.loads(run("evaluate", "lossy", "guess", "--json").out)
    references = {name: partita.load_audio(tracks / f"lossy/{name}.mp3") for name in FOUR}
    estimates = {name: partita.load_audio(tracks / f"guess/{name}.wav") for name in FOUR}
    scores = partita.evaluate(references, estimates)
    assert {t["name"]: t["frames"] for t in content["targets"]} == {
        t["name"]: t["frames"] for t in scores.to_json()["targets"]
    }


def test_estimates_without_a_reference_are_left_out(run, tracks):
    (tracks / "true/One/bass.wav").unlink()
    result = run("evaluate", "true", "system")
    assert result.status == 0
    assert "system: bass not scored in 1 of 2, references lack it: One" in result.out


def test_benchmark_of_songs_that_lack_a_stem(run, tracks):
    for name, kept in (("One", ("harmonic",)), ("Two", ("harmonic", "percussive"))):
        shutil.rmtree(tracks / "true" / name)
        write(tracks / "true" / name, {**signals(5, kept), "guitar": signals(6)["bass"]})
    result = run("benchmark", "--data", "true", "-n", "hpss")
    assert (result.status, result.err) == (0, "")
    assert "hpss: percussive not scored in 1 of 2, references lack it: One" in result.out
    assert "hpss: guitar not scored in 2 of 2, estimates lack it: One, Two" in result.out
    assert "unknown, or different in some tracks" in result.out
    one = run("benchmark", "--data", "true", "-n", "hpss", "--targets", "harmonic")
    assert "not scored" not in one.out
    content = run("benchmark", "--data", "true", "-n", "hpss", "--json").out.splitlines()
    assert json.loads(content[0])["left_out"] == {
        "percussive": "references", "residual": "references", "guitar": "estimates"
    }  # fmt: skip


def test_benchmark_goes_on_after_a_bad_song_and_bad_weights(run, tracks, tiny_model):
    (tracks / "true/One/vocals.wav").write_bytes(b"RIFF, but no more than that")
    missing = tracks / "cut.safetensors"
    missing.write_bytes(tiny_model.read_bytes()[:-100])
    result = run("benchmark", "--data", "true", "-n", missing, "-n", "mixture", "-n", "irm2")
    assert result.status == 1
    first, *others = result.err.splitlines()
    assert "cut" in first
    assert len(others) == 2
    assert all("One" in line for line in others)
    assert "3 failed: cut: all tracks, mixture: One, irm2: One" in result.out
    assert result.out.count("mixture") == 5


def test_systems_of_one_name_are_kept_apart(run, tracks, tiny_model):
    for name in ("a", "b"):
        (tracks / name).mkdir()
        shutil.copy(tiny_model, tracks / name / "tiny.safetensors")
    models = ["a/tiny.safetensors", "b/tiny.safetensors"]
    flags = [word for model in models for word in ("-n", model)]
    for old, new in (("vocals", "voice"), ("drums", "flute"), ("bass", "rest")):
        for folder in (tracks / "true").iterdir():
            (folder / f"{old}.wav").rename(folder / f"{new}.wav")
            (folder / "other.wav").unlink(missing_ok=True)
    result = run("benchmark", "--data", "true", *flags, "--json", "--window", "inf")
    systems = [json.loads(line)["system"] for line in result.out.splitlines()]
    assert systems == ["a_tiny.safetensors"] * 2 + ["b_tiny.safetensors"] * 2
    run("evaluate", "true", "system", "--targets", "voice", "--out", "scores")
    twice = run("benchmark", "--data", "true", "-n", "irm2", "-n", "irm2")
    assert (twice.status, "named twice" in twice.err) == (2, True)


def test_published_systems_of_one_name_and_tracks_that_are_there_twice(run, tracks):
    run("evaluate", "true", "system", "--out", "scores")
    shutil.copytree(tracks / "scores/system", tracks / "other/system")
    result = run("benchmark", "--published", "scores/system", "--published", "other/system")
    assert result.status == 2
    assert "two systems are called 'system'" in result.err
    shutil.copytree(tracks / "other/system/test", tracks / "other/system/again")
    result = run("benchmark", "--published", "other/system")
    assert result.status == 1
    assert len(result.err.splitlines()) == 2
    assert "scores of the track of" in result.err


def test_names_that_do_not_fit(run, tracks):
    (tracks / "system/One/other.wav").rename(tracks / "system/One/flute.wav")
    (tracks / "system/Two/other.wav").unlink()
    result = run("evaluate", "true", "system")
    assert result.status == 1
    assert "target 'flute' is not on both sides; references: bass, drums" in result.err
    assert "no estimate of other" in result.err
    assert len(result.err.splitlines()) == 2


def test_a_silent_reference_is_recorded_with_its_reason(run, tracks):
    write(tracks / "true/One", {"bass": np.zeros((2, 16000), np.float32)})
    result = run("evaluate", "true/One", "system/One", "--json")
    assert result.status == 0
    targets = {target["name"]: target for target in json.loads(result.out)["targets"]}
    assert targets["bass"]["reason"] == "the reference is silent: no score"
    assert math.isnan(targets["bass"]["frames"][0]["metrics"]["SDR"])
    assert all(map(math.isnan, targets["bass"]["whole_track"].values()))
    assert targets["vocals"]["frames"][0]["metrics"]["SDR"] > 10
    assert "warning: One: bass: the reference is silent: no score" in result.err
    table = run("evaluate", "true", "system", "--csv", "all.csv").out
    assert re.search(r"bass .* 1 of 2\n", table)
    with (tracks / "all.csv").open(newline="") as file:
        silent = [r for r in csv.DictReader(file) if (r["track"], r["target"]) == ("One", "bass")]
    assert len(silent) == len(METRICS) + len(WHOLE_TRACK_METRICS)
    assert {row["value_db"] for row in silent} == {""}


def test_broken_score_files(run, tracks):
    run("evaluate", "true", "system", "--out", "scores")
    (tracks / "scores/system/test/One.json").write_text("not json")
    result = run("benchmark", "--published", "scores/system")
    assert result.status == 1
    assert "One.json: not a JSON file" in result.err
    assert len(result.err.splitlines()) == 1
    assert "vocals" in result.out


def test_broken_stem_mp4(run, tracks):
    (tracks / "true/Three.stem.mp4").write_bytes(b"\0" * 1000)
    result = run("evaluate", "true/Three.stem.mp4", "system")
    assert result.status in (1, 2)
    assert "Three" in result.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["evaluate", "none", "system"], "none: no such folder"),
        (["evaluate", "true", "empty"], "empty: the folder is empty"),
        (["evaluate", "true", "file.txt"], "file.txt: is a file"),
        (["evaluate", "true", "system", "--bss", "v5"], "unknown BSS Eval version 'v5'"),
        (["evaluate", "true", "system", "--window", "0"], "not positive"),
        (["evaluate", "true", "system", "--resume"], "--resume needs --out"),
        (["evaluate", "true", "system", "--targets", "a,a"], "named twice"),
        (["evaluate", "true"], "Missing argument 'estimates'"),
        (["benchmark"], "nothing to do"),
        (["benchmark", "--data", "true"], "must be given together"),
        (["benchmark", "--data", "file.txt", "-n", "irm2"], "file.txt: is a file"),
        (["benchmark", "--data", "true", "-n", "irm3"], "unknown model 'irm3'"),
        (["benchmark", "--data", "true", "-n", "mixture", "-n", "nosuch"], "unknown model"),
        (["benchmark", "--data", "true", "-n", "mixture", "-n", "repet:flute+hpss"], "'flute'"),
    ],
)
def test_wrong_usage(run, tracks, arguments, message):
    (tracks / "empty").mkdir()
    (tracks / "file.txt").write_text("x")
    result = run(*arguments)
    assert result.status == 2
    assert message in result.err
    assert len(result.err.splitlines()) == 1
    assert result.out == ""


def test_separating_with_an_oracle_says_where_it_works(run, tracks):
    result = run("separate", "true/One/vocals.wav", "--name", "irm2")
    assert result.status == 2
    assert "partita benchmark" in result.err


@pytest.mark.parametrize("options", [["--bits", "24"], []])
def test_our_own_stem_mp4_scores_as_wav_files_do(run, tmp_path, stems, song, options):
    """Streams are found by name and lie where MUSDB18 has them."""
    import torch

    from partita.models import create_model
    from partita.weights.checkpoint import save_checkpoint

    torch.manual_seed(0)
    model = create_model("open-unmix", {"sources": list(FOUR), **SMALL_UNMIX}).eval()
    save_checkpoint(tmp_path / "small.safetensors", model)
    write(tmp_path / "references/song", stems, 44100)
    soundfile.write(tmp_path / "song.wav", song.T, 44100)
    command = ["separate", "song.wav", "--model", "small.safetensors", "--filename"]
    assert run(*command, "wav/{track}/{stem}.{ext}", "--bits", "24").status == 0
    files = [*command, "{track}.{ext}", "--format", "stem.mp4", *options]
    assert run(*files).status == 0
    scores = []
    for estimates in ("separated/wav/song", "separated/song.stem.mp4"):
        result = run("evaluate", "references/song", estimates, "--json")
        assert result.status == 0, result.err
        targets = json.loads(result.out)["targets"]
        scores.append([np.nanmedian([f["metrics"]["SDR"] for f in t["frames"]]) for t in targets])
    np.testing.assert_allclose(scores[1], scores[0], atol=0.02 if options else 0.5)
