import json
import math
import unicodedata

import pytest
import torch

from partita import Audio, evaluate
from partita.errors import ScoresError, UsageError
from partita.evaluation.scoring import ScoreOptions

FOUR = ["vocals", "drums", "bass", "other"]


def noise(count=2, samples=6000, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 2, samples, generator=generator)


def make(names, **options):
    references = dict(zip(names, noise(len(names), **options), strict=True))
    errors = noise(len(names), seed=1)
    estimates = {
        name: signal + 0.1 * error
        for (name, signal), error in zip(references.items(), errors, strict=True)
    }
    return references, estimates


def test_scores_by_name():
    references, estimates = make(FOUR)
    shuffled = {name: estimates[name] for name in reversed(FOUR)}
    scores = evaluate(references, shuffled, sample_rate=2000, track="Song")
    assert scores.track == "Song"
    assert set(scores.targets) == set(FOUR)
    vocals = scores.targets["vocals"]
    assert len(vocals.frames) == 3
    assert vocals.frames[0]["SDR"] == pytest.approx(20, abs=1)
    assert vocals.whole["uSDR"] == pytest.approx(20, abs=0.5)
    assert vocals.whole["SI-SDR"] == pytest.approx(20, abs=0.5)
    assert vocals.whole["SI-SAR"] == pytest.approx(20, abs=0.5)
    assert set(vocals.scored_with) == set(FOUR)
    assert scores.settings["version"] == "v4"
    assert scores.settings["sample_rate"] == 2000


def test_all_kinds_of_signals():
    references, estimates = make(["a", "b"])
    expected = evaluate(references, estimates, sample_rate=2000)
    as_audio = {name: Audio(signal, 2000) for name, signal in references.items()}
    as_numpy = {name: signal.numpy() for name, signal in estimates.items()}
    found = evaluate(as_audio, as_numpy, sample_rate=2000)
    assert found.targets["a"].frames == expected.targets["a"].frames


def test_arrays_and_tensors_that_torch_does_not_take_as_they_are():
    references, estimates = make(["a"])
    expected = evaluate(references, estimates, sample_rate=2000).targets["a"].frames
    array = references["a"].numpy()
    fixed = array.copy()
    fixed.flags.writeable = False
    backward = array[:, ::-1].copy()[:, ::-1]
    learning = estimates["a"].clone().requires_grad_()
    for each in (array.astype(">f4"), fixed, backward):
        found = evaluate({"a": each}, {"a": learning}, sample_rate=2000)
        assert found.targets["a"].frames == expected


@pytest.mark.parametrize("signal", [None, "a.wav", [[1.0, 2.0], [3.0]], [[None]]])
def test_what_is_no_signal(signal):
    with pytest.raises(ScoresError, match=r"^a: signals are floating-point \[channels, samples\]"):
        evaluate({"a": signal}, make(["a"])[1], sample_rate=2000)


def test_names_are_asked_for():
    references, estimates = make(["a"])
    with pytest.raises(UsageError, match="estimates are a mapping of names to signals, not list"):
        evaluate(references, list(estimates.values()), sample_rate=2000)
    with pytest.raises(UsageError, match="names of references are texts, not 1"):
        evaluate({1: references["a"]}, estimates, sample_rate=2000)


@pytest.mark.parametrize("rate", ["2000", True, math.nan, math.inf, 2000.5, [2000]])
def test_rates_are_whole_numbers(rate):
    with pytest.raises(UsageError, match="`sample_rate` must be a positive integer"):
        evaluate(*make(["a"]), sample_rate=rate)


def test_windows_that_never_come_again():
    (target,) = evaluate(*make(["a"]), sample_rate=2000, hop_s=math.inf).targets.values()
    assert len(target.frames) == 1


def test_arrays_need_a_sample_rate():
    references, estimates = make(["a", "b"])
    as_audio = {name: Audio(signal, 2000) for name, signal in estimates.items()}
    for arrays in ((references, estimates), (references, as_audio), (as_audio, estimates)):
        with pytest.raises(UsageError, match="pass sample_rate=…, in hertz"):
            evaluate(*arrays)
    known = {name: Audio(signal, 2000) for name, signal in references.items()}
    scores = evaluate(known, as_audio)
    assert scores.settings["sample_rate"] == 2000
    assert len(scores.targets["a"].frames) == 3
    with pytest.raises(ScoresError, match="sample rates differ: 2000 Hz, 44100 Hz"):
        evaluate(known, as_audio, sample_rate=44100)


def test_names_compare_in_one_unicode_form():
    references, estimates = make(["café", "b"])
    decomposed = {unicodedata.normalize("NFD", name): s for name, s in references.items()}
    assert set(decomposed) != set(estimates)
    for sides in ((decomposed, estimates), (references, decomposed)):
        assert set(evaluate(*sides, sample_rate=2000).targets) == {"café", "b"}
    with pytest.raises(UsageError, match="two references are called 'café'"):
        evaluate({**references, **decomposed}, estimates, sample_rate=2000)


def test_references_that_a_lossy_codec_made_are_rounded():
    references, _ = make(["a", "b"])
    rounded = {name: (signal * 32768).round() / 32768 for name, signal in references.items()}
    lossy = {name: Audio(signal, 2000, is_lossy=True) for name, signal in references.items()}
    expected = evaluate(rounded, references, sample_rate=2000).targets["a"].frames
    assert evaluate(lossy, references, sample_rate=2000).targets["a"].frames == expected
    assert evaluate(references, references, sample_rate=2000).targets["a"].frames != expected


@pytest.mark.parametrize(("padding", "said"), [(7, "too long: cut"), (-7, "too short: filled up")])
def test_what_codecs_pad_is_cut_or_filled_up_and_said(padding, said):
    references, estimates = make(["a", "b"])
    estimates["b"] = torch.nn.functional.pad(estimates["b"], (0, padding))
    scores = evaluate(references, estimates, sample_rate=2000)
    assert f"estimate b is 7 samples {said}" in scores.warnings[0]
    assert scores.settings["samples"] == 6000


def test_short_references_go_on_in_silence():
    references, estimates = make(["a", "b"])
    references["b"] = references["b"][:, :-5000]
    scores = evaluate(references, estimates, sample_rate=2000)
    assert "reference b is 5000 samples too short: filled up with silence" in scores.warnings[0]


def test_sums_on_both_sides():
    references, estimates = make(FOUR)
    two = {"vocals": estimates["vocals"], "accompaniment": sum(estimates[n] for n in FOUR[1:])}
    expected = evaluate(references, two, sample_rate=2000)
    assert list(expected.targets) == ["vocals", "accompaniment"]
    found = evaluate(references, estimates, sample_rate=2000, targets=["vocals", "accompaniment"])
    texts = evaluate(references, estimates, sample_rate=2000, targets="vocals, accompaniment")
    assert texts.settings == found.settings
    for name in two:
        assert found.targets[name].frames[0]["SIR"] == pytest.approx(
            expected.targets[name].frames[0]["SIR"], abs=1e-4
        )


def test_versions_and_windows():
    references, estimates = make(["a", "b"])
    whole = evaluate(references, estimates, sample_rate=2000, window_s=math.inf)
    assert len(whole.targets["a"].frames) == 1
    assert whole.window_s == 3.0
    assert whole.settings["window_s"] is None
    one = evaluate(references, estimates, sample_rate=2000, version="v3", window_s=2.0, hop_s=0.5)
    assert len(one.targets["a"].frames) == 3
    with pytest.raises(UsageError, match="unknown BSS Eval version 'v5'"):
        evaluate(references, estimates, version="v5")
    with pytest.raises(UsageError, match="not positive"):
        evaluate(references, estimates, window_s=0)


@pytest.mark.parametrize("level", [0, 1e-7])  # 16 bits round the second to silence as well
@pytest.mark.parametrize("estimate", ["loud", "silent"])
def test_a_silent_reference_has_no_figure_at_all(estimate, level, caplog):
    references, estimates = make(["a", "b"])
    references["b"] *= level
    if estimate == "silent":
        estimates["b"] = torch.zeros_like(estimates["b"])
    scores = evaluate(references, estimates, sample_rate=2000, track="Song")
    assert scores.targets["b"].reason == "the reference is silent: no score"
    assert scores.warnings == ("b: the reference is silent: no score",)
    assert caplog.messages == ["Song: b: the reference is silent: no score"]
    figures = [*scores.targets["b"].whole.values()]
    figures += [value for frame in scores.targets["b"].frames for value in frame.values()]
    assert len(figures) == 3 + 3 * 4
    assert all(map(math.isnan, figures))
    content = json.loads(json.dumps(scores.to_json()))
    assert all(map(math.isnan, content["targets"][1]["whole_track"].values()))
    assert scores.targets["a"].frames[0]["SDR"] == pytest.approx(20, abs=1)
    assert scores.targets["a"].whole["uSDR"] == pytest.approx(20, abs=1)
    assert scores.targets["a"].reason == ""


def test_a_silent_estimate_of_a_loud_reference():
    references, estimates = make(["a", "b"])
    estimates["b"] = torch.zeros_like(estimates["b"])
    scores = evaluate(references, estimates, sample_rate=2000)
    assert scores.targets["b"].reason == "the estimate is silent: only uSDR has a value (0 dB)"
    assert scores.targets["b"].whole["uSDR"] == pytest.approx(0, abs=1e-6)
    assert math.isnan(scores.targets["b"].whole["SI-SDR"])
    assert math.isnan(scores.targets["b"].whole["SI-SAR"])
    assert math.isnan(scores.targets["b"].frames[0]["SDR"])
    assert scores.targets["a"].whole["uSDR"] == pytest.approx(20, abs=1)


def test_leaking_sources_are_no_artifacts():
    references, noisy = make(["a", "b"])
    leaking = {"a": references["a"] + 0.1 * references["b"], "b": noisy["b"]}
    figures = evaluate(references, leaking, sample_rate=2000).targets["a"].whole
    assert figures["SI-SDR"] == pytest.approx(20, abs=0.5)
    assert figures["SI-SAR"] > 100
    alone = evaluate({"a": references["a"]}, {"a": noisy["a"]}, sample_rate=2000).targets["a"].whole
    assert alone["SI-SAR"] == pytest.approx(alone["SI-SDR"])  # nothing else to leak


def test_channels_that_cancel_are_not_called_silence():
    references, estimates = make(["a", "b"])
    references["b"][1] = -references["b"][0]
    scores = evaluate(references, estimates, sample_rate=2000)
    assert "channels of the reference cancel" in scores.targets["b"].reason
    assert math.isfinite(scores.targets["b"].whole["uSDR"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda e: e[:, :-5000], "estimate b has 1000 samples, reference a has 6000"),
        (lambda e: e[:1], "1 channels, reference a has 2"),
        (lambda e: e * math.nan, "estimate b holds NaN or infinite samples"),
        (lambda e: e[:, :0], "holds no samples"),
        (lambda e: e[0], r"floating-point \[channels, samples\]"),
        (lambda e: e.T, "6000 channels of 2 samples: signals are .* so transpose it"),
        (lambda e: e.int(), r"floating-point \[channels, samples\]"),
        (lambda e: Audio(e, 8000), "sample rates differ: 2000 Hz, 8000 Hz"),
    ],
)
def test_signals_that_cannot_be_compared(change, message):
    references, estimates = make(["a", "b"])
    with pytest.raises(ScoresError, match=message):
        evaluate(references, {**estimates, "b": change(estimates["b"])}, sample_rate=2000)


def test_inputs_stay_as_they_are():
    references, estimates = make(["a", "b"])
    before = {name: signal.clone() for name, signal in estimates.items()}
    evaluate(references, estimates, sample_rate=2000)
    assert all(torch.equal(estimates[name], before[name]) for name in before)


def test_a_target_cannot_be_named_twice():
    with pytest.raises(UsageError, match="named twice"):
        ScoreOptions(targets=("a", "a"))


@pytest.mark.parametrize("version", ["v4", "v3"])
def test_progress(version):
    generator = torch.Generator().manual_seed(0)
    references = {name: torch.randn(1, 20000, generator=generator) for name in ("a", "b")}
    seen = []
    evaluate(
        references,
        references,
        sample_rate=8000,
        version=version,
        progress=lambda done_s, total_s: seen.append((done_s, total_s)),
    )
    assert [total_s for _, total_s in seen] == [2.5] * len(seen)
    assert [done_s for done_s, _ in seen] == sorted(done_s for done_s, _ in seen)
    assert seen[-1] == (2.5, 2.5)
