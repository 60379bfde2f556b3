"""Scripts and styles that pages carry inside them, and the policy that lets only those run."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from importlib.resources import files

from markupsafe import Markup

#: What plays audio; ``scripts/engine.js`` says how.
ENGINE = ("scripts/pieces.js", "scripts/engine.js")


def asset(name: str, package: str = "partita.reports.page") -> Markup:
    """Return a file of a package, to be written between tags of a page.

    Parameters
    ----------
    name : str
        ``scripts/…`` or ``vendor/…``.
    package : str
    """
    text = (files(package) / name).read_text(encoding="utf-8")
    if "</script" in text or "</style" in text or "<!--" in text:
        raise ValueError(f"{name} would end the element that it is written into")
    return Markup(text)  # noqa: S704 - our own and vendored files, checked above


def security_policy(scripts: Iterable[str], styles: Iterable[str] = ()) -> str:
    """Return a Content-Security-Policy under which a page runs these scripts and nothing else.

    Pieces of audio are scripts beside the page: of its own origin on a server, ``file:`` on disk.
    The page can reach no network.

    Parameters
    ----------
    scripts, styles : iterable of str
        What stands between the tags, to the character.
    """
    scripts_allowed = " ".join(["'self'", "file:", *map(_hash, scripts)])
    styles_allowed = " ".join(map(_hash, styles)) or "'none'"
    return (
        f"default-src 'none'; script-src {scripts_allowed}; style-src {styles_allowed}; "
        "img-src 'self' file: data:; base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
