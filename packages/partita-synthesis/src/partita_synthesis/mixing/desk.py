"""The mixing desk: channels → strips → stems, each with its own reverb and delay → master."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.signal import butter, sosfilt

from partita.errors import UnknownNameError, UsageError
from partita_synthesis._active_blocks import ActiveBlocks
from partita_synthesis.mixing import gains
from partita_synthesis.mixing.codec import draw_codec
from partita_synthesis.mixing.gains import Clock, Compressor, Curve
from partita_synthesis.mixing.master import (
    PLAIN,
    draw_mastering,
    fit,
    master,
)
from partita_synthesis.mixing.panning import Place, draw_places, placed
from partita_synthesis.mixing.profiles import profile_of
from partita_synthesis.mixing.space import Delay, Reverb, draw_delay, draw_reverb
from partita_synthesis.mixing.strip import Strip, draw_song_wide, draw_strip, process
from partita_synthesis.score import ROLES

Samples = npt.NDArray[np.float32]

_SILENT_PEAK = 1e-6  # -120 dB: what is below counts as silence
_SILENT_BLOCK = 1e-5  # -100 dB below a part's peak
_TAIL_S = 0.4  # longer than any strip rings on; levels are measured over this
_GLUED = 0.4
_KICK_HZ = 110.0


@dataclass(frozen=True, eq=False)
class Channel:
    """One rendered part.

    Attributes
    ----------
    stem : str
        The one that it belongs to.
    role : str
        One of `partita_synthesis.score.ROLES`.
    instrument : str
        Name in the table of instruments.
    samples : ndarray ``[1 or 2, samples]``
        float32, at any level; may be silent.
    """

    stem: str
    role: str
    instrument: str
    samples: Samples


@dataclass(frozen=True, eq=False)
class Mix:
    """A finished song.

    Attributes
    ----------
    stems : mapping of str to ndarray ``[channels, samples]``
        float32, in the order asked for.
    mixture : ndarray ``[channels, samples]``
        Their sum in float32, the first stem first. No sample of it or of them exceeds 0.99.
    notes : mapping
        What was done; JSON can hold it.
    """

    stems: Mapping[str, Samples]
    mixture: Samples
    notes: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True)
class _Session:
    """What all stems of a song share."""

    clock: Clock
    count: int  # samples asked for, without those that fill the last block
    reverb: Reverb | None = None
    delay: Delay | None = None
    kick: Curve | None = None


_Part = tuple[Channel, Place, Strip | None]


def mix(
    channels: Sequence[Channel],
    stems: Sequence[str],
    sample_rate: int,
    rng: np.random.Generator,
    *,
    tempo_bpm: float,
    style: str,
    channels_out: int = 2,
    effects: bool = True,
) -> Mix:
    """Mix parts like a record.

    Levels and places come first, the same with effects and without. Each part then passes through
    a strip of its own (equaliser, gate, compressor, saturation, modulation, doubling); each stem
    has its part of one reverb and one delay; the master is a gain curve that all stems share.

    Parameters
    ----------
    channels : sequence of Channel
        All of one length.
    stems : sequence of str
        Stems without a part are silent.
    sample_rate : int
        In hertz.
    rng : Generator
    tempo_bpm : float
        Of the delay.
    style : str
        Any; unknown ones are mixed like pop.
    channels_out : {1, 2}
    effects : bool
        Without: levels, places and one constant gain.

    Returns
    -------
    Mix

    Raises
    ------
    UsageError
        No channels or stems, channels of different lengths or shapes, or an unknown role or stem.
    """
    count = _check(channels, stems, channels_out)
    clock = Clock.of(sample_rate)
    placing, setting, finishing = rng.spawn(3)
    places = draw_places([(each.role, each.instrument) for each in channels], style, placing)
    target_lufs = float(placing.uniform(*profile_of(style).loudness_lufs))
    session, parts = _Session(clock, count), _plain(channels, places)
    if effects:
        session, parts = _set_up(channels, places, session, style, tempo_bpm, setting)
    mixed = []
    for name, one in zip(stems, setting.spawn(len(stems)), strict=True):
        stem = _mix_stem([part for part in parts if part[0].stem == name], session, one)
        mixed.append(stem if channels_out == 2 else stem.mean(axis=0, keepdims=True))
    mastering = draw_mastering(finishing) if effects else PLAIN
    notes: dict[str, Any] = {"loudness_target_lufs": round(target_lufs, 2)}
    notes |= master(mixed, target_lufs, mastering, clock)
    codec = draw_codec(sample_rate, finishing) if effects else None
    for index, stem in enumerate(mixed):  # one at a time: they are large
        mixed[index] = np.ascontiguousarray(stem[:, :count])
        if codec:
            mixed[index] = codec(mixed[index], sample_rate)
    if codec:
        notes["codec"] = f"{codec.name} {codec.setting:g}"
    mixture = fit(mixed)
    notes |= _facts(session, parts)
    return Mix(dict(zip(stems, mixed, strict=True)), mixture, notes)


def _check(channels: Sequence[Channel], stems: Sequence[str], channels_out: int) -> int:
    """Return the length of all channels."""
    if not channels or not stems:
        raise UsageError("there is nothing to mix: it takes at least one channel and one stem")
    if channels_out not in (1, 2):
        raise UsageError(f"a mix has 1 or 2 channels, not {channels_out}")
    count = int(channels[0].samples.shape[-1])
    for each in channels:
        if each.stem not in stems:
            raise UnknownNameError("stem", each.stem, stems)
        if each.role not in ROLES:
            raise UnknownNameError("role", each.role, ROLES)
        if each.samples.shape not in ((1, count), (2, count)):
            raise UsageError(
                f"{each.instrument}'s samples are {list(each.samples.shape)}, "
                f"not [1 or 2, {count}] like the first channel's"
            )
    return count


def _plain(channels: Sequence[Channel], places: Sequence[Place]) -> list[_Part]:
    return [(channel, place, None) for channel, place in zip(channels, places, strict=True)]


def _set_up(
    channels: Sequence[Channel],
    places: Sequence[Place],
    session: _Session,
    style: str,
    tempo_bpm: float,
    rng: np.random.Generator,
) -> tuple[_Session, list[_Part]]:
    """Draw the effects."""
    clock = session.clock
    song = draw_song_wide(style, rng)
    reverb, delay = draw_reverb(clock.sample_rate, rng), draw_delay(tempo_bpm, rng)
    kick = _kick_powers(channels, clock) if song.pumping_db else None
    parts: list[_Part] = [
        (channel, place, draw_strip(channel.role, channel.instrument, place, song, one))
        for channel, place, one in zip(channels, places, rng.spawn(len(channels)), strict=True)
    ]
    return _Session(clock, session.count, reverb, delay, kick), parts


def _mix_stem(
    parts: Sequence[_Part],
    session: _Session,
    rng: np.random.Generator,
) -> Samples:
    """Return a stem ``[2, samples]`` in whole blocks, with its reverb and delay."""
    clock = session.clock
    dry = np.zeros((2, clock.padded(session.count)), np.float32)
    sends: dict[str, Samples] = {}
    is_heard = False
    for channel, place, strip in parts:
        active, peak = _active_part(channel.samples, clock)
        if peak <= _SILENT_PEAK:
            continue
        is_heard = True
        samples = active.cut(channel.samples, 1 / peak)
        if strip is None:
            active.add(placed(samples, place, clock), dry)
            continue
        stereo = process(samples, place, strip, _dips(strip, active, session), clock)
        active.add(stereo, dry)
        _send(stereo, strip, session, active, sends)
    if is_heard and session.reverb and len(parts) > 1 and rng.random() < _GLUED:
        _glue(dry, clock, rng)
    if session.reverb and "reverb" in sends:
        dry += session.reverb(sends["reverb"])
    if session.delay and "delay" in sends:
        dry += session.delay(sends["delay"], clock.sample_rate)
    return dry


def _active_part(samples: Samples, clock: Clock) -> tuple[ActiveBlocks, float]:
    """Return the active blocks of a part, and its peak."""
    peaks = gains.block_peaks(samples, clock)
    peak = float(peaks.max())
    after = round(_TAIL_S * clock.rate)
    return ActiveBlocks.around(peaks > _SILENT_BLOCK * peak, clock.hop, after=after), peak


def _dips(strip: Strip, active: ActiveBlocks, session: _Session) -> Curve | None:
    """Return how far the bass drum pushes a part down where it sounds, in dB."""
    if not strip.duck_db or session.kick is None:
        return None
    release_s = 0.1 + 0.02 * strip.duck_db
    dips = gains.duck(session.kick, strip.duck_db, release_s, session.clock)
    return dips[active.blocks]


def _send(
    stereo: Samples,
    strip: Strip,
    session: _Session,
    active: ActiveBlocks,
    sends: dict[str, Samples],
) -> None:
    """Add a part's sum of both channels to what goes to the effects."""
    middle = stereo[0] + stereo[1]
    for name, level_db in (("reverb", strip.reverb_db), ("delay", strip.delay_db)):
        if level_db is None or (name == "delay" and session.delay is None):
            continue
        if name not in sends:
            sends[name] = np.zeros(session.clock.padded(session.count), np.float32)
        share = middle * np.float32(math.sqrt(0.5) * 10 ** (level_db / 20))
        active.add(share, sends[name])


def _glue(stem: Samples, clock: Clock, rng: np.random.Generator) -> None:
    """Compress a group of parts together, gently and in place."""
    threshold_db, ratio, attack_s, release_s = rng.uniform(
        (-4, 1.3, 0.005, 0.06), (3, 3, 0.03, 0.3)
    )
    settings = Compressor(float(threshold_db), float(ratio), float(attack_s), float(release_s))
    gain_db = gains.compress(gains.block_powers(stem, clock), settings, clock)
    gains.apply_gain(stem, gains.edges_of(gain_db), clock)


def _kick_powers(channels: Sequence[Channel], clock: Clock) -> Curve | None:
    """Return the power of the drums' lows ``[blocks]``; None without drums."""
    drums = [each.samples.mean(axis=0) for each in channels if each.role == "drums"]
    if not drums:
        return None
    total = np.sum(drums, axis=0)
    total = np.pad(total, (0, clock.padded(len(total)) - len(total)))
    means = total.reshape(-1, clock.hop).mean(axis=1)  # a low-pass filter, and the control rate
    low = butter(2, _KICK_HZ, fs=clock.rate, output="sos")
    powers = np.square(sosfilt(low, means))
    return powers if powers.any() else None


def _facts(session: _Session, parts: Sequence[_Part]) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    if session.reverb:
        facts["reverb"] = {"size": round(session.reverb.size, 2)}
    if session.delay:
        facts["delay"] = f"{session.delay.time_s:.3f} s"
    facts["channels"] = [
        {
            "stem": channel.stem,
            "role": channel.role,
            "instrument": channel.instrument,
            "level_db": round(place.level_db, 1),
            "pan": round(place.pan, 2),
            **(strip.facts() if strip else {}),
        }
        for channel, place, strip in parts
    ]
    return facts
