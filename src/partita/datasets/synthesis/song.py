"""A song from nothing: cast, composed, played and mixed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from partita.datasets.synthesis.mixing import Channel, mix
from partita.datasets.synthesis.score import Part, Score
from partita.datasets.synthesis.settings import SynthesisSettings
from partita.datasets.synthesis.sounds import ADVICE, Palette, Sound, draw_sound, play
from partita.datasets.synthesis.stems import StemPlan
from partita.datasets.synthesis.writers import Writer, open_writer
from partita.errors import UsageError

Samples = npt.NDArray[np.float32]

_SILENT_PEAK = 1e-4  # -80 dB of full scale, as everywhere in this package
_ATTEMPTS = 40  # at a song in which every stem is heard
_MAX_TUNING_CENTS, _IN_TUNE = 25.0, 0.7
_NOTE_NAMES = ("C", "Db", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")


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
    """Everything that songs of some settings are made of; goes to worker processes as it is.

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
    """

    def __init__(self, settings: SynthesisSettings) -> None:
        self.settings = settings
        self._plan = StemPlan(settings.stems)
        self._palette = Palette.collect(settings.soundfonts)
        self._playable = self._palette.playable()
        self._plan.require(self._playable, ADVICE)
        self._writer: Writer = open_writer(settings)

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
            chance = np.random.default_rng([self.settings.seed, number, attempt])
            song, silent = self._attempt(number, chance)
            if song is not None:
                return song
        raise UsageError(
            f"song {number}: the stem {' and '.join(map(repr, silent))} stays silent in "
            f"{self.settings.duration_s:g} s: make songs longer, or choose other styles or MIDI files"
        )

    def _attempt(
        self, number: int, chance: np.random.Generator
    ) -> tuple[SynthesizedSong | None, tuple[str, ...]]:
        """Return a song, or None and which stems were silent."""
        settings = self.settings
        writing, playing, mixing = chance.spawn(3)
        score = self._writer.write(self._plan, self._playable, settings.duration_s, writing)
        silent = self._unheard(score)
        if score is None or silent:
            return None, silent
        sounds = [draw_sound(part.player, self._palette, playing) for part in score.parts]
        channels = self._play(score, sounds, playing)
        mixed = mix(
            channels,
            settings.stems,
            settings.sample_rate,
            mixing,
            tempo_bpm=score.tempo_bpm,
            style=score.style,
            channels_out=settings.channels,
            effects=settings.effects,
        )
        silent = tuple(
            stem for stem, samples in mixed.stems.items() if np.abs(samples).max() < _SILENT_PEAK
        )
        if silent:
            return None, silent
        name = f"{settings.seed}-{number:05d} {score.style}"
        facts = {
            "seed": settings.seed,
            "number": number,
            **_facts(score, sounds, self._plan),
            "mix": mixed.notes,
        }
        song = SynthesizedSong(name, mixed.stems, mixed.mixture, settings.sample_rate, facts)
        return song, ()

    def _unheard(self, score: Score | None) -> tuple[str, ...]:
        """Return the stems in which nobody plays a note."""
        if score is None:
            return self._plan.names
        heard = {self._plan.owners[part.player.instrument] for part in score.parts if part.notes}
        return tuple(stem for stem in self._plan.names if stem not in heard)

    def _play(
        self, score: Score, sounds: Sequence[Sound], chance: np.random.Generator
    ) -> list[Channel]:
        in_tune = chance.random() < _IN_TUNE
        cents = 0.0 if in_tune else float(chance.uniform(-_MAX_TUNING_CENTS, _MAX_TUNING_CENTS))
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
                score.parts, sounds, chance.spawn(len(sounds)), strict=True
            )
        ]


def _facts(score: Score, sounds: Sequence[Sound], plan: StemPlan) -> dict[str, Any]:
    return {
        "style": score.style,
        "key": f"{_NOTE_NAMES[score.key]} {score.mode}",
        "tempo_bpm": round(score.tempo_bpm, 2),
        "sections": [section.name for section in score.sections],
        "players": [
            _about(part, sound, plan) for part, sound in zip(score.parts, sounds, strict=True)
        ],
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
