"""Check built pages: links lead somewhere, and nothing is loaded from the network."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

#: What browsers load by themselves.
_LOADED = {("script", "src"), ("img", "src"), ("audio", "src"), ("link", "href")}
_NOT_LOADED = {"canonical", "next", "prev", "search", "index", "genindex", "author"}


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.anchors: set[str] = {""}
        self.links: list[str] = []
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep anchors and links; called by the parser."""
        found = {name: value or "" for name, value in attrs}
        self.anchors |= {found[name] for name in ("id", "name") if name in found}
        for name in ("href", "src"):
            if name not in found:
                continue
            self.links.append(found[name])
            if (tag, name) in _LOADED and found.get("rel") not in _NOT_LOADED:
                self.loaded.append(found[name])


def broken_links(site: Path) -> Iterator[str]:
    """Yield a line for each link that leads nowhere and each file that the network would give."""
    read = cache(_read)
    for path in sorted(site.rglob("*.html")):
        page = read(path)
        where = path.relative_to(site)
        if where.parts[0] == "_static":  # templates of the theme
            continue
        for link in page.loaded:
            if urlsplit(link).scheme not in {"", "data"} or link.startswith("//"):
                yield f"{where}: loads {link}"
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.is_file():
                yield f"{where}: {link} leads nowhere"
            elif target.suffix == ".html" and unquote(parts.fragment) not in read(target).anchors:
                yield f"{where}: {link} leads to no place of its page"


def _read(path: Path) -> _Page:
    page = _Page()
    page.feed(path.read_text(encoding="utf-8"))
    return page
