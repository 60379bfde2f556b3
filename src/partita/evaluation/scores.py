"""Scores of a track, as museval's JSON with additions."""

from __future__ import annotations

import gzip
import json
import math
import statistics
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from partita.errors import ScoresError, UsageError, one_line
from partita.files import whole_file
from partita.html import figure, html_table

if TYPE_CHECKING:
    import pandas

#: Figures of BSS Eval in museval's spelling; all in dB.
METRICS = ("SDR", "ISR", "SIR", "SAR")
#: Figures of whole tracks, in dB; files of earlier versions and of museval lack some or all.
WHOLE_TRACK_METRICS = ("uSDR", "SI-SDR", "SI-SAR")
#: Raised when the same signals get other figures, or more: earlier score files are then not reused.
METRICS_VERSION = 2
#: Decimals of all figures, in memory as in files: museval's.
DECIMALS = 5
_JSON_SUFFIXES = (".json", ".json.gz")
_BYTES_MAX = 100_000_000


@dataclass(frozen=True, repr=False)
class TargetScores:
    """Scores of one target of one track.

    Attributes
    ----------
    name : str
    frames : sequence of mapping of str to float
        For each window the `METRICS` in dB; NaN where one is not defined.
    whole : mapping of str to float
        The `WHOLE_TRACK_METRICS` in dB; empty for museval's own files.
    scored_with : tuple of str
        All targets of the mixture model that this one was scored in: adding one changes the
        figures of the others. For museval's own files, which do not say, what museval does.
    reason : str
        Why there are no figures, where there are none.
    """

    name: str
    frames: Sequence[Mapping[str, float]]
    whole: Mapping[str, float] = field(default_factory=dict)
    scored_with: tuple[str, ...] = ()
    reason: str = ""

    def __repr__(self) -> str:
        sdr = median([frame["SDR"] for frame in self.frames])
        return f"TargetScores({self.name!r}: median SDR {sdr:.2f} dB of {len(self.frames)} windows)"


@dataclass(frozen=True, repr=False)
class TrackScores:
    """Scores of one track.

    Attributes
    ----------
    track : str
    targets : mapping of str to TargetScores
    window_s, hop_s : float
    settings : mapping
        How they were made: version, targets, sample rate; empty for other people's files.
    warnings : tuple of str
        What looks wrong with the signals, such as estimates that are late, and why a target has
        no figures.
    """

    track: str
    targets: Mapping[str, TargetScores]
    window_s: float = 1.0
    hop_s: float = 1.0
    settings: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def __repr__(self) -> str:
        figures = ", ".join(
            f"{name} {median['SDR']:.2f}" for name, median in self.medians().items()
        )
        track = f"{self.track!r}: " if self.track else ""
        return f"TrackScores({track}median SDR in dB: {figures})"

    def _repr_html_(self) -> str:
        """Return a table of medians for notebooks."""
        medians = self.medians()
        names = list(dict.fromkeys(name for figures in medians.values() for name in figures))
        rows = [
            [target, *(figure(figures.get(name, math.nan)) for name in names)]
            for target, figures in medians.items()
        ]
        windows = max((len(target.frames) for target in self.targets.values()), default=0)
        what = f"median over {windows} windows of {self.window_s:g} s" if windows > 1 else "in dB"
        whole = [name for name in names if name not in METRICS]
        if whole and windows > 1:
            what += f"; {', '.join(whole)}: whole track"
        title = f"{self.track}: {what}" if self.track else what
        sets = {", ".join(target.scored_with) for target in self.targets.values()} - {""}
        notes = [*(f"scored together: {together}" for together in sorted(sets)), *self.warnings]
        return html_table(["in dB", *names], rows, caption=title, notes=notes)

    def medians(self) -> dict[str, dict[str, float]]:
        """Return target → metric → median over windows, and the figures of the whole track.

        Undefined windows are left out, as museval does.

        Examples
        --------
        >>> scores.medians()["vocals"]["SDR"]  # doctest: +SKIP
        """
        return {
            name: {
                **{m: median([frame[m] for frame in target.frames]) for m in METRICS},
                **target.whole,
            }
            for name, target in self.targets.items()
        }

    def to_pandas(self) -> pandas.DataFrame:
        """Return a table with one row per target and window.

        Returns
        -------
        pandas.DataFrame
            Columns ``track``, ``target``, ``time_s`` (start of the window) and the `METRICS` in
            dB, NaN if undefined.

        Raises
        ------
        UsageError
            pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise UsageError("tables need pandas: pip install pandas") from error
        rows = [
            {"track": self.track, "target": name, "time_s": index * self.hop_s, **frame}
            for name, target in self.targets.items()
            for index, frame in enumerate(target.frames)
        ]
        return pandas.DataFrame(rows, columns=["track", "target", "time_s", *METRICS])

    def to_json(self) -> dict[str, Any]:
        """Return an object of museval's schema, with ``track`` and our own keys added."""
        result = {
            "track": self.track,
            "targets": [self._target_json(target) for target in self.targets.values()],
            "partita": dict(self.settings),
        }
        return {**result, "warnings": list(self.warnings)} if self.warnings else result

    def _target_json(self, target: TargetScores) -> dict[str, Any]:
        frames = [
            {
                "time": index * self.hop_s,
                "duration": self.window_s,
                "metrics": {name: _rounded(values[name]) for name in METRICS},
            }
            for index, values in enumerate(target.frames)
        ]
        result: dict[str, Any] = {"name": target.name, "frames": frames}
        if target.whole:
            result["whole_track"] = {name: _rounded(v) for name, v in target.whole.items()}
        if target.scored_with:
            result["scored_with"] = list(target.scored_with)
        if target.reason:
            result["reason"] = target.reason
        return result

    def as_saved(self) -> TrackScores:
        """Return them as a file would hold them: rounded, as museval does."""
        return _parse(self.to_json(), self.track)

    def save(self, path: Path) -> None:
        """Write a file that museval reads; whole or not at all.

        NaN stands in it as museval writes it, which strict JSON does not know.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as partial:
            partial.write_text(json.dumps(self.to_json(), indent=1) + "\n", encoding="utf-8")


def median(values: Sequence[float]) -> float:
    """Return the median of the finite values, NaN if there are none."""
    finite = [value for value in values if math.isfinite(value)]
    if finite:
        return float(statistics.median(finite))
    infinite = [value for value in values if math.isinf(value)]  # such as of a perfect estimate
    return infinite[0] if infinite else math.nan


def mean(values: Iterable[float]) -> float:
    """Return the mean of the finite values, NaN if there are none."""
    finite = [value for value in values if math.isfinite(value)]
    return statistics.fmean(finite) if finite else math.nan


def _rounded(value: float) -> float:
    """Round as museval does; its files have no infinities."""
    return round(value, DECIMALS) if math.isfinite(value) else math.nan


def read_scores(path: Path) -> TrackScores:
    """Read a file of museval's, or one of ours.

    Parameters
    ----------
    path : Path
        ``TRACK.json`` or ``TRACK.json.gz``.

    Raises
    ------
    ScoresError
        It cannot be read, or is something else.
    """
    name = one_line(path)
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            data = file.read(_BYTES_MAX + 1)
        if len(data) > _BYTES_MAX:  # few bytes of gzip can expand to any size
            raise ScoresError(f"{name}: larger than any song's scores")
        content = json.loads(data)
    except OSError as error:
        raise ScoresError(f"{name}: {one_line(error.strerror or error)}") from error
    except (ValueError, EOFError, RecursionError, zlib.error) as error:
        raise ScoresError(f"{name}: not a JSON file ({one_line(error)})") from error
    try:
        return _parse(content, _track_name(path))
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        reason = one_line(f"{type(error).__name__} {error}")
        raise ScoresError(f"{name}: not a score file of museval's schema ({reason})") from error


def _parse(content: Mapping[str, Any], track: str) -> TrackScores:
    names = [item["name"] for item in content["targets"]]
    targets: dict[str, TargetScores] = {}
    first: Mapping[str, Any] = {}
    hop_s = 0.0
    for item in content["targets"]:
        frames = [
            {name: _number(frame["metrics"].get(name)) for name in METRICS}
            for frame in item["frames"]
        ]
        first = first or next(iter(item["frames"]), {})
        if len(item["frames"]) > 1:
            start_s, next_s = (float(frame.get("time", 0.0)) for frame in item["frames"][:2])
            hop_s = next_s - start_s
        targets[item["name"]] = TargetScores(
            name=item["name"],
            frames=frames,
            whole={name: _number(value) for name, value in item.get("whole_track", {}).items()},
            scored_with=tuple(item.get("scored_with") or _musevals_set(item["name"], names)),
            reason=item.get("reason", ""),
        )
    if not targets:
        raise ValueError("no targets")
    window_s = float(first.get("duration", 1.0))
    return TrackScores(
        track=content.get("track", track),
        targets=targets,
        window_s=window_s,
        hop_s=hop_s or window_s,
        settings=content.get("partita", {}),
        warnings=tuple(map(one_line, content.get("warnings", ()))),
    )


def _musevals_set(name: str, names: Sequence[str]) -> list[str]:
    """Return what museval scores a target with.

    Where there are both, vocals and accompaniment make a set of their own, and what is said of the
    vocals is said of that set.
    """
    pair = ["vocals", "accompaniment"]
    if not set(pair) <= set(names):
        return list(names)
    return pair if name in pair else [other for other in names if other != "accompaniment"]


def _number(value: Any) -> float:
    number = math.nan if value is None else float(value)
    return number if math.isfinite(number) else math.nan


def _track_name(path: Path) -> str:
    return path.name.removesuffix(".gz").removesuffix(".json")


def find_score_files(folder: Path) -> list[Path]:
    """Return the score files below a folder, sorted.

    Raises
    ------
    ScoresError
        There is no such folder, or it holds none.
    """
    if not folder.is_dir():
        what = "is a file, not a folder" if folder.exists() else "no such folder"
        raise ScoresError(f"{one_line(folder)}: {what}: name a folder of museval's JSON files")
    found = sorted(
        path
        for path in folder.rglob("*")
        if path.name.endswith(_JSON_SUFFIXES) and not path.name.startswith(".")
    )
    if not found:
        raise ScoresError(f"{one_line(folder)}: no score files (*.json, *.json.gz) in here")
    return found
