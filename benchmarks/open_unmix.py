"""Open-Unmix in partita and openunmix: the same weights and song, alternating, medians.

    python benchmarks/open_unmix.py [--seconds 60] [--threads 2] [--rounds 3]
        [--bfloat16] [--device cuda]

Random weights of the published size: four sources, hidden 512, 4096 samples a frame, hop 1024,
stereo at 44.1 kHz. The song begins and ends with silence, because openunmix pads by reflection
where partita pads with zeros. Real-time factors are seconds of computation per second of music;
``theirs ÷``, the peak difference and the distance (signal to difference) compare with openunmix at
the same number of EM iterations. Blocks of 300 frames of the Wiener filter begin with a window, so
with iterations the windows increase the distance.
"""

from __future__ import annotations

import argparse
import sys
import types
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from common import distance_db, in_turns, make_song
from partita import Separator
from partita.devices import choose_precision
from partita.models import create_model
from partita.models.open_unmix import OpenUnmix

RATE, FFT = 44100, 4096
ITERATIONS = (0, 1)


def make_models(device: torch.device) -> tuple[dict[int, nn.Module], dict[int, OpenUnmix]]:
    """Return openunmix's Separator and our model for 0 and 1 iterations, of equal weights."""
    sys.modules.setdefault("torchaudio", types.ModuleType("torchaudio"))  # imported but not used
    from openunmix.model import OpenUnmix as TheirNetwork
    from openunmix.model import Separator as TheirSeparator

    torch.manual_seed(0)
    mine = {}
    for iterations in ITERATIONS:
        config = {"wiener_iterations": iterations}
        model = create_model("open-unmix", {**config, "sources": tuple("abcd")}).eval()
        assert isinstance(model, OpenUnmix)
        mine[iterations] = model.to(device)
    networks = {}
    for name in mine[0].sources:
        network = TheirNetwork(nb_bins=FFT // 2 + 1, max_bin=mine[0].config.seen_bins)
        with torch.no_grad():
            for norm in (network.bn1, network.bn2, network.bn3):
                norm.running_mean.normal_(0, 0.1)
                norm.running_var.uniform_(0.5, 1.5)
        for model in mine.values():
            model.networks[name].load_state_dict(network.state_dict())
        networks[name] = network
    theirs = {n: TheirSeparator(networks, niter=n).eval().to(device) for n in ITERATIONS}
    return theirs, mine


def make_runs(
    song: Tensor, device: torch.device, precisions: list[str]
) -> dict[str, tuple[int, Callable[[], Tensor]]]:
    """Return the iterations and measured functions, which return ``[sources, 2, samples]``."""
    theirs, mine = make_models(device)
    there = song[None].to(device)

    def whole(model: nn.Module, precision: str = "float32") -> Tensor:
        dtype = choose_precision(precision)
        with torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32):
            return model(there)[0].float()

    def windows(separator: Separator) -> Tensor:
        stems = separator(song, RATE)
        return torch.stack([stems[name].samples for name in separator.sources])

    runs: dict[str, tuple[int, Callable[[], Tensor]]] = {}
    for n in ITERATIONS:
        fast = mine[n].for_inference()
        runs[f"openunmix, niter {n}"] = (n, partial(whole, theirs[n]))
        runs[f"model, niter {n}"] = (n, partial(whole, mine[n]))
        for name in precisions:
            separator = Separator(mine[n], device=str(device), precision=name)
            runs[f"for_inference, niter {n}, {name}"] = (n, partial(whole, fast, name))
            runs[f"Separator, niter {n}, {name}"] = (n, partial(windows, separator))
    return runs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--bfloat16", action="store_true", help="measure it as well")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    song = make_song(options.seconds, RATE)
    song[:, : FFT // 2] = song[:, -FFT // 2 :] = 0.0
    precisions = ["float32", "bfloat16"] if options.bfloat16 else ["float32"]
    runs = make_runs(song, device, precisions)
    times, estimates = in_turns({name: run for name, (_, run) in runs.items()}, options.rounds)
    print(f"{options.seconds:g} s, stereo, four sources, {device}, {options.threads} threads")
    if options.bfloat16 and device.type == "cpu" and not torch.cpu._is_avx512_bf16_supported():
        print("this processor has no instructions for bfloat16")
    print(f"{'':<34} {'time':>9} {'÷ music':>8} {'theirs ÷':>9} {'peak':>8} {'distance':>9}")
    for name, (iterations, _) in runs.items():
        time_s = times[name]
        other = f"openunmix, niter {iterations}"
        peak = float((estimates[name] - estimates[other]).abs().max())
        print(
            f"{name:<34} {time_s:7.2f} s {time_s / options.seconds:8.4f} "
            f"{times[other] / time_s:8.2f}× {peak:8.1e} "
            f"{distance_db(estimates[name], estimates[other]):6.1f} dB"
        )
        if name.endswith("bfloat16"):
            single = estimates[name.replace("bfloat16", "float32")]
            print(f"  {distance_db(estimates[name], single):.1f} dB from the same in float32")


if __name__ == "__main__":
    main()
