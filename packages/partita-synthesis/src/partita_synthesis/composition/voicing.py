"""Which notes a chord is made of on an instrument."""

from __future__ import annotations

from collections.abc import Sequence

from partita_synthesis.composition.harmony import Harmony
from partita_synthesis.instruments import Instrument

#: Below this key, notes closer than a fifth sound muddy.
_MUD = 50
_DISTORTED = ("distortion_guitar", "overdriven_guitar", "muted_guitar", "fifths_lead")


def is_guitar(instrument: Instrument) -> bool:
    """Whether its chords are strummed on strings from E upwards."""
    return "guitar" in instrument.words and instrument.lowest <= 40


def is_distorted(instrument: Instrument) -> bool:
    """Whether it plays roots and fifths only, because full chords would be too rough."""
    return instrument.name in _DISTORTED


def fold(pitch: int, low: int, high: int) -> int:
    """Return `pitch` moved by octaves into a range of at least an octave, else clipped to it."""
    if pitch < low:
        pitch += 12 * -((pitch - low) // 12)
    if pitch > high:
        pitch -= 12 * -((high - pitch) // 12)
    return min(max(pitch, low), high)


def nearest_tone(tones: Sequence[int], pitch: int, low: int, high: int) -> int:
    """Return the pitch nearest to `pitch` that is one of the pitch classes, within the range."""
    for distance in range(12):
        for near in (pitch - distance, pitch + distance):
            if near % 12 in tones and low <= near <= high:
                return near
    return fold(pitch, low, high)


class Voicer:
    """Finds the notes of chords for a player, each near those of the chord before.

    Parameters
    ----------
    instrument : Instrument
    manner : str
        ``"close"``: three or four notes within an octave or so; ``"strummed"``: up to six over
        two octaves; ``"power"``: root, fifth and octave; ``"single"``: one note.
    centre : int
        The key around which they lie.
    """

    def __init__(self, instrument: Instrument, manner: str, centre: int) -> None:
        self._low, self._high = instrument.lowest, instrument.highest
        self._manner = manner
        self._centre = min(max(centre, self._low + 5), self._high - 5)
        self._mean = float(self._centre)
        self._known: dict[tuple[int, ...], tuple[int, ...]] = {}

    def notes(self, chord: Harmony) -> tuple[int, ...]:
        """Return MIDI keys, ascending; the same ones whenever the chord comes back."""
        known = self._known.get(chord.pitch_classes)
        if known is None:
            known = getattr(self, f"_{self._manner}")(chord)
            self._known[chord.pitch_classes] = known
            self._mean = sum(known) / len(known)
        return known

    def _close(self, chord: Harmony) -> tuple[int, ...]:
        tones = chord.pitch_classes
        if len(tones) > 4:  # the bass has the root
            tones = tones[1:]
        best: tuple[float, tuple[int, ...]] | None = None
        for bottom in range(self._low, self._high + 1):
            if bottom % 12 not in tones:
                continue
            notes, left = [bottom], {tone for tone in tones if tone != bottom % 12}
            while left:
                floor = notes[-1] + (7 if notes[-1] < _MUD else 1)
                notes.append(min(floor + (tone - floor) % 12 for tone in left))
                left.remove(notes[-1] % 12)
            if notes[-1] > self._high and best is not None:
                continue
            mean = sum(notes) / len(notes)
            cost = abs(mean - self._mean) + 0.4 * abs(mean - self._centre)
            if best is None or cost < best[0]:
                best = cost, tuple(note for note in notes if note <= self._high)
        return best[1] if best else self._single(chord)

    def _strummed(self, chord: Harmony) -> tuple[int, ...]:
        bottom = self._low + (chord.root - self._low) % 12
        fifth = bottom + (chord.pitch_classes[2] - bottom) % 12
        notes = [bottom, fifth] if fifth - bottom >= 6 else [bottom]
        for pitch in range(bottom + 12, min(bottom + 29, self._high + 1)):
            if len(notes) < 6 and pitch % 12 in chord.pitch_classes:
                notes.append(pitch)
        return tuple(notes)

    def _power(self, chord: Harmony) -> tuple[int, ...]:
        bottom = self._low + (chord.root - self._low) % 12
        if bottom + 12 <= min(self._centre - 8, self._high - 12):
            bottom += 12
        fifth = bottom + (chord.pitch_classes[2] - bottom) % 12
        return tuple(note for note in (bottom, fifth, bottom + 12) if note <= self._high)

    def _single(self, chord: Harmony) -> tuple[int, ...]:
        near = range(self._low, self._high + 1)
        tones = [pitch for pitch in near if pitch % 12 in chord.pitch_classes]
        return (min(tones, key=lambda pitch: abs(pitch - self._mean)),)
