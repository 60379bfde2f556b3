"""Demucs in partita and demucs 2.0.3: the same weights and song, alternating, medians.

    python benchmarks/demucs_v2.py [--seconds 60] [--threads 2] [--rounds 3] [--bfloat16]

Random weights of the published size (version 2: 64 channels, depth 6), stereo at 44.1 kHz. Theirs
separates as its command does, in windows of 40 s. ``theirs, our network`` is their loop around our
network, and ``network`` a single window: there estimates must be equal. ``windows`` are four equal
ones, which theirs takes one by one, as its loop does, and ours at once, as `Separator` does, which
has other crossfades. The distance is the ratio of signal to difference, relative to the first row
of the group. The lower bound (*floor*) is the multiply-adds of all windows at this machine's rate
of matrix products.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import types
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from common import distance_db, in_turns, make_song, multiply_adds
from partita import Separator
from partita.dsp.double_rate import double_rate, halve_rate
from partita.models import create_model
from partita.models._demucs_fused import FusedDemucs
from partita.models.demucs import Demucs
from partita.weights.demucs import tensors_from_files

RATE = 44100
SOURCES = ["drums", "bass", "other", "vocals"]
WINDOWS = FusedDemucs.cpu_batch


def make_models() -> tuple[nn.Module, Demucs]:
    """Return demucs's network and ours, of equal weights; neither normalises."""
    stub = types.ModuleType("diffq")  # quantisation, which nothing here needs
    stub.UniformQuantizer = stub.DiffQuantizer = None  # type: ignore[attr-defined]
    sys.modules.setdefault("diffq", stub)
    from demucs.model import Demucs as TheirDemucs

    torch.manual_seed(0)
    theirs = TheirDemucs(SOURCES, normalize=False).eval()
    ours = create_model("demucs", {"sources": SOURCES, "normalise": False})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "demucs.th"
        torch.save(theirs.state_dict(), path)
        ours.load_state_dict(tensors_from_files({"all": path}))
    assert isinstance(ours, Demucs)
    return theirs, ours.eval()


class InTheirLoop(nn.Module):
    """Our network with demucs's interface: padded with the song's samples."""

    def __init__(self, model: FusedDemucs, theirs: nn.Module) -> None:
        super().__init__()
        self._model = model
        self.valid_length = model.config.valid_samples
        self.sources, self.samplerate = theirs.sources, theirs.samplerate
        self.segment_length = theirs.segment_length

    def forward(self, mixture: Tensor) -> Tensor:
        """Separate ``[batch, channels, samples]``, and give somewhat fewer samples."""
        estimates = halve_rate(self._model.network(double_rate(mixture)))
        return estimates.reshape(len(mixture), len(self.sources), mixture.shape[1], -1)


def make_runs(song: Tensor, bfloat16: bool) -> dict[str, dict[str, Callable[[], Tensor]]]:
    """Return the measured functions in groups; each returns ``[..., sources, 2, samples]``."""
    theirs, ours = make_models()
    from demucs.utils import apply_model

    fast = ours.for_inference()
    assert isinstance(fast, FusedDemucs)
    first = song[None, :, : ours.window.length if ours.window else None]
    padded = ours.config.valid_samples(first.shape[-1]) - first.shape[-1]
    full = nn.functional.pad(first, (padded // 2, padded - padded // 2))

    def whole(model: nn.Module) -> Tensor:
        estimates: Tensor = apply_model(model, song, split=True)
        return estimates

    def windows(separator: Separator) -> Tensor:
        stems = separator(song, RATE)
        return torch.stack([stems[name].samples for name in separator.sources])

    def trimmed(model: nn.Module, mixture: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            estimates: Tensor = model(mixture).float()
        start = (estimates.shape[-1] - first.shape[-1]) // 2
        return estimates[..., start : start + first.shape[-1]]

    def one_by_one(mixtures: Tensor) -> Tensor:
        return torch.cat([trimmed(theirs, mixture) for mixture in mixtures.split(1)])

    network = {
        "network, theirs": partial(trimmed, theirs, full),
        "network": partial(trimmed, ours, first),
        "network, for inference": partial(trimmed, fast, first),
    }
    several = torch.cat([first.roll(number * RATE, dims=-1) for number in range(WINDOWS)])
    padded_ones = nn.functional.pad(several, (padded // 2, padded - padded // 2))
    windows_at_once = {
        "windows, theirs": partial(one_by_one, padded_ones),
        "windows, for inference": partial(trimmed, fast, several),
    }
    songs = {
        "theirs": partial(whole, theirs),
        "theirs, our network": partial(whole, InTheirLoop(fast, theirs)),
        "Separator": partial(windows, Separator(ours)),
    }
    if bfloat16:
        network["network, bfloat16"] = partial(trimmed, fast, first, torch.bfloat16)
        songs["Separator, bfloat16"] = partial(windows, Separator(ours, precision="bfloat16"))
    seconds = first.shape[-1] / RATE
    return {
        f"a window of {seconds:.1f} s": network,
        f"{WINDOWS} windows of {seconds:.1f} s": windows_at_once,
        "the song": songs,
    }


def print_floor(seconds: float) -> None:
    """Print the lower bound of the time of all windows' multiply-adds."""
    ours = create_model("demucs")
    assert ours.window is not None
    side = 3000
    square = torch.randn(side, side)
    elapsed = []
    for _ in range(5):
        started = time.perf_counter()
        square @ square
        elapsed.append(time.perf_counter() - started)
    rate = side**3 / min(elapsed)
    samples = round(seconds * RATE)
    windows = 1 + max(0, -(-(samples - ours.window.length) // ours.window.hop))
    needed = multiply_adds(ours) * min(samples, ours.window.length) / RATE * windows
    print(
        f"floor of Separator: {needed / rate:.1f} s = {windows} windows, {needed / 1e9:.0f} billion"
        f" multiply-adds at {rate / 1e9:.0f} billion a second"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--bfloat16", action="store_true", help="measure it as well")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    groups = make_runs(make_song(options.seconds, RATE), options.bfloat16)
    runs = {name: run for group in groups.values() for name, run in group.items()}
    times, estimates = in_turns(runs, options.rounds)
    print(f"{options.seconds:g} s, stereo, four sources, {options.threads} threads")
    if options.bfloat16 and not torch.cpu._is_avx512_bf16_supported():
        print("this processor has no instructions for bfloat16")
    for title, group in groups.items():
        print(f"{title:<30} {'time':>9} {'theirs ÷':>9} {'relative':>9} {'distance':>9}")
        first = next(iter(group))
        for name in group:
            time_s = times[name]
            ratio = times[first] / time_s
            difference = (estimates[name] - estimates[first]).abs().max()
            print(
                f"  {name:<28} {time_s:7.2f} s {ratio:8.2f}× "
                f"{float(difference / estimates[first].abs().max()):9.1e} "
                f"{distance_db(estimates[name], estimates[first]):6.1f} dB"
            )
            if name.endswith("bfloat16"):
                single = "network, for inference" if name.startswith("network") else "Separator"
                agreement = distance_db(estimates[name], estimates[single])
                print(f"    {agreement:.1f} dB from the same in float32")
    print_floor(options.seconds)


if __name__ == "__main__":
    main()
