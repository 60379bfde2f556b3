"""``partita evaluate`` and ``partita benchmark``, through the command line."""

import csv
import json
import math
import shutil

import numpy as np
import pytest
import soundfile

from common import SHARED, SMALL_UNMIX
from partita.evaluation.scores import METRICS

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


def test_score_files_and_resume(run, tracks):
    command = ["evaluate", "true", "system", "--out", "scores", "--json"]
    first = run(*command)
    path = tracks / "scores/system/test/One.json"
    assert json.loads(path.read_text())["track"] == "One"
    (tracks / "system/One/vocals.wav").write_bytes(b"not needed any more")
    assert run(*command, "--resume").out == first.out
    # Other settings or a broken file are no reason to take a score over.
    path.write_text("{")
    again = run(*command, "--resume")
    assert again.status == 1
    assert "One" in again.err
    other = run(*command, "--resume", "--window", "0.5")
    assert json.loads(other.out.splitlines()[-1])["partita"]["window_s"] == 0.5


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
    assert len(rows) == 2 * 4 * (len(METRICS) + 2)
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
    assert "1 left out" in result.out


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
    assert "warning: One: estimates are 1000 samples off: cut" in result.err


def test_tracks_on_one_side_only(run, tracks):
    (tracks / "system/Two").rename(tracks / "system/Three")
    result = run("evaluate", "true", "system")
    assert result.status == 1
    missing, extra = sorted(result.err.splitlines(), key=lambda line: "Three:" in line)
    assert "Two: no estimates of that name in system; estimates there: Three" in missing
    assert "Three: no references of that name in true; references there: One, Two" in extra
    assert "2 left out" in result.out


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
    assert targets["bass"]["reason"] == "the reference is silent throughout"
    assert math.isnan(targets["bass"]["frames"][0]["metrics"]["SDR"])
    assert targets["vocals"]["frames"][0]["metrics"]["SDR"] > 10


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
        (["benchmark", "--data", "true"], "belong together"),
        (["benchmark", "--data", "file.txt", "-n", "irm2"], "file.txt: is a file"),
        (["benchmark", "--data", "true", "-n", "irm3"], "unknown model 'irm3'"),
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
