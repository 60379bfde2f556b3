"""Make the pictures and sounds of ``docs/concepts`` of the example song; print its figures.

    python scripts/concept_pictures.py

Colours of lines and texts are readable on light and on dark pages; the background is transparent.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from partita import Audio
from partita.dsp.masks import apply_masks, ratio_masks
from partita.dsp.overlap_add import Window, overlap_add
from partita.dsp.stft import Stft
from partita.evaluation.bsseval import bss_eval
from partita.evaluation.sdr import sdr_db, si_sdr_db

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs/concepts"
RATE = 44100
STFT = Stft(fft_samples=4096, hop_samples=1024)
NAMES = ("vocals", "drums", "bass", "other")
_GREY, _COLOURS = "#7b828b", ("#d95f02", "#1b9e77", "#7570b3", "#3182bd")
_LOWEST_HZ, _HIGHEST_HZ, _ROWS = 40, 16000, 240
_FLOOR_DB = -80
_SHOWN_S = 4.0
_DPI = 110
_METRICS = ("SDR", "uSDR", "SI-SDR")


def song() -> Tensor:
    """Return the stems of the example song, ``[sources, channels, samples]``."""
    sys.path.insert(0, str(ROOT / "examples"))
    import example_song

    stems = example_song.render(_SHOWN_S)
    return torch.stack([torch.from_numpy(stems[name]) for name in NAMES])


def ideal_masks(stems: Tensor, exponent: float = 2.0) -> Tensor:
    """Return ratio masks of the true stems, ``[sources, channels, bins, frames]``."""
    return ratio_masks(STFT.analyse(stems).abs().unsqueeze(0), exponent)[0]


def binary_masks(ratio: Tensor) -> Tensor:
    """Give each point to the stem with the largest mask."""
    return (ratio == ratio.amax(dim=0, keepdim=True)).float()


def masked(stems: Tensor, masks: Tensor) -> Tensor:
    """Apply masks to the mixture; return the estimates in the form of the stems."""
    mixture = STFT.analyse(stems.sum(dim=0))
    found = apply_masks(masks.unsqueeze(0), mixture.unsqueeze(0))[0]
    return STFT.synthesise(found, stems.shape[-1])


def mask_scores(stems: Tensor) -> dict[str, float]:
    """Return the uSDR of the vocals in dB: the mixture, a binary mask, a ratio mask."""
    ratio = ideal_masks(stems)
    found = {
        "the mixture itself": stems.sum(dim=0),
        "binary mask": masked(stems, binary_masks(ratio))[0],
        "ratio mask": masked(stems, ratio)[0],
    }
    return {name: sdr_db(stems[0], estimate) for name, estimate in found.items()}


def metric_scores(stems: Tensor) -> dict[str, tuple[float, ...]]:
    """Return SDR (BSS Eval v4, median), uSDR and SI-SDR of the vocals for changes of an estimate.

    The estimate is the ratio mask's.
    """
    estimates = masked(stems, ideal_masks(stems))
    vocals = estimates[0]
    changes = {
        "as it is": vocals,
        "at half the level": 0.5 * vocals,
        "5 ms late": _late(vocals, round(0.005 * RATE)),
        "inverted": -vocals,
    }
    return {name: _scores(stems, estimates, changed) for name, changed in changes.items()}


def seam_levels(stems: Tensor) -> dict[str, float]:
    """Return the level of the error in dB when windows of one second differ by up to 1 dB in gain.

    Without an overlap, and with half a window.
    """
    mixture = stems.sum(dim=0)
    return {
        name: _step_db(overlap_add(mixture, _Wavering(), Window(RATE, overlap)) / mixture)
        for name, overlap in {"no overlap": 0, "overlap of half a window": RATE // 2}.items()
    }


class _Wavering:
    """A model whose windows are now 1 dB louder and now right."""

    def __init__(self) -> None:
        self._calls = 0

    def __call__(self, window: Tensor) -> Tensor:
        self._calls += 1
        return window * 10 ** (self._calls % 2 / 20)


def _step_db(gains: Tensor) -> float:
    """Return the largest change of a gain within 10 ms, in dB, where the song sounds."""
    gains_db = 20 * torch.log10(gains[0].nan_to_num(nan=1.0).clamp(0.5, 2.0))
    steps = gains_db[RATE // 100 :] - gains_db[: -RATE // 100]
    return float(steps.abs().max())


def _late(signal: Tensor, samples: int) -> Tensor:
    return torch.nn.functional.pad(signal, (samples, 0))[..., : signal.shape[-1]]


def _scores(stems: Tensor, estimates: Tensor, vocals: Tensor) -> tuple[float, ...]:
    changed = torch.cat([vocals.unsqueeze(0), estimates[1:]])
    sdr = float(bss_eval(stems, changed).sdr[0].nanmedian())
    return sdr, sdr_db(stems[0], vocals), si_sdr_db(stems[0], vocals)


def _levels(signal: Tensor) -> Any:
    """Return the levels of a signal's spectrogram on a logarithmic frequency scale, in dB."""
    magnitudes = STFT.analyse(signal.mean(dim=0)).abs().numpy()
    levels = 20 * np.log10(np.maximum(magnitudes, 1e-9))
    return np.clip(_on_scale(levels) - levels.max(), _FLOOR_DB, 0)


def _on_scale(rows: Any) -> Any:
    hertz = np.geomspace(_LOWEST_HZ, _HIGHEST_HZ, _ROWS)
    frames = round(_SHOWN_S * RATE / STFT.hop_samples)
    return rows[np.rint(hertz * STFT.fft_samples / RATE).astype(int), :frames]


def _figure(columns: int, width_in: float, height_in: float) -> Any:
    import matplotlib.pyplot as plt

    plt.rcParams.update(
        dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor"), _GREY)
        | {"xtick.color": _GREY, "ytick.color": _GREY, "font.size": 9, "axes.titlesize": 10}
    )
    return plt.subplots(
        1, columns, figsize=(width_in, height_in), layout="constrained", squeeze=False
    )


def _panel(axes: Any, picture: Any, title: str, colours: str, limits: tuple[float, float]) -> None:
    axes.imshow(
        picture, origin="lower", aspect="auto", cmap=colours, interpolation="nearest",
        vmin=limits[0], vmax=limits[1], extent=(0, _SHOWN_S, 0, _ROWS),
    )  # fmt: skip
    span = np.log(_HIGHEST_HZ / _LOWEST_HZ)
    marks = {"100": 100, "1k": 1000, "10k": 10000}
    axes.set_yticks([_ROWS * np.log(hz / _LOWEST_HZ) / span for hz in marks.values()], marks)
    axes.set_title(title)
    axes.set_xlabel("seconds")


def _save(figure: Any, name: str) -> None:
    import io

    from PIL import Image

    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=_DPI, transparent=True)
    picture = Image.open(drawn).quantize(160, method=Image.Quantize.FASTOCTREE)
    picture.save(FOLDER / f"{name}.png", optimize=True)


def draw(stems: Tensor) -> None:
    """Write all pictures."""
    _draw_spectrograms(stems)
    _draw_masks(stems)
    _draw_windows()
    _draw_scores(metric_scores(stems))


def _draw_spectrograms(stems: Tensor) -> None:
    figure, ((*panels,),) = _figure(5, 9.5, 2.6)
    signals = {"mixture": stems.sum(dim=0)} | dict(zip(NAMES, stems, strict=True))
    for axes, (name, signal) in zip(panels, signals.items(), strict=True):
        _panel(axes, _levels(signal), name, "magma", (_FLOOR_DB, 0))
        axes.label_outer()
    panels[0].set_ylabel("hertz")
    _save(figure, "spectrograms")


def _draw_masks(stems: Tensor) -> None:
    figure, ((*panels,),) = _figure(3, 9.5, 2.9)
    masks = ideal_masks(stems)
    _panel(panels[0], _levels(stems.sum(dim=0)), "mixture", "magma", (_FLOOR_DB, 0))
    _panel(panels[1], _on_scale(masks[0, 0].numpy()), "mask of the vocals", "gray", (0, 1))
    _panel(panels[2], _levels(masked(stems, masks)[0]), "vocals", "magma", (_FLOOR_DB, 0))
    for axes, sign in zip(panels[1:], "×=", strict=True):
        axes.label_outer()
        axes.text(-0.07, 0.5, sign, transform=axes.transAxes, fontsize=15, ha="center")
    panels[0].set_ylabel("hertz")
    _save(figure, "masks")


def _draw_windows() -> None:
    figure, (((axes),),) = _figure(1, 7.5, 2.2)
    window = Window(round(2.0 * RATE), round(0.5 * RATE))
    total = round(5.0 * RATE)
    seconds = np.arange(total) / RATE
    for index, start in enumerate(range(0, total - window.overlap, window.hop)):
        ramp = _weights(window, is_first=index == 0, is_last=start + window.length >= total)
        shown = slice(start, min(total, start + window.length))
        axes.fill_between(seconds[shown], ramp[: shown.stop - start], alpha=0.35,
                          color=_COLOURS[index], label=f"window {index + 1}")  # fmt: skip
    axes.axhline(1, color=_GREY, linestyle="--", linewidth=1)
    axes.set(xlim=(0, 5), ylim=(0, 1.15), xlabel="seconds", ylabel="weight")
    axes.legend(loc="center", ncols=3, frameon=False, labelcolor=_GREY)
    _save(figure, "overlap_add")


def _weights(window: Window, *, is_first: bool, is_last: bool) -> Any:
    weights = np.ones(window.length)
    up = np.sin(np.linspace(0, np.pi / 2, window.overlap)) ** 2
    if not is_first:
        weights[: window.overlap] = up
    if not is_last:
        weights[-window.overlap :] = up[::-1]
    return weights


def _draw_scores(scores: Mapping[str, tuple[float, ...]]) -> None:
    figure, (((axes),),) = _figure(1, 7.5, 2.8)
    places = np.arange(len(scores))
    for index, metric in enumerate(_METRICS):
        heights = [values[index] for values in scores.values()]
        bars = axes.bar(places + 0.27 * (index - 1), heights, 0.25, color=_COLOURS[index],
                        label=metric)  # fmt: skip
        axes.bar_label(bars, fmt="%.0f", fontsize=8, padding=2, color=_GREY)
    axes.axhline(0, color=_GREY, linewidth=0.8)
    axes.set_xticks(places, list(scores))
    axes.set_ylabel("dB")
    axes.margins(y=0.12)
    axes.legend(frameon=False, labelcolor=_GREY, ncols=3, loc="lower right",
                bbox_to_anchor=(1, 1))  # fmt: skip
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    _save(figure, "scores")


def write_sounds(stems: Tensor) -> None:
    """Write the mixture, the vocals, and the vocals from both ideal masks."""
    ratio = ideal_masks(stems)
    sounds = {
        "mixture": stems.sum(dim=0),
        "vocals": stems[0],
        "vocals_binary_mask": masked(stems, binary_masks(ratio))[0],
        "vocals_ratio_mask": masked(stems, ratio)[0],
    }
    for name, samples in sounds.items():
        Audio(samples.mean(dim=0, keepdim=True), RATE).save(FOLDER / f"{name}.mp3", bitrate="96k")


def main() -> None:
    """Draw, write sounds, and print the figures of the pages."""
    stems = song()
    FOLDER.mkdir(exist_ok=True)
    draw(stems)
    write_sounds(stems)
    for name, value in mask_scores(stems).items():
        print(f"{name}: {value:.1f} dB")
    for name, value in seam_levels(stems).items():
        print(f"{name}: {value:.2f} dB within 10 ms")
    for name, values in metric_scores(stems).items():
        print(f"{name}:", ", ".join(f"{value:.1f}" for value in values))


if __name__ == "__main__":
    main()
