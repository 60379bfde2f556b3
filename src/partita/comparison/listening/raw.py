"""All answers of a listening test as csv, for analyses of one's own."""

from __future__ import annotations

from pathlib import Path

from partita.comparison.listening.answers import Collected
from partita.comparison.listening.ratings import ratings_of
from partita.errors import write_error
from partita.files import write_text
from partita.reports.content import Cell, Column, Table
from partita.reports.table_files import as_csv


def write_answers(collected: Collected, folder: Path) -> list[Path]:
    """Write ``listening-answers.csv`` and ``preference-answers.csv``, one line an answer.

    Listeners that post-screening leaves out are in there.

    Parameters
    ----------
    collected : Collected
    folder : Path
        Made if missing.

    Returns
    -------
    list of Path
        Of the forms that have answers.

    Raises
    ------
    AudioWriteError
        A file cannot be written.
    """
    written = []
    for table in (_ratings(collected), _choices(collected)):
        if table.rows:
            path = folder / f"{table.name}.csv"
            try:
                write_text(path, as_csv(table))
            except OSError as error:
                raise write_error(path, error) from error
            written.append(path)
    return written


def _ratings(collected: Collected) -> Table:
    names = ["listener", "song", "stem", "start_s", "kind", "system", "rating"]
    rows: list[list[Cell]] = [
        [
            each.listener,
            each.trial.song,
            each.trial.stem,
            each.trial.start_s,
            each.item.kind,
            each.item.entrant,
            each.value,
        ]
        for each in ratings_of(collected.answers)
    ]
    return Table("listening-answers", "", list(map(Column, names)), rows)


def _choices(collected: Collected) -> Table:
    names = ["listener", "song", "stem", "first", "second", "better"]
    rows: list[list[Cell]] = []
    for answers in collected.answers:
        pairs = {pair.id: pair for pair in answers.key.pairs}
        for name, choice in answers.choices.items():
            pair = pairs[name]
            entrants = {item.id: item.entrant for item in pair.items}
            better = entrants.get(choice, "")
            rows.append([answers.listener, pair.song, pair.stem, *entrants.values(), better])
    return Table("preference-answers", "", list(map(Column, names)), rows)
