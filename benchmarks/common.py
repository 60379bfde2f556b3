"""Shared parts of benchmarks: a song, timing, trainings, scores of sparse stems, multiply-adds.

Stems are scored with BSS Eval v4, in mono unless it says otherwise, each together with the sum of
the others (sparse stems would silence the windows of all), references rounded to 16 bits: medians
over the seconds in which the stem is audible (above -60 dB of full scale), then means over the
tracks in which it is.
"""

from __future__ import annotations

import itertools
import os
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.signal import butter, sosfiltfilt
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import partita
from partita.audio.channels import mix_channels
from partita.datasets import Track
from partita.models._protocol import SeparationModel

METRICS = ("SDR", "SIR", "SAR")
HEARD_DB = -60.0
STEMS = ("vocals", "drums", "bass", "other")
BASS_HZ = 220.0
OVERALL, REST = "mean", "the others"  # no names of stems
#: From a mixture ``[channels, samples]`` and its rate to estimates of the same shape.
Separate = Callable[[np.ndarray, int], Mapping[str, np.ndarray]]
Scores = dict[str, dict[str, float]]


def train(recipe: str, data: Path, out: Path, settings: Iterable[str], jobs: int) -> Path:
    """Train one model with its share of the cores, or resume; return its weights."""
    command = [sys.executable, "-m", "partita", "train", recipe, "--data", data, "--out", out]
    command += ["--resume", *(part for setting in settings for part in ("--set", setting))]
    threads = str(max(1, (os.cpu_count() or 1) // jobs))
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.with_suffix(".log").open("a") as log:
        environment = {**os.environ, "OMP_NUM_THREADS": threads}
        subprocess.run(command, check=True, stdout=log, stderr=log, env=environment)
    return out / "model.safetensors"


def score(separate: Separate, tracks: Iterable[Track]) -> Scores:
    """Return target → metric → mean over the tracks with the target."""
    return mean_scores(score_song(separate, track.load_stems()) for track in tracks)


def score_song(separate: Separate, stems: Mapping[str, partita.Audio], channels: int = 1) -> Scores:
    """Return stem → metric → median over the seconds in which the stem is audible, if any."""
    rate = next(iter(stems.values())).sample_rate
    true = {name: mix_channels(a.samples.numpy(), channels) for name, a in stems.items()}
    mixture = sum(true.values())
    estimates = separate(mixture, rate)
    guessed = {name: estimates[name] for name in true}
    found: Scores = {}
    for name, stem in true.items():
        heard = np.flatnonzero(seconds_heard(stem, rate))
        if not heard.size:
            continue
        scores = partita.evaluate(
            {name: rounded(stem), REST: rounded(mixture - stem)},
            {name: guessed[name], REST: sum(guessed.values()) - guessed[name]},
            sample_rate=rate,
        )
        frames = [scores.targets[name].frames[second] for second in heard]
        found[name] = {m: float(np.nanmedian([f[m] for f in frames])) for m in METRICS}
    return found


def mean_scores(songs: Iterable[Scores]) -> Scores:
    """Return the means over the songs with a stem, and the mean over stems."""
    found: dict[str, list[dict[str, float]]] = defaultdict(list)
    for song in songs:
        for name, row in song.items():
            found[name].append(row)
    means = {
        name: {metric: float(np.mean([each[metric] for each in rows])) for metric in METRICS}
        for name, rows in found.items()
    }
    means[OVERALL] = {m: float(np.mean([row[m] for row in means.values()])) for m in METRICS}
    return means


def score_mixture(tracks: Iterable[Track]) -> Scores:
    """Return the scores of the mixture as the estimate of everything."""
    return score(leave_mixed, tracks)


def leave_mixed(mixture: np.ndarray, _: int) -> dict[str, np.ndarray]:
    """Return the mixture as every estimate."""
    return defaultdict(lambda: mixture)


def rounded(signal: np.ndarray) -> np.ndarray:
    """Round to 16 bits; without that, BSS Eval's filters of coded files are ill-conditioned."""
    return (signal * 32768).round() / 32768


def seconds_heard(reference: np.ndarray, rate: int) -> np.ndarray:
    """Return for each whole second of ``[channels, samples]`` whether it is above the level."""
    count = reference.shape[1] // rate
    seconds = reference[:, : count * rate].reshape(-1, count, rate)
    power = np.square(seconds, dtype=np.float64).mean(axis=(0, 2))
    return 10 * np.log10(power + 1e-20) > HEARD_DB


def baseline_stems(parts: Mapping[str, np.ndarray], rate: int) -> dict[str, np.ndarray]:
    """Return the four stems of `STEMS` from those of ``spleeter-2stems+hpss``, without training.

    HPSS's percussive part is drums, its harmonic part below 220 Hz is bass, the remainder of the
    accompaniment is other. Vocals are omitted if there are none.
    """
    sections = butter(4, BASS_HZ, fs=rate, output="sos")
    bass = sosfiltfilt(sections, parts["harmonic"]).astype(np.float32)  # zero-phase
    other = parts["harmonic"] - bass + parts["residual"]
    found = {"vocals": parts["vocals"]} if "vocals" in parts else {}
    return {**found, "drums": parts["percussive"], "bass": bass, "other": other}


def with_model(weights: str | Path, **options: Any) -> Separate:
    """Return a function that separates ``[channels, samples]`` with a checkpoint or a chain.

    Options are those of `partita.Separator`.
    """
    separator = partita.Separator(str(weights), **options)

    def separate(mixture: np.ndarray, rate: int) -> dict[str, np.ndarray]:
        estimates = separator(mixture, rate, keep_rate=True)
        return {name: audio.samples.numpy() for name, audio in estimates.items()}

    return separate


def multiply_adds(model: SeparationModel) -> float:
    """Return the multiply-adds per second of audio."""
    assert model.window is not None
    recurrent = 0

    def count(lstm: nn.Module, _: tuple[Tensor, ...], output: tuple[Tensor, Tensor]) -> None:
        nonlocal recurrent  # every step of every example uses every weight once
        weights = sum(w.numel() for name, w in lstm.named_parameters() if "weight" in name)
        recurrent += weights * output[0].shape[:2].numel()

    hooks = [m.register_forward_hook(count) for m in model.modules() if isinstance(m, nn.LSTM)]
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        device = next(model.parameters()).device  # "meta": nothing is computed, only counted
        model.eval()(torch.randn(1, model.channels, model.window.length, device=device))
    for hook in hooks:
        hook.remove()
    return (counter.get_total_flops() / 2 + recurrent) * model.sample_rate / model.window.length


def make_song(seconds: float, rate: int) -> Tensor:
    """Return stereo ``[2, samples]``: chords that change every half second, noise on the beat."""
    generator = torch.Generator().manual_seed(0)
    count = round(seconds * rate)
    times = torch.arange(count, dtype=torch.float64) / rate
    beat = (2 * times).long()
    roots = 110 * 2 ** (torch.randint(0, 24, (int(beat[-1]) + 1, 3), generator=generator) / 12)
    decay = torch.exp(-6 * (times - beat / 2))
    song = 0.1 * torch.randn(2, count, generator=generator) * decay
    for voice, harmonic in itertools.product(range(3), range(1, 9)):
        pan = torch.rand(2, 1, generator=generator)
        phase = 2 * torch.pi * harmonic * roots[beat, voice] * times
        song += pan * 0.1 / harmonic * torch.sin(phase) * (0.3 + 0.7 * decay)
    return song.float()


def distance_db(found: Tensor, expected: Tensor) -> float:
    """Return the level of the difference below the signal, in dB."""
    return float(20 * torch.log10(expected.norm() / (found - expected).norm()))


def in_turns(
    runs: Mapping[str, Callable[[], Tensor]], rounds: int
) -> tuple[dict[str, float], dict[str, Tensor]]:
    """Run all functions alternately; return the median time and the last result of each."""
    elapsed: dict[str, list[float]] = {name: [] for name in runs}
    results: dict[str, Tensor] = {}
    with torch.inference_mode():
        for _ in range(rounds):
            for name, run in runs.items():
                started = time.perf_counter()
                results[name] = run().cpu()  # which waits for the device
                elapsed[name].append(time.perf_counter() - started)
    return {name: statistics.median(times) for name, times in elapsed.items()}, results


#: Runs a command; prints what `Spent` holds, memory in kilobytes.
_MEASURE = """
import os, subprocess, sys, time
started = time.perf_counter()
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, used = os.wait4(process.pid, 0)
print(time.perf_counter() - started, used.ru_utime + used.ru_stime, used.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""


@dataclass(frozen=True)
class Spent:
    """What a process took.

    Attributes
    ----------
    seconds : float
        Wall-clock time.
    processor_s : float
        Of all its threads.
    peak_mb : float
        Most resident memory.
    """

    seconds: float
    processor_s: float
    peak_mb: float


def measure(command: list[str]) -> Spent:
    """Run a process to its end.

    A small process starts it: Linux counts the peak of what starts a process as the process's own.
    """
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE, *command], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"failed: {' '.join(command)}\n{done.stderr}")
    seconds, processor_s, kilobytes = map(float, done.stdout.split())
    return Spent(seconds, processor_s, kilobytes / 1024)


def own_peak_mb() -> float:
    """Return the peak memory of this process in MB."""
    status = Path("/proc/self/status").read_text()  # rusage would include the parent's
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def printed_number(command: Iterable[str | Path]) -> float:
    """Run a Python script in its own process; return the number that it prints."""
    done = subprocess.run([sys.executable, *command], check=True, capture_output=True, text=True)
    return float(done.stdout)
