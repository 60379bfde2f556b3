"""The settings of augmentation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from partita.errors import UsageError
from partita.settings import Settings
from partita.validation import bounded

#: A value for each source, or none at all.
BY_SOURCE = ("source_gains_db", "dull_sources", "boomy_sources")
#: The lowest and the highest of what is drawn.
_RANGES = ("gains", "gains_db", "side_factors", "mixture_gains_db")
#: At most one of these happens, so they add up to 1 at most.
_EXCLUSIVE = (
    ("mono_stems", "change_width"),
    ("same_place", "hard_panned"),
    ("mono_mixtures", "narrow_mixtures", "one_sided", "flip_channel"),
)


def _probability(default: float) -> Any:
    return bounded(default, least=0, most=1)


@dataclass(frozen=True)
class Augmentation(Settings):
    """How excerpts are augmented.

    Places need stereo: where there is one channel, `mono_stems`, `change_width`, `pan`,
    `same_place`, `hard_panned`, `mono_mixtures`, `narrow_mixtures`, `one_sided` and `flip_channel`
    change nothing.

    Attributes
    ----------
    remix : float
        Probability that every source of an excerpt comes from a track and place of its own.
    gains : tuple of float
        The lowest and highest factor, uniform, one for each source.
    gains_db : tuple of float
        The lowest and highest gain in dB, uniform, one for each source, on top of `gains`. From
        -60 to 60.
    source_gains_db : tuple of float
        By how much each source is louder at most, in the order of the sources, uniform from 0 dB,
        on top of the two above: records seldom have their stems at equal levels. From 0 to 60.
    dull_sources : tuple of float
        Probability, for each source in their order, that its highs fall by 4 to 14 dB per octave
        above 150 to 800 Hz, as those of most recorded basses do.
    boomy_sources : tuple of float
        Probability, for each source in their order, that its lows, below 150 to 400 Hz, are 0 to
        15 dB louder, as those of instruments that play low, or close to a microphone.
    leave_out : float
        Probability, for each source, that it is silent; an excerpt keeps one source at least.
    swap_channels : float
        Probability, for each source, that left and right change places.
    flip_polarity : float
        Probability, for each source.
    pitch_semitones, tempo_percent : float
        By how much at most, up or down, uniform; one for each source of a remix, else one for
        all. At most 12 and 50.
    speed_percent : float
        The same for both at once, as of a tape that runs faster; takes far less time. At most 50.
    equaliser_db : float
        By how much each octave is louder or softer at most, uniform, one smooth curve for each
        source. At most 24.
    silence : float
        Probability that a source (without remix: the excerpt) is drawn from any place, silence
        included; otherwise it is drawn from places where it (any source) is audible.
    mono_stems : float
        Probability, for each source, that both its channels become their mean.
    change_width : float
        Probability, for each source that does not become mono, that its side (left minus right)
        is multiplied by a factor of `side_factors`. The two probabilities add up to 1 at most.
    side_factors : tuple of float
        The lowest and highest factor of the side, uniform; 0 is mono. At most 4.
    pan : float
        Probability, for each source, that it is panned: with constant power, uniform in the angle
        from hard left to hard right.
    same_place : float
        Probability that an excerpt's sources all get the same place: one width, in half of them 0
        (mono), else up to 0.5, and with probability `pan` one pan. In half of these excerpts one
        source keeps the place that it has.
    hard_panned : float
        Probability that each source of an excerpt becomes mono and is hard left, hard right or in
        the middle, as in early stereo. `same_place` and `hard_panned` replace `mono_stems`,
        `change_width` and `pan`; they add up to 1 at most.
    mono_mixtures : float
        Probability that an excerpt is mono: both channels of every source become their mean.
    narrow_mixtures : float
        Probability that the side of a whole excerpt is 6 to 60 dB lower, uniform in dB.
    one_sided : float
        Probability that one channel of a whole excerpt is silent (in half of these excerpts) or 6
        to 60 dB lower, uniform in dB.
    flip_channel : float
        Probability that one channel of a whole excerpt has the opposite polarity. This and the
        three above exclude each other and add up to 1 at most.
    mixture_gains_db : tuple of float
        The lowest and highest gain of a whole excerpt in dB, uniform. Losses of waveforms count
        loud excerpts more; networks that see every excerpt at one level learn nothing from it.
    tilted_mixtures : float
        Probability that a whole excerpt is darker or brighter: a straight line over octaves, at
        its ends (31 Hz and 16 kHz) up to 6 dB, uniform.
    band_limited_mixtures : float
        Probability that a whole excerpt has lost its highs (above 3 to 16 kHz), its lows (below
        20 to 300 Hz), or both, as telephones, old records and low sample rates do.
    noisy_mixtures : float
        Probability of hiss, or of hum of the mains, 30 to 60 dB below the mixture.
    clipped_mixtures : float
        Probability that the mixture is clipped 0.5 to 6 dB below its peak.
    coded_mixtures : float
        Probability that the mixture went through mp3 (48 to 160 kbit/s), AAC (56 to 128) or Opus
        (24 to 96). Takes some 80 ms for 3 s. What this and the two above do to a mixture is in no
        source: models learn the sources as they were.
    """

    remix: float = _probability(1.0)
    gains: tuple[float, float] = bounded((0.25, 1.25), least=0)
    gains_db: tuple[float, float] = bounded((0.0, 0.0), most=60)
    source_gains_db: tuple[float, ...] = bounded((), least=0, most=60)
    dull_sources: tuple[float, ...] = bounded((), least=0, most=1)
    boomy_sources: tuple[float, ...] = bounded((), least=0, most=1)
    leave_out: float = _probability(0.0)
    swap_channels: float = _probability(0.5)
    flip_polarity: float = _probability(0.0)
    pitch_semitones: float = bounded(0.0, least=0, most=12)
    tempo_percent: float = bounded(0.0, least=0, most=50)
    speed_percent: float = bounded(0.0, least=0, most=50)
    equaliser_db: float = bounded(0.0, least=0, most=24)
    silence: float = _probability(0.1)
    mono_stems: float = _probability(0.0)
    change_width: float = _probability(0.0)
    side_factors: tuple[float, float] = bounded((0.0, 1.5), least=0, most=4)
    pan: float = _probability(0.0)
    same_place: float = _probability(0.0)
    hard_panned: float = _probability(0.0)
    mono_mixtures: float = _probability(0.0)
    narrow_mixtures: float = _probability(0.0)
    one_sided: float = _probability(0.0)
    flip_channel: float = _probability(0.0)
    mixture_gains_db: tuple[float, float] = bounded((0.0, 0.0), most=60)
    tilted_mixtures: float = _probability(0.0)
    band_limited_mixtures: float = _probability(0.0)
    noisy_mixtures: float = _probability(0.0)
    clipped_mixtures: float = _probability(0.0)
    coded_mixtures: float = _probability(0.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        for names in _EXCLUSIVE:
            total = sum(getattr(self, name) for name in names)
            self.require(
                total <= 1 + 1e-9, f"{' + '.join(names)} is {total:g}: together they are 1 at most"
            )
        for name in _RANGES:
            low, high = getattr(self, name)
            self.require(low <= high, f"{name} must be the lower one first, not {low:g},{high:g}")

    def check_sources(self, sources: Sequence[str]) -> None:
        """Refuse lists of values by source that are not as long as the sources.

        Raises
        ------
        UsageError
        """
        for name in BY_SOURCE:
            count = len(getattr(self, name))
            if count not in (0, len(sources)):
                raise UsageError(
                    f"{name} has {count} values, but there are {len(sources)} sources "
                    f"({', '.join(sources)}): `settings={name}=` takes them away"
                )

    @property
    def distorts(self) -> bool:
        """Whether mixtures may be distorted, which no source is."""
        return bool(self.noisy_mixtures or self.clipped_mixtures or self.coded_mixtures)


NO_AUGMENTATION = Augmentation(remix=0, gains=(1, 1), swap_channels=0, silence=1)
