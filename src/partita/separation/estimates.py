"""Separated stems: in memory, and as files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from partita.audio.formats import stem_format
from partita.audio.signal import Audio, save_together, signals_html
from partita.errors import UsageError
from partita.html import figure
from partita.stem_names import file_names


@dataclass(frozen=True, eq=False)
class Estimates(Mapping[str, Audio]):
    """Separated stems by name.

    Attributes
    ----------
    null_depth_db : float or None
        Level of the residual (mixture minus the sum of the model's estimates) relative to the
        mixture; None if not all estimates were computed.
    warnings : tuple of str
        Problems of the input file, such as damage.
    """

    stems: Mapping[str, Audio]
    null_depth_db: float | None
    warnings: tuple[str, ...] = ()

    def __repr__(self) -> str:
        first = next(iter(self.stems.values()), None)
        form = "" if first is None else f": {first.form}"
        return f"Estimates({', '.join(self.stems)}{form})"

    def _repr_html_(self) -> str | None:
        """Return a player for notebooks, where each stem can be muted or heard alone."""
        form = "".join(audio.form for audio in list(self.stems.values())[:1])
        null = (
            "" if self.null_depth_db is None else f" · null depth {figure(self.null_depth_db)} dB"
        )
        return signals_html(self.stems, heading=form + null, notes=self.warnings)

    def __getitem__(self, stem: str) -> Audio:
        return self.stems[stem]

    def __iter__(self) -> Iterator[str]:
        return iter(self.stems)

    def __len__(self) -> int:
        return len(self.stems)

    def save(
        self,
        out: str | Path,
        *,
        format: str = "wav",
        bits: str | int | None = None,
        bitrate: str | int | None = None,
    ) -> SavedStems:
        """Write all stems to ``OUT/STEM.FORMAT``: all files or none.

        All stems get the same gain, which keeps their balance: 0 dB, or less if the loudest peak
        would clip. With ``bits="float"`` it is always 0 dB.

        Parameters
        ----------
        out : str or Path
            The folder, created if missing. Existing files are replaced.
        format : str
            ``wav``, ``flac``, ``mp3``, ``ogg``, ``opus`` or ``m4a``.
        bits, bitrate : str or int, optional
            As for `partita.audio.formats.stem_format`.

        Returns
        -------
        SavedStems
            Stem name → file, and the gain.

        Raises
        ------
        UsageError
            The format is unknown or needs the mixture; two stems would share a file name.
        AudioWriteError
            A file cannot be written.
        """
        form = stem_format(format, bits, bitrate)
        if form.holds_all_stems:
            raise UsageError(
                f"{form.name} holds the mixture too, which estimates do not: "
                "Separator.separate writes it"
            )
        names = file_names(self.stems)
        paths = {stem: Path(out) / f"{name}.{form.name}" for stem, name in names.items()}
        gain_db = save_together({paths[stem]: self.stems[stem] for stem in paths}, form)
        return SavedStems(paths, gain_db)


@dataclass(frozen=True, eq=False, repr=False)
class SavedStems(Mapping[str, Path]):
    """Files of stems by name.

    Attributes
    ----------
    gain_db : float
        Gain of all stems, 0 or negative, which prevents clipping.
    """

    paths: Mapping[str, Path]
    gain_db: float

    def __repr__(self) -> str:
        gain = f"; gain {self.gain_db:.2f} dB" if self.gain_db else ""
        return f"SavedStems({', '.join(str(path) for path in self.paths.values())}{gain})"

    def __getitem__(self, stem: str) -> Path:
        return self.paths[stem]

    def __iter__(self) -> Iterator[str]:
        return iter(self.paths)

    def __len__(self) -> int:
        return len(self.paths)


@dataclass(frozen=True, repr=False)
class StemFiles:
    """The files of a separated song.

    Attributes
    ----------
    stems : dict of str to Path
        Stem name → file; the same file for all stems of a ``.stem.mp4``.
    sample_rate, channels : int
    duration_s : float
        Length of the stems.
    null_depth_db : float or None
        As in `Estimates`.
    gain_db : float
        Gain of all stems, 0 or negative, which prevents clipping.
    elapsed_s : float
        Wall-clock time of reading, separating and writing.
    warnings : tuple of str
    """

    stems: dict[str, Path]
    sample_rate: int
    channels: int
    duration_s: float
    null_depth_db: float | None
    gain_db: float
    elapsed_s: float
    warnings: tuple[str, ...]

    def __repr__(self) -> str:
        form = f"{self.duration_s:.3f} s, {self.sample_rate} Hz"
        return f"StemFiles({', '.join(self.stems)}: {form}, in {self.elapsed_s:.1f} s)"
