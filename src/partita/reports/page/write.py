"""Writes a report as a page: ``index.html``, audio and pictures beside it."""

from __future__ import annotations

import hashlib
import json
import math
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from partita.errors import write_error
from partita.files import plain_name, whole_file, write_text
from partita.progress import Progress
from partita.reports.content import (
    Block,
    BoxPlot,
    LineChart,
    PairedPlot,
    Picture,
    Report,
    Section,
    Table,
    Text,
)
from partita.reports.page.assets import ENGINE, asset, licences, security_policy, templates
from partita.reports.page.audio import remove_unused
from partita.reports.page.songs import encode_songs
from partita.reports.page.strips import box_strips, paired_strips
from partita.reports.table_files import cell_text, heading, is_numeric

if TYPE_CHECKING:
    from jinja2 import Environment

PAGE = "index.html"
_AUDIO, _PICTURES = "audio", "pictures"
_STYLES = ("vendor/uplot.css", "styles/page.css")
_PAGE_SCRIPTS = ("scripts/tables.js", "vendor/uplot.js", "scripts/charts.js")
_PLAYER_SCRIPTS = (
    "vendor/wavesurfer.js",
    "vendor/wavesurfer-regions.js",
    *ENGINE,
    "scripts/waveform.js",
    "scripts/spectrogram.js",
    "scripts/lanes.js",
    "scripts/overview.js",
    "scripts/worst.js",
    "scripts/choice.js",
    "scripts/view.js",
    "scripts/keys.js",
    "scripts/pointer.js",
    "scripts/player.js",
)
_LONG_CHARS = 32  # texts of cells beyond are broken into lines
#: Of the style that wavesurfer.js writes into its own part of the page.
_NONCE = "partita"


def write_page(
    report: Report, folder: Path, *, audio: str = "opus", progress: Progress | None = None
) -> Path:
    """Write a report as a page that opens from disk, without a network.

    Audio lies beside the page, in ``audio``; what is there and has not changed is not encoded
    again. Keep the folder together when it is moved.

    Parameters
    ----------
    report : Report
    folder : Path
        Made if missing.
    audio : {"opus", "flac"}
        Opus takes 1 MB per minute and signal. FLAC is exact to 16 bits, four to six times as
        large, and played by Safari before 18.4, too.
    progress : callable, optional
        Counts signals that are encoded or found.

    Returns
    -------
    Path
        ``index.html``, which is written last. Files of audio that cannot be read are not played,
        and the page says so.

    Raises
    ------
    UsageError
        Jinja is not installed, or `audio` is unknown.
    AudioWriteError
        The folder cannot be written to.
    """
    page = folder / PAGE
    environment = templates()  # first: audio takes minutes, and Jinja may be missing
    try:
        folder.mkdir(parents=True, exist_ok=True)
        player: dict[str, Any] = {"songs": [], "problems": []}
        if report.songs:
            player = encode_songs(report.songs, folder / _AUDIO, audio, progress)
        elif (folder / _AUDIO).is_dir():
            remove_unused(folder / _AUDIO, set())
        pictures = _copy_pictures(report.sections, folder)
        write_text(page, _render(environment, report, player, pictures))
    except OSError as error:
        raise write_error(page, error) from error
    return page


def _render(
    environment: Environment,
    report: Report,
    player: Mapping[str, Any],
    pictures: Mapping[Path, str],
) -> str:
    from markupsafe import Markup

    songs = player["songs"]
    names = [*_PAGE_SCRIPTS, *(_PLAYER_SCRIPTS if songs else ())]
    scripts, styles = [asset(name) for name in names], [asset(name) for name in _STYLES]
    return environment.get_template("index.html.jinja").render(
        report=report,
        sections=_sections(report.sections, pictures, _ids_of_templates(environment)),
        policy=security_policy(scripts, styles, nonce=_NONCE),
        scripts=scripts,
        styles=styles,
        licences=licences(),
        player=Markup(_data(player)) if songs else None,  # noqa: S704 - escaped there
        problems=player["problems"],
    )


def _sections(
    sections: Sequence[Section], pictures: Mapping[Path, str], taken: Iterable[str]
) -> list[dict[str, Any]]:
    unique = _unique_ids(taken)
    return [
        {
            "id": unique(section.title),
            "title": section.title,
            "blocks": [_block(block, unique, pictures) for block in section.blocks],
        }
        for section in sections
    ]


def _block(
    block: Block, unique: Callable[[str], str], pictures: Mapping[Path, str]
) -> dict[str, Any]:
    """Return what a template draws: ``kind`` and what the kind needs."""
    if isinstance(block, Text):
        return {"kind": "text", "text": block.text, "verdict": block.verdict}
    shown = {"id": unique(block.name), "caption": block.caption}
    if isinstance(block, Table):
        return {"kind": "table", **shown, **_table(block)}
    if isinstance(block, LineChart):
        return {"kind": "chart", **shown, "data": _chart(block)}
    if isinstance(block, BoxPlot):
        return {"kind": "strips", **shown, "plot": box_strips(block)}
    if isinstance(block, PairedPlot):
        return {"kind": "strips", **shown, "plot": paired_strips(block)}
    return {"kind": "picture", **shown, "file": pictures[block.path]}


def _table(table: Table) -> dict[str, Any]:
    columns = [
        {"heading": heading(column), "meaning": column.meaning, "numeric": is_numeric(table, place)}
        for place, column in enumerate(table.columns)
    ]
    best = {(row, column) for column, rows in table.best.items() for row in rows}
    rows = [
        [
            {
                "text": cell_text(cell, table.columns[place]),
                "long": isinstance(cell, str) and len(cell) > _LONG_CHARS,
                "best": (number, place) in best,
                "value": cell if isinstance(cell, int | float) and math.isfinite(cell) else None,
            }
            for place, cell in enumerate(row)
        ]
        for number, row in enumerate(table.rows)
    ]
    return {"columns": columns, "rows": rows, "notes": table.notes}


def _chart(chart: LineChart) -> str:
    """Return curves on one x axis, as uPlot takes them."""
    places = sorted({x for curve in chart.curves.values() for x, _ in curve if math.isfinite(x)})
    curves = []
    for curve in chart.curves.values():
        values = {x: y for x, y in curve if math.isfinite(y) and (y > 0 or not chart.log_y)}
        curves.append([values.get(x) for x in places])
    data = {
        "x": places,
        "curves": [
            {"name": name, "values": values}
            for name, values in zip(chart.curves, curves, strict=True)
        ],
        "xLabel": chart.x_label,
        "yLabel": chart.y_label,
        "logY": chart.log_y,
    }
    return _json(data)


def _copy_pictures(sections: Sequence[Section], folder: Path) -> dict[Path, str]:
    """Copy pictures beside the page; their names are those of their content."""
    copied: dict[Path, str] = {}
    for picture in _pictures(sections):
        content = picture.path.read_bytes()
        name = f"{_slug(picture.name)}-{hashlib.sha256(content).hexdigest()[:12]}.png"
        copied[picture.path] = f"{_PICTURES}/{name}"
        target = folder / _PICTURES / name
        if not target.is_file() or target.stat().st_size != len(content):
            target.parent.mkdir(exist_ok=True)
            with whole_file(target) as partial:
                shutil.copyfile(picture.path, partial)
    for path in (folder / _PICTURES).glob("*-" + 12 * "[0-9a-f]" + ".png"):
        if f"{_PICTURES}/{path.name}" not in copied.values():  # of an earlier page
            path.unlink()
    return copied


def _pictures(sections: Sequence[Section]) -> Iterator[Picture]:
    for section in sections:
        yield from (block for block in section.blocks if isinstance(block, Picture))


def _ids_of_templates(environment: Environment) -> set[str]:
    """Return what scripts find the player's elements by: no section may have such an id."""
    assert environment.loader is not None
    names = environment.list_templates()
    text = "".join(environment.loader.get_source(environment, name)[0] for name in names)
    return set(re.findall(r' id="([a-z]+)"', text))


def _unique_ids(taken: Iterable[str]) -> Callable[[str], str]:
    """Return a function that makes fragments of URLs, never the same one twice."""
    taken = set(taken)

    def unique(name: str) -> str:
        base = chosen = _slug(name)
        number = 2
        while chosen in taken:
            chosen, number = f"{base}-{number}", number + 1
        taken.add(chosen)
        return chosen

    return unique


def _slug(name: str) -> str:
    return plain_name(name.lower(), 60) or "part"


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _data(value: object) -> str:
    """Return JSON that ends no element of a page, whatever songs and systems are called."""
    return _json(value).replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
