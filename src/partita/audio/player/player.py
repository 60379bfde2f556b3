"""Players of signals in notebooks: one clock for all, each muted or heard alone."""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np
import numpy.typing as npt

from partita.audio.channels import mix_channels
from partita.audio.encode import encode_file
from partita.audio.formats import StemFormat
from partita.audio.tags import Tags
from partita.html import escape

Samples = npt.NDArray[np.float32]

#: Of sound in a player, all signals together: about 2.5 MB in the notebook.
MOST_S = 120.0
_BITRATES = {1: 80_000, 2: 128_000}
_COLUMNS, _HEIGHT = 600, 40  # of a waveform
_BLOCK = 1 << 16
_TITLES = {"mute": "mute", "solo": "play alone; with Shift, beside others"}


def player_html(
    signals: Mapping[str, tuple[Samples, int]],
    *,
    heading: str = "",
    notes: Sequence[str] = (),
    start_s: float = 0.0,
    duration_s: float | None = None,
) -> str:
    """Return a player with waveforms; of several signals, each can be muted or heard alone.

    Parameters
    ----------
    signals : mapping of str to (ndarray ``[channels, samples]``, int)
        Name → samples and their rate in hertz. All begin at the same time; one gain for all keeps
        the loudest within full scale.
    heading : str
        Above the player.
    notes : sequence of str
        Below it.
    start_s, duration_s : float
        The excerpt that can be heard; by default the beginning, `MOST_S` divided by the number of
        signals, and a note if there is more.

    Returns
    -------
    str
        HTML that needs nothing else: audio is inside, as Opus.

    Raises
    ------
    ValueError
        No signals, or none in the excerpt.
    AudioWriteError
        The encoder failed.
    """
    longest_s = max((samples.shape[-1] / rate for samples, rate in signals.values()), default=0.0)
    limit_s = MOST_S / max(len(signals), 1) if duration_s is None else duration_s
    cut = {
        name: (_excerpt(samples, rate, start_s, limit_s), rate)
        for name, (samples, rate) in signals.items()
    }
    heard_s = max((samples.shape[-1] / rate for samples, rate in cut.values()), default=0.0)
    if not heard_s:
        raise ValueError(f"no samples from {start_s:g} s on")
    peak = max(float(np.abs(samples).max(initial=0.0)) for samples, _ in cut.values())
    span = f"{_clock(start_s)} to {_clock(start_s + heard_s)} of {_clock(longest_s)}"
    if heard_s > longest_s - 0.001:
        span = ""
    elif duration_s is None and not start_s:
        span += "; partita.show(…, start_s=…) plays other parts"
    notes = [*notes, *filter(None, [span]), *_gain_notes(peak)]
    several = len(cut) > 1
    rows = "".join(
        _row(name, samples, rate, peak, heard_s, several) for name, (samples, rate) in cut.items()
    )
    above = f"<div>{escape(heading)}</div>" if heading else ""
    below = "".join(f'<div class="partita-note">{escape(note)}</div>' for note in notes)
    return (
        f"<div><style>{_asset('player.css')}</style>"
        f'<div class="partita-player" data-duration="{heard_s:.6f}">{above}{rows}'
        '<div class="partita-bar" hidden><button type="button" class="partita-play">Play</button>'
        '<span class="partita-time"></span></div><div class="partita-error"></div>'
        f"{below}</div><script>{_asset('player.js')}</script></div>"
    )


def _excerpt(samples: Samples, rate: int, start_s: float, duration_s: float) -> Samples:
    """Return an excerpt in mono or stereo; samples that are no number are silent."""
    start = round(start_s * rate)
    end = min(samples.shape[-1], round((start_s + duration_s) * rate))
    part = np.nan_to_num(samples[:, start:end].astype(np.float32), posinf=0.0, neginf=0.0)
    return mix_channels(part, min(2, len(part)))


def _gain_notes(peak: float) -> list[str]:
    if peak <= 1:
        return []
    return [f"played {20 * np.log10(peak):.1f} dB lower: its peak is above full scale"]


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def _row(
    name: str, samples: Samples, rate: int, peak: float, duration_s: float, several: bool
) -> str:
    scaled = samples / np.float32(max(peak, 1.0))
    label = escape(name)
    buttons = "".join(
        f'<button type="button" class="partita-{kind}" aria-pressed="false" hidden '
        f'aria-label="{kind} {label}" title="{_TITLES[kind]}">{kind[0].upper()}</button>'
        for kind in ("mute", "solo")
    )
    lead = f'<span class="partita-name" title="{label}">{label}</span>{buttons}' if several else ""
    return (
        f'<div class="partita-row">{lead}<div class="partita-wave">'
        f"{_waveform(samples, rate, peak, duration_s)}"
        '<div class="partita-cursor"></div></div>'
        f'<audio controls preload="none" src="data:audio/ogg;base64,{_opus(scaled, rate)}"></audio>'
        "</div>"
    )


def _waveform(samples: Samples, rate: int, peak: float, duration_s: float) -> str:
    """Return the greatest absolute samples over time, as high as the loudest of all signals."""
    edges = np.arange(_COLUMNS) * duration_s / _COLUMNS * rate
    loudness = np.abs(samples).max(axis=0)
    inside = np.unique(edges.astype(int)[edges < len(loudness)])
    heights = np.maximum.reduceat(loudness, inside) / (peak or 1.0) * (_HEIGHT / 2)
    middle = _HEIGHT / 2
    places = inside / (duration_s * rate) * _COLUMNS
    upper = " ".join(f"{x:.0f},{middle - h:.1f}" for x, h in zip(places, heights, strict=True))
    lower = " ".join(
        f"{x:.0f},{middle + h + 0.5:.1f}" for x, h in zip(places[::-1], heights[::-1], strict=True)
    )
    return (
        f'<svg viewBox="0 0 {_COLUMNS} {_HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="waveform"><path d="M{upper} L{lower} Z"/></svg>'
    )


def _opus(samples: Samples, rate: int) -> str:
    """Return a file of Opus in base64."""
    channels, frames = samples.shape
    blocks = (samples[:, start : start + _BLOCK] for start in range(0, frames, _BLOCK))
    with tempfile.TemporaryDirectory(prefix="partita-") as folder:
        path = Path(folder) / "signal.opus"
        form = StemFormat("opus", bitrate=_BITRATES[channels])
        encode_file(
            path, blocks, form, sample_rate=rate, channels=channels, frames=frames, tags=Tags()
        )
        return base64.b64encode(path.read_bytes()).decode()


@cache
def _asset(name: str) -> str:
    return (files("partita.audio.player") / name).read_text(encoding="utf-8")
