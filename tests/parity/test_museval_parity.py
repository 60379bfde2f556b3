"""BSS Eval against museval 0.4.1 itself."""

import gzip
import json
import sys
import types

import jsonschema
import numpy as np
import pandas as pd
import pytest
import soundfile
import soxr
import torch

from common import SHARED
from partita import evaluate
from partita.audio.signal import load_audio
from partita.comparison.entrants import named_entrants
from partita.comparison.options import CompareOptions
from partita.comparison.run import compare as compare_systems
from partita.datasets import open_dataset
from partita.evaluation.aggregate import summarise
from partita.evaluation.bsseval import bss_eval
from partita.evaluation.scores import METRICS, find_score_files, read_scores
from partita.evaluation.scoring import ScoreOptions

FIGURES = ("sdr", "isr", "sir", "sar")


@pytest.fixture(scope="module")
def museval():
    """Its import wants musdb, which wants an ffmpeg program; scoring needs neither."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "musdb", types.ModuleType("musdb"))
        yield pytest.importorskip("museval", reason="museval is not installed (make test does it)")


def compare(museval, references, estimates, *, window, hop, mode, tolerance=1e-6):
    theirs = museval.evaluate(
        references.transpose(0, 2, 1),
        estimates.transpose(0, 2, 1),
        win=window,
        hop=hop,
        mode=mode,
    )
    ours = bss_eval(
        torch.from_numpy(references),
        torch.from_numpy(estimates),
        window=window,
        hop=hop,
        framewise_filters=mode == "v3",
    )
    for name, expected in zip(FIGURES, theirs, strict=True):
        found = getattr(ours, name).numpy()
        np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
        compared = np.isfinite(expected) & (expected <= 60)
        assert np.abs(found - expected)[compared].max(initial=0) <= tolerance, name


def make(sources, channels, samples, seed=0):
    generator = np.random.default_rng(seed)
    references = generator.standard_normal((sources, channels, samples))
    estimates = references + 0.2 * references[::-1]
    return references, estimates + 0.3 * generator.standard_normal(references.shape)


@pytest.mark.parametrize("mode", ["v4", "v3"])
@pytest.mark.parametrize(
    ("sources", "channels", "samples", "window", "hop"),
    [
        (2, 2, 60000, 22050, 22050),
        (3, 1, 60000, 22050, 11025),
        (2, 2, 9000, 44100, 44100),
        (2, 2, 50000, np.inf, np.inf),
    ],
)
def test_noise(museval, sources, channels, samples, window, hop, mode):
    references, estimates = make(sources, channels, samples)
    ours_window = None if window == np.inf else window
    if ours_window is None:  # the whole track: both name it in their own way
        compare(museval, references, estimates, window=samples, hop=samples, mode=mode)
    else:
        compare(museval, references, estimates, window=window, hop=hop, mode=mode)


@pytest.mark.parametrize("mode", ["v4", "v3"])
def test_silent_passages(museval, mode):
    references, estimates = make(2, 2, 60000)
    references[0, :, 20000:42000] = 0
    estimates[1, :, 40000:] = 0
    compare(museval, references, estimates, window=20000, hop=20000, mode=mode)


@pytest.mark.parametrize("mode", ["v4", "v3"])
def test_channels_that_are_copies(museval, mode):
    """Mono stems in stereo files: museval's equations are singular there, ours are not."""
    references, estimates = make(2, 2, 50000)
    references[1, 1] = references[1, 0]
    compare(museval, references, estimates, window=22050, hop=22050, mode=mode)


@pytest.mark.parametrize("mode", ["v4", "v3"])
def test_quiet_and_loud_sources(museval, mode):
    references, estimates = make(2, 2, 50000)
    references[1] *= 1e-3
    estimates[1] = references[1] + 1e-4 * estimates[0]
    compare(museval, references, estimates, window=22050, hop=22050, mode=mode)


@pytest.fixture(scope="module")
def streams():
    """Mixture, drums, bass, other, vocals, as musdb reads them: rounded to 16 bits."""
    path = SHARED / "audio/music-delta-80s-rock.stem.mp4"
    if not path.exists():
        pytest.skip("the real recordings (../shared/audio) are not on this machine")
    # Without the rounding the equations are too ill-conditioned for any two solvers to agree.
    loaded = [load_audio(path, stream=index).samples.double().numpy() for index in range(5)]
    return [np.round(samples * 32768.0) / 32768.0 for samples in loaded]


#: museval is slow: not every combination.
REAL_CASES = [
    (targets, mode, seconds, channels, rate)
    for targets, mode, seconds in [(2, "v4", 6.8), (4, "v4", 6.8), (2, "v3", 3.0), (4, "v3", 1.5)]
    for channels, rate in [(2, 44100), (2, 22050), (2, 48000), (1, 44100)]
    if (mode, rate) != ("v3", 48000) and (targets == 2 or rate == 44100)
]


@pytest.mark.parametrize(("targets", "mode", "seconds", "channels", "rate"), REAL_CASES)
def test_real_music(museval, streams, targets, mode, seconds, channels, rate):
    mixture, drums, bass, other, vocals = (
        _at_rate(stream[2 - channels :, : round(seconds * 44100)], rate) for stream in streams
    )
    four = [vocals, drums, bass, other]
    references = np.stack(four if targets == 4 else [vocals, drums + bass + other])
    noise = np.random.default_rng(0).standard_normal(references.shape)
    estimates = 0.7 * references + 0.15 * mixture + 0.01 * noise
    compare(museval, references, estimates, window=rate, hop=rate, mode=mode)


def _at_rate(signal, rate):
    if rate == 44100:
        return signal
    converted = np.asarray(soxr.resample(signal.T, 44100, rate)).T
    return np.round(converted * 32768.0) / 32768.0  # as a 16-bit file would hold it


def test_musevals_own_regression_track():
    """Their test: seeded noise as estimates, scored in this track's musdb targets."""
    folder = SHARED / "audio"
    if not folder.is_dir():
        pytest.skip("the real recordings (../shared/audio) are not on this machine")
    expected = read_scores(folder / "Music Delta - 80s Rock.json")
    track = open_dataset(folder / "music-delta-80s-rock.stem.mp4").tracks[0]
    references = track.load_stems()  # rounded to 16 bits as musdb reads them, which matters
    shape = tuple(references["vocals"].samples.shape)[::-1]
    if shape[0] != 300_032:
        pytest.skip("FFmpeg 9 leaves out the padding at the end, which these figures depend on")
    generator = np.random.RandomState(0)
    estimates = {name: generator.random_sample(shape).T for name in ("vocals", "accompaniment")}
    found = evaluate(references, estimates, sample_rate=track.rate)
    assert set(expected.targets) == {"vocals", "accompaniment"}
    for name, target in expected.targets.items():
        for theirs, ours in zip(target.frames, found.targets[name].frames, strict=True):
            for metric in METRICS:
                assert ours[metric] == pytest.approx(theirs[metric], abs=0.1), (name, metric)


@pytest.fixture(scope="module")
def published():
    folder = SHARED / "published"
    if not folder.is_dir():
        pytest.skip("other people's scores (../shared/published) are not on this machine")
    return sorted(path for path in folder.iterdir() if path.is_dir())


def test_aggregates_of_published_systems(museval, published):
    assert published
    store = museval.MethodStore()
    ours = {}
    for folder in published:
        method = museval.EvalStore()
        paths = find_score_files(folder)
        contents = {path: json.loads(gzip.decompress(path.read_bytes())) for path in paths}
        method.df = pd.concat(museval.json2df(c, path.name) for path, c in contents.items())
        store.add_evalstore(method, folder.name)
        ours[folder.name] = summarise(map(read_scores, paths))
    for (system, target, metric), theirs in store.agg_frames_tracks_scores().items():
        found = ours[system][target].medians[metric]
        assert found == theirs or (np.isnan(found) and np.isnan(theirs)), (system, target, metric)


def test_museval_reads_our_files(museval, tmp_path):
    references, estimates = make(2, 2, 50000)
    names = ("vocals", "accompaniment")
    signals = [dict(zip(names, values, strict=True)) for values in (references, estimates)]
    late = {name: np.roll(signal, 500, axis=-1) for name, signal in signals[1].items()}
    scores = evaluate(signals[0], late, sample_rate=22050, track="Song")
    assert scores.warnings  # which are one more key in the file
    scores.save(tmp_path / "system/test/Song.json")
    jsonschema.validate(scores.to_json(), museval.TrackStore("x").schema)
    store = museval.EvalStore()
    store.add_eval_dir(tmp_path / "system")
    theirs = store.agg_frames_tracks_scores()
    for target, summary in summarise([scores]).items():
        for metric in METRICS:
            assert theirs[target, metric] == pytest.approx(summary.medians[metric], abs=1e-5)


@pytest.mark.slow
def test_stems_of_a_comparison(museval, tmp_path):
    """What a comparison says of its files is what museval says of them."""
    rng = np.random.default_rng(0)
    for stem in ("drums", "rest"):
        path = tmp_path / "album" / "song" / f"{stem}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, rng.normal(0, 0.1, (66150, 2)), 44100)
    dataset = open_dataset(tmp_path / "album")
    options = CompareOptions(ScoreOptions(targets=("drums", "rest")))
    found = compare_systems(dataset, named_entrants(["irm1"]), options, cache=tmp_path / "cache")
    stems, scores = found.results[0].stems["song"], found.results[0].scores["song"]
    references = [dataset.tracks[0].load(name).samples.numpy() for name in scores.targets]
    estimates = [soundfile.read(stems[name])[0].T for name in scores.targets]
    theirs = museval.evaluate(
        np.stack(references).transpose(0, 2, 1).astype(np.float64),
        np.stack(estimates).transpose(0, 2, 1),
        win=44100,
        hop=44100,
    )
    for metric, expected in zip(("SDR", "ISR", "SIR", "SAR"), theirs, strict=True):
        for target, windows in zip(scores.targets.values(), expected, strict=True):
            ours = [frame[metric] for frame in target.frames]
            assert ours == pytest.approx(list(windows), abs=1.5e-5), metric
