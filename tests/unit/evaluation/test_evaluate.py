import math

import pytest
import torch

from partita import Audio, evaluate
from partita.errors import ScoresError, UsageError
from partita.evaluation.evaluate import ScoreOptions, match_targets

FOUR = ["vocals", "drums", "bass", "other"]


def noise(count=2, samples=6000, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 2, samples, generator=generator)


def make(names, **options):
    references = dict(zip(names, noise(len(names), **options), strict=True))
    estimates = {
        name: signal + 0.1 * torch.randn_like(signal) for name, signal in references.items()
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


def test_sums_on_both_sides():
    references, estimates = make(FOUR)
    two = {"vocals": estimates["vocals"], "accompaniment": sum(estimates[n] for n in FOUR[1:])}
    expected = evaluate(references, two, sample_rate=2000)
    assert list(expected.targets) == ["vocals", "accompaniment"]
    found = evaluate(references, estimates, sample_rate=2000, targets=["vocals", "accompaniment"])
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


def test_silent_sources_are_named():
    references, estimates = make(["a", "b", "c"])
    references["b"] = torch.zeros_like(references["b"])
    estimates["c"] = torch.zeros_like(estimates["c"])
    scores = evaluate(references, estimates, sample_rate=2000)
    assert scores.targets["b"].reason == "the reference is silent throughout"
    assert scores.targets["c"].reason == "the estimate is silent throughout"
    assert math.isnan(scores.targets["b"].frames[0]["SDR"])
    assert scores.targets["a"].frames[0]["SDR"] == pytest.approx(20, abs=1)
    assert scores.targets["a"].reason == ""


@pytest.mark.parametrize(
    ("references", "estimates", "targets", "expected"),
    [
        (FOUR, FOUR, [], FOUR),
        (FOUR, ["vocals", "accompaniment"], [], ["vocals", "accompaniment"]),
        (FOUR, ["vocals", "no_vocals"], [], ["vocals", "no_vocals"]),
        (FOUR, ["drums+bass", "vocals", "other"], [], ["drums+bass", "vocals", "other"]),
        # museval scores these in two sets; here a set is a set, and sums are left out of it
        (FOUR, [*FOUR, "accompaniment"], [], FOUR),
        ([*FOUR, "accompaniment"], FOUR, [], FOUR),
        (["vocals", "accompaniment"], ["vocals", "accompaniment"], [], ["vocals", "accompaniment"]),
        (FOUR, FOUR, ["vocals", "drums"], ["vocals", "drums"]),
        (FOUR, ["mixture", *FOUR], [], FOUR),
        (["flute", "rest"], ["rest", "flute"], [], ["rest", "flute"]),
    ],
)
def test_what_is_scored(references, estimates, targets, expected):
    assert list(match_targets(references, estimates, targets)) == expected


@pytest.mark.parametrize(
    ("references", "estimates", "targets", "message"),
    [
        (FOUR, ["vocals"], [], "no estimate of drums, bass, other"),
        (FOUR, [*FOUR, "flute"], [], "target 'flute' is not on both sides; references: bass"),
        (FOUR, FOUR, ["flute"], "target 'flute'"),
        (FOUR, ["drums+bass", "bass+other", "vocals"], [], "estimates overlap"),
        (FOUR, [], [], "no estimate"),
    ],
)
def test_names_that_do_not_fit_list_both_sides(references, estimates, targets, message):
    with pytest.raises(UsageError, match=message) as info:
        match_targets(references, estimates, targets)
    assert "references: " in str(info.value)
    assert "estimates: " in str(info.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda e: e[:, :-1], "5999 samples, reference a has 6000"),
        (lambda e: e[:1], "1 channels, reference a has 2"),
        (lambda e: e * math.nan, "estimate b holds NaN or infinite samples"),
        (lambda e: e[:, :0], "holds no samples"),
        (lambda e: e[0], r"floating-point \[channels, samples\]"),
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
