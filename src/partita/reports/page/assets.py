"""Scripts and styles that pages carry inside them, and the policy that lets only those run."""

from __future__ import annotations

import base64
import hashlib
import tomllib
from collections.abc import Iterable
from importlib.resources import files
from typing import TYPE_CHECKING

from partita.errors import UsageError

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

_PACKAGE = "partita.reports.page"
#: What plays audio; ``scripts/engine.js`` says how.
ENGINE = ("scripts/pieces.js", "scripts/takes.js", "scripts/engine.js")


def asset(name: str, package: str = _PACKAGE) -> Markup:
    """Return a file of a package, to be written between tags of a page.

    Parameters
    ----------
    name : str
        ``scripts/…`` or ``vendor/…``.
    package : str
    """
    text = _read(name, package)
    if ("</style" if name.endswith(".css") else "</script") in text or "<!--" in text:
        raise ValueError(f"{name} would end the element that it is written into")
    from markupsafe import Markup  # comes with Jinja, which is not a core dependency

    return Markup(text)  # noqa: S704 - our own and vendored files, checked above


def templates(package: str = _PACKAGE) -> Environment:
    """Return the templates of a package, which escape what is put into them.

    Raises
    ------
    UsageError
        Jinja is not installed.
    """
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ImportError as error:
        raise UsageError('pages need Jinja: pip install "partita[compare]"') from error
    return Environment(
        loader=PackageLoader(package),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def licences() -> list[dict[str, str]]:
    """Return name, version, homepage and full licence of each vendored library."""
    found = tomllib.loads(_read("vendor/libraries.toml"))
    return [
        {
            "name": name,
            "version": library["version"],
            "homepage": library["homepage"],
            "text": _read(f"vendor/{library['licence_file']}"),
        }
        for name, library in found.items()
    ]


def security_policy(scripts: Iterable[str], styles: Iterable[str] = (), *, nonce: str = "") -> str:
    """Return a Content-Security-Policy under which a page runs these scripts and nothing else.

    Pieces of audio are scripts beside the page: of its own origin on a server, ``file:`` on disk.
    The page can reach no network.

    Parameters
    ----------
    scripts, styles : iterable of str
        What stands between the tags, to the character.
    nonce : str
        Of styles that a library writes into its own part of the page.
    """
    scripts_allowed = " ".join(["'self'", "file:", *map(_hash, scripts)])
    with_nonce = [f"'nonce-{nonce}'"] if nonce else []
    styles_allowed = " ".join([*with_nonce, *map(_hash, styles)]) or "'none'"
    return (
        f"default-src 'none'; script-src {scripts_allowed}; style-src {styles_allowed}; "
        "img-src 'self' file: data:; base-uri 'none'; form-action 'none'"
    )


def _read(name: str, package: str = _PACKAGE) -> str:
    return (files(package) / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
