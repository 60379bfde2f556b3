"""Songs: cast, composed, played and mixed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from partita.datasets.audio_checks import SILENT_PEAK
from partita.datasets.tracks import VOCALS
from partita.errors import UsageError
from partita_synthesis.composition import load_style, style_names
from partita_synthesis.instruments import instruments
from partita_synthesis.keys import NOTE_NAMES
from partita_synthesis.mixing import Channel, mix
from partita_synthesis.recordings import (
    DRUMS,
    Recording,
    Take,
    can_follow,
    find_recordings,
    fit,
)
from partita_synthesis.score import Part, Score
from partita_synthesis.score_writers import Wish, Writer, open_writer
from partita_synthesis.settings import SynthesisSettings
from partita_synthesis.sounds import ADVICE, Palette, Sound, draw_sound, play
from partita_synthesis.stems import StemPlan

Samples = npt.NDArray[np.float32]

_ATTEMPTS = 40  # at a song in which no stem is silent
_MAX_TUNING_CENTS, _IN_TUNE = 25.0, 0.7
#: How many songs have real vocals and real drums, and whose place they take where nobody's.
_GUESTS = {DRUMS: 0.4, VOCALS: 0.6}
_UNNAMED = {DRUMS: "standard_kit", VOCALS: "tenor"}
_TRANSPOSED = 1.7  # standard deviation of how far vocals are, in semitones
_MAX_TRANSPOSED = 4
_BEATS_IN_BAR = 4


@dataclass(frozen=True, eq=False)
class SynthesizedSong:
    """A song whose stems are known.

    Attributes
    ----------
    name : str
        No other song of the same settings has it.
    stems : mapping of str to ndarray ``[channels, samples]``
        float32; in the order of the settings.
    mixture : ndarray ``[channels, samples]``
        float32: their sum.
    sample_rate : int
        In hertz.
    facts : mapping
        What JSON can hold: style, key, tempo, who played on what, under which licences, the mix.
    """

    name: str
    stems: Mapping[str, Samples]
    mixture: Samples
    sample_rate: int
    facts: Mapping[str, Any] = field(repr=False)


class Studio:
    """Makes the songs of some settings; can be sent to worker processes.

    Parameters
    ----------
    settings : SynthesisSettings

    Attributes
    ----------
    settings : SynthesisSettings

    Raises
    ------
    UsageError
        Stems, styles, SoundFonts, MIDI files or recordings that cannot be, or cannot be had.
    AudioReadError
        MIDI files or recordings that cannot be read.
    """

    def __init__(self, settings: SynthesisSettings) -> None:
        self.settings = settings
        self._plan = StemPlan(settings.stems)
        self._palette = Palette.collect(settings.soundfonts)
        self._playable = self._palette.playable()
        self._plan.require(self._playable, ADVICE)
        self._writer: Writer = open_writer(settings)
        self._recordings: Sequence[Recording] = ()
        if settings.recordings is not None:
            self._recordings = _find_recordings(settings.recordings, self._plan)

    def song(self, number: int) -> SynthesizedSong:
        """Make a song.

        Parameters
        ----------
        number : int
            Not negative. Nothing but the settings and this number decides what comes.

        Raises
        ------
        UsageError
            A stem stays silent whatever is tried: songs are too short, or nothing among the MIDI
            files suits it.
        """
        silent: tuple[str, ...] = ()
        for attempt in range(_ATTEMPTS):
            rng = np.random.default_rng([self.settings.seed, number, attempt])
            song, silent = self._attempt(number, rng)
            if song is not None:
                return song
        raise UsageError(
            f"song {number}: the stem {' and '.join(map(repr, silent))} stays silent in "
            f"{self.settings.duration_s:g} s: make songs longer, or choose other styles or "
            "MIDI files"
        )

    def _attempt(
        self, number: int, rng: np.random.Generator
    ) -> tuple[SynthesizedSong | None, tuple[str, ...]]:
        """Return a song, or None and which stems were silent."""
        settings = self.settings
        writing, playing, mixing, inviting = rng.spawn(4)
        guests = _invite(self._recordings, inviting)
        wish = _wish(guests, inviting)
        score = self._writer.write(self._plan, self._playable, settings.duration_s, writing, wish)
        silent = self._silent_stems(score)
        if score is None or silent:
            return None, silent
        takes = self._record(guests, score, inviting)
        score = replace(score, parts=[part for part in score.parts if not _replaced(part, takes)])
        sounds = [draw_sound(part.player, self._palette, playing) for part in score.parts]
        channels = self._play(score, sounds, playing) + [take.channel for take in takes]
        mixed = mix(
            channels,
            settings.stems,
            settings.sample_rate,
            mixing,
            style=score.style,
            channels_out=settings.channels,
        )
        silent = tuple(
            stem for stem, samples in mixed.stems.items() if np.abs(samples).max() < SILENT_PEAK
        )
        if silent:
            return None, silent
        name = f"{settings.seed}-{number:05d} {score.style}"
        facts = {
            "seed": settings.seed,
            "number": number,
            **_facts(score, sounds, takes, self._plan),
            "mix": mixed.notes,
        }
        song = SynthesizedSong(name, mixed.stems, mixed.mixture, settings.sample_rate, facts)
        return song, ()

    def _silent_stems(self, score: Score | None) -> tuple[str, ...]:
        """Return the stems in which nobody plays a note."""
        if score is None:
            return self._plan.names
        active = {self._plan.owners[part.player.instrument] for part in score.parts if part.notes}
        return tuple(stem for stem in self._plan.names if stem not in active)

    def _record(
        self, guests: Sequence[Recording], score: Score, rng: np.random.Generator
    ) -> list[_Guest]:
        """Fit recordings into a song; those that do not fit are left out."""
        is_own = score.style in style_names()
        beats = load_style(score.style).beats_per_bar if is_own else _BEATS_IN_BAR
        takes = []
        for guest, own in zip(guests, rng.spawn(len(guests)), strict=True):
            take = fit(guest, score, self.settings.sample_rate, own, beats_in_bar=beats)
            if take is not None:
                takes.append(_Guest(take, *_seat(guest.stem, score, self._plan)))
        return takes

    def _play(
        self, score: Score, sounds: Sequence[Sound], rng: np.random.Generator
    ) -> list[Channel]:
        in_tune = rng.random() < _IN_TUNE
        cents = 0.0 if in_tune else float(rng.uniform(-_MAX_TUNING_CENTS, _MAX_TUNING_CENTS))
        settings = self.settings
        return [
            Channel(
                stem=self._plan.owners[part.player.instrument],
                role=part.player.role,
                instrument=part.player.instrument,
                samples=play(
                    part,
                    sound,
                    settings.duration_s,
                    settings.sample_rate,
                    generator,
                    tuning_cents=cents,
                ),
            )
            for part, sound, generator in zip(
                score.parts, sounds, rng.spawn(len(sounds)), strict=True
            )
        ]


@dataclass(frozen=True, eq=False)
class _Guest:
    """A recording that plays in a song, in the stem and in the place of an instrument."""

    take: Take
    stem: str
    instrument: str

    @property
    def role(self) -> str:
        """Recordings have the names of the roles that they take."""
        return self.take.recording.stem

    @property
    def channel(self) -> Channel:
        return Channel(self.stem, self.role, self.instrument, self.take.samples)

    def facts(self) -> dict[str, Any]:
        recording = self.take.recording
        return {
            "stem": self.stem,
            "role": self.role,
            "instrument": self.instrument,
            "sound": recording.name,
            "licence": recording.licence or "unknown",
            "transposed": self.take.semitones,
            "tempo_ratio": round(self.take.tempo_ratio, 4),
        }


def _find_recordings(folder: str, plan: StemPlan) -> list[Recording]:
    wanted = [stem for stem in (VOCALS, DRUMS) if _UNNAMED[stem] in plan.owners]
    if not wanted:
        raise UsageError(
            "recordings are of vocals and drums, and none of the stems holds these: "
            "add one of them to `stems`, or leave `recordings` out"
        )
    return find_recordings(Path(folder), wanted)


def _invite(recordings: Sequence[Recording], rng: np.random.Generator) -> list[Recording]:
    """Draw the recordings that play in a song: drums first, then vocals that suit them."""
    guests: list[Recording] = []
    for stem, share in _GUESTS.items():
        known = [recording for recording in recordings if recording.stem == stem]
        if not known or rng.random() >= share:
            continue
        suited = [one for one in known if all(can_follow(one, each.tempo_bpm) for each in guests)]
        choices = suited or known
        guests.append(choices[rng.integers(len(choices))])
    return guests


def _wish(guests: Sequence[Recording], rng: np.random.Generator) -> Wish:
    """Return what suits the guests: the tempo of the first, and a key near the singer's."""
    if not guests:
        return Wish()
    singers = [guest for guest in guests if guest.stem == VOCALS]
    if not singers:
        return Wish(guests[0].tempo_bpm)
    drawn = round(float(rng.normal(0, _TRANSPOSED)))
    shift = min(max(drawn, -_MAX_TRANSPOSED), _MAX_TRANSPOSED)
    return Wish(guests[0].tempo_bpm, (singers[0].key + shift) % 12, singers[0].mode)


def _seat(stem: str, score: Score, plan: StemPlan) -> tuple[str, str]:
    """Return the stem that a recording belongs to, and which instrument it stands for."""
    names = [part.player.instrument for part in score.parts]
    known = [name for name in names if stem in instruments()[name].words]
    instrument = known[0] if known else _UNNAMED[stem]
    return plan.owners[instrument], instrument


def _replaced(part: Part, takes: Sequence[_Guest]) -> bool:
    words = instruments()[part.player.instrument].words
    return any(guest.role in words for guest in takes)


def _facts(
    score: Score, sounds: Sequence[Sound], takes: Sequence[_Guest], plan: StemPlan
) -> dict[str, Any]:
    players = [_about(part, sound, plan) for part, sound in zip(score.parts, sounds, strict=True)]
    return {
        "style": score.style,
        "key": f"{NOTE_NAMES[score.key]} {score.mode}",
        "tempo_bpm": round(score.tempo_bpm, 2),
        "sections": [section.name for section in score.sections],
        "players": players + [guest.facts() for guest in takes],
    }


def _about(part: Part, sound: Sound, plan: StemPlan) -> dict[str, Any]:
    facts = {
        "stem": plan.owners[part.player.instrument],
        "role": part.player.role,
        "instrument": part.player.instrument,
        "notes": len(part.notes),
        "sound": sound.name,
        "licence": sound.licence,
    }
    return facts | ({"amplifier": sound.amplifier} if sound.amplifier else {})
