"""Listening tests of ``partita compare``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from partita.cli.console import print_error
from partita.cli.terminal import table_lines, terminal_columns, wrapped
from partita.errors import UsageError, one_line

if TYPE_CHECKING:
    from partita.comparison.listening import Collected
    from partita.comparison.results import Comparison
    from partita.reports.content import Section, Table

#: Tables that the terminal shows, and their columns that may be left out where it is narrow.
_SHOWN = {"listening": (4, 5, 7, 8, 6, 10), "preferences": (9, 8, 4)}


def read_listeners(named: Sequence[Path], more: Sequence[str], out: Path) -> Collected | None:
    """Read the answers to the listening tests in a folder; None if no file is named.

    What is wrong with a file is printed.

    Parameters
    ----------
    named : sequence of Path
        Values of ``--listening-results``: files, or folders of them.
    more : sequence of str
        Further arguments, which a shell makes of ``*.json``.
    out : Path
        Of the comparison.

    Raises
    ------
    UsageError
        There are arguments without the option, or a folder holds no answers.
    ScoresError
        The folder has no listening test.
    """
    if more and not named:
        raise UsageError(f"unexpected argument: {one_line(more[0])}")
    if not named:
        return None
    from partita.comparison.listening import collect_answers

    collected = collect_answers(list(_files([*named, *map(Path, more)])), out)
    for problem in collected.problems:
        print_error(problem)
    for note in collected.notes:
        print_error(f"warning: {note}")
    return collected


def _files(places: Sequence[Path]) -> Iterator[Path]:
    for place in places:
        found = sorted(place.glob("*.json")) if place.is_dir() else [place]
        if not found:
            raise UsageError(f"{one_line(place)}: no answers (*.json) in here")
        yield from found


def tell_listeners(
    sections: Sequence[Section], collected: Collected, out: Path, *, quiet: bool
) -> None:
    """Print what listeners found, and write all their answers as csv.

    Parameters
    ----------
    sections : sequence of Section
        Of `partita.comparison.listening.listening_sections`.
    collected : Collected
    out : Path
        Of the comparison.
    quiet : bool
        Print nothing.

    Raises
    ------
    AudioWriteError
        The folder cannot be written to.
    """
    from partita.comparison.listening import write_answers
    from partita.reports.content import Table, Text

    write_answers(collected, out / "tables")
    for block in (block for section in sections for block in section.blocks if not quiet):
        if isinstance(block, Table) and block.name in _SHOWN:
            print()
            _print_table(block, _SHOWN[block.name])
        elif isinstance(block, Text) and block.verdict:
            print("\n" + wrapped(one_line(block.text), columns=terminal_columns()))


def make_listening_test(comparison: Comparison, cache: Path, out: Path, *, quiet: bool) -> None:
    """Write a listening test of a comparison.

    Raises
    ------
    UsageError, AudioReadError, AudioWriteError
    """
    from partita.comparison.songs import songs_of
    from partita.reports.content import Report
    from partita.reports.listening import KEY_FILE, write_listening_page
    from partita.separation.result_cache import Cache

    report = Report("", (), (), songs_of(comparison, Cache(cache)))
    page = write_listening_page(report, out, seed=comparison.seed)
    if not quiet:
        print(f"{one_line(page.parent)}: for listeners; {one_line(out / KEY_FILE)}: not for them")


def _print_table(table: Table, dispensable: Sequence[int]) -> None:
    from partita.reports.table_files import cell_text, heading, is_numeric

    rows = [list(map(heading, table.columns))]
    rows += [
        [cell_text(*each) for each in zip(row, table.columns, strict=True)] for row in table.rows
    ]
    right = [index for index in range(len(table.columns)) if is_numeric(table, index)]
    columns = terminal_columns()
    print("\n".join(table_lines(rows, right=right, dispensable=dispensable, columns=columns)))
