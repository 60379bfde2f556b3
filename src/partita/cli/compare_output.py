"""What ``partita compare`` prints."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from partita.cli.comparison import first_names, print_comparison
from partita.cli.console import print_error
from partita.cli.terminal import table_lines, terminal_columns
from partita.errors import one_line

_RIGHT = (1, 2, 3, 4)  # columns of figures

if TYPE_CHECKING:
    from partita.comparison.results import Comparison, EntrantResult


def tell_comparison(comparison: Comparison, *, as_json: bool, quiet: bool) -> int:
    """Print what a comparison found; return the exit status.

    Parameters
    ----------
    comparison : Comparison
    as_json : bool
        Print a JSON object for each entrant and nothing else.
    quiet : bool
        Print what failed only.
    """
    from partita.evaluation.tables import comparison_rows

    failed = []
    for result in comparison.results:
        failed += _tell_failures(result)
        if as_json:
            print(json.dumps(_as_json(result)), flush=True)
    if not (as_json or quiet):
        systems = {each.entrant.name: list(each.scores.values()) for each in comparison.results}
        rows = comparison_rows({name: scores for name, scores in systems.items() if scores})
        print_comparison(rows, failed, [_tracks_line(comparison)], elsewhere="tables/ and --json")
        _print_costs(comparison.results)
    return int(bool(failed))


def _tell_failures(result: EntrantResult) -> list[str]:
    """Print why an entrant failed, once for all tracks of which the same is true."""
    name, reasons = one_line(result.entrant.name), dict[str, list[str]]()
    for track, line in result.failures.items():
        reasons.setdefault(line.removeprefix(f"{one_line(track)}: "), []).append(one_line(track))
    for reason, tracks in reasons.items():
        where = f"{first_names(tracks)}: " if tracks != [""] else ""
        print_error(f"{name}: {where}{reason}")
    return [f"{name}: {track or 'all tracks'}" for track in result.failures]


def _tracks_line(comparison: Comparison) -> str:
    count, others = len(comparison.tracks), len(comparison.trained_on)
    parts = [f"{count} track{'s' * (count != 1)} scored"]
    if comparison.seconds is not None:
        parts.append(f"{comparison.seconds:g} s from the middle of each")
    if others:
        drawn = f", drawn with seed {comparison.seed}" if comparison.is_drawn else ""
        parts.append(f"trained on {others} other{'s' * (others != 1)}{drawn}")
    return "; ".join(parts)


def _as_json(result: EntrantResult) -> dict[str, Any]:
    return {
        "entrant": result.entrant.name,
        "model": result.entrant.model or str(result.run),
        "costs": dataclasses.asdict(result.costs),
        "null_depth_db": dict(result.null_depth_db),
        "failures": dict(result.failures),
        "scores": [scores.to_json() for scores in result.scores.values()],
    }


def _print_costs(results: Sequence[EntrantResult]) -> None:
    """Print the costs of all entrants; columns that do not fit are left out."""
    rows = [["entrant", "× real time", "memory MB", "parameters", "null dB", "licence"]]
    for result in results:
        costs = result.costs
        rows.append(
            [
                one_line(result.entrant.name),
                _figure(costs.times_realtime, ".3g"),
                _figure(costs.memory_mb, ".0f"),
                _figure(costs.parameters, ","),
                _figure(result.median_null_depth_db, ".1f"),
                one_line(costs.licence or "–"),
            ]
        )
    columns = terminal_columns()
    print()
    print("\n".join(table_lines(rows, right=_RIGHT, dispensable=[5, 4, 3, 2], columns=columns)))


def _figure(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)
