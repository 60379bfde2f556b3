"""The page's own files: HTML, scripts and styles; most of them are those of `partita serve`."""

from __future__ import annotations

import html
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from string import Template

from partita.reports.page.assets import ENGINE

#: Scripts in the order in which they run; those of `partita serve` do without its server.
_REPORTS = (*ENGINE, "scripts/waveform.js", "scripts/spectrogram.js")
_SERVE = (
    *("elements.js", "drops.js", "sections.js", "lanes.js", "tempo.js", "wav.js", "click.js"),
    *("music.js", "player.js"),
)
_OWN = ("audio.js", "songs.js", "downloads.js", "main.js")
#: Fetched when they are needed.
_WORKER = ("worker.js", "separation.js", "stereo.js")
_PACKAGES = ("partita.serve", "partita.reports", __package__)

#: The page reaches no server but its own, and that one only for its files. wasm-unsafe-eval:
#: WebAssembly. blob: songs that a person has chosen, whose length an audio element tells.
POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; "
    "style-src 'self'; img-src 'self'; media-src blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'"
)
NOTICES = "LICENSES.txt"


@dataclass(frozen=True)
class Part:
    """Something in the page that has a licence.

    Attributes
    ----------
    name, licence : str
    note : str
        What it is, or the licence's evidence.
    text : str
        The licence's full text; empty: none was published with it.
    """

    name: str
    licence: str
    note: str
    text: str


def site_files(about: str, parts: Iterable[Part]) -> Mapping[str, bytes]:
    """Return name → content of all files but the models and what runs them.

    Parameters
    ----------
    about : str
        One line below the drop zone.
    parts : iterable of Part
        Models and libraries; what the page always has is added.
    """
    serve, reports, own = (files(name) / "page" for name in _PACKAGES)
    found = {name.rsplit("/", 1)[-1]: (reports / name).read_bytes() for name in _REPORTS}
    found |= {name: (serve / name).read_bytes() for name in (*_SERVE, "icon.svg")}
    found |= {name: (own / name).read_bytes() for name in (*_OWN, *_WORKER)}
    found["SignalsmithStretch.js"] = (serve / "vendor/SignalsmithStretch.js").read_bytes()
    found["client-zip.js"] = (own / "vendor/client-zip.js").read_bytes()
    found["style.css"] = (serve / "style.css").read_bytes() + (own / "page.css").read_bytes()
    every = [
        *parts,
        Part("partita", "MIT", "the page itself", licence_file("partita")),
        *_libraries(serve / "vendor"),
        *_libraries(own / "vendor"),
    ]
    scripts = [name.rsplit("/", 1)[-1] for name in (*_REPORTS, *_SERVE, *_OWN)]
    page = Template((own / "index.html").read_text(encoding="utf-8")).substitute(
        policy=POLICY,
        scripts="\n".join(f'<script defer src="{name}"></script>' for name in scripts),
        about=html.escape(about),
        licences=_licence_list(every),
        player=_player((serve / "index.html").read_text(encoding="utf-8")),
    )
    found["index.html"] = page.encode()
    found[NOTICES] = _notices(every).encode()
    return found


def licence_file(name: str) -> str:
    """Return a licence's text that ships with partita."""
    return (files(__package__) / "licences" / f"{name}.LICENSE").read_text(encoding="utf-8")


def _libraries(vendor: Traversable) -> list[Part]:
    found = tomllib.loads((vendor / "libraries.toml").read_text(encoding="utf-8"))
    return [
        Part(
            f"{name} {library['version']}",
            library["licence"],
            library["use"],
            (vendor / library["licence_file"]).read_text(encoding="utf-8"),
        )
        for name, library in found.items()
    ]


def _player(page: str) -> str:
    """Return the player of `partita serve`, with downloads that need no server."""
    section = re.search(r'<section id="player".*?</section>', page, re.DOTALL)
    assert section is not None
    own = (files(__package__) / "page" / "downloads.html").read_text(encoding="utf-8")
    made = re.compile(
        r'<h2>Download</h2>.*?<div id="downloads" class="downloads"></div>', re.DOTALL
    )
    player, count = made.subn(own.strip(), section[0])
    assert count == 1
    return player


def _licence_list(parts: Iterable[Part]) -> str:
    facts = ((part.name, "; ".join(filter(None, (part.licence, part.note)))) for part in parts)
    items = [f"<li>{html.escape(': '.join(each))}</li>" for each in facts]
    link = f'<p><a href="{NOTICES}">Full texts of the licences</a></p>'
    return "\n".join(["<ul>", *items, "</ul>", link])


def _notices(parts: Iterable[Part]) -> str:
    texts = [f"{part.name}: {part.licence}\n{part.note}\n\n{part.text}".rstrip() for part in parts]
    return ("\n\n" + 72 * "=" + "\n\n").join(texts) + "\n"
