"""Names of models on the web: repositories of the Hugging Face Hub, and addresses of files.

Nothing here imports PyTorch or uses the network.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from partita.errors import UsageError, one_line
from partita.files import part_of_path
from partita.weights.suffixes import CONFIGS, EXTERNAL, SAFETENSORS

HUB = "hf:"
_SCHEMES = ("https://", "http://")
#: Hosts whose pages about files (/blob/) differ from the files' addresses.
_PAGES = {"huggingface.co": "/resolve/", "github.com": "/raw/"}
_LOCAL = ("127.0.0.1", "::1", "localhost")
_PART = r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}"
_REPOSITORY = re.compile(rf"{_PART}/{_PART}")
_MOST_CHARS = 2000
_MOST_NAME_CHARS = 100
_FORMS = "hf:OWNER/NAME, hf:OWNER/NAME@REVISION or hf:OWNER/NAME/FILE"


@dataclass(frozen=True)
class HubName:
    """A repository of the Hugging Face Hub, or one checkpoint of it.

    Attributes
    ----------
    text : str
        The name as typed, without a configuration.
    repository : str
        ``owner/name``.
    file : str
        Path of a checkpoint in it; empty: the only one.
    revision : str
        Branch, tag or commit; empty: the default branch.
    config : str
        Path or address of a YAML file; empty: the one beside the checkpoint.
    """

    text: str
    repository: str
    file: str = ""
    revision: str = ""
    config: str = ""

    @property
    def label(self) -> str:
        """The label of stems."""
        return PurePosixPath(self.file).stem if self.file else self.repository.split("/")[1]


@dataclass(frozen=True)
class WebAddress:
    """The address of a checkpoint.

    Attributes
    ----------
    text : str
        The address.
    config : str
        Path or address of a YAML file; empty: the one beside the checkpoint.
    """

    text: str
    config: str = ""

    @property
    def label(self) -> str:
        """The label of stems."""
        return PurePosixPath(file_of(self.text)).stem


def is_web_name(name: str) -> bool:
    """Return whether a name stands for a model on the web."""
    return name.startswith((HUB, *_SCHEMES))


def web_name(name: str) -> HubName | WebAddress | None:
    """Parse the name of a model on the web; None: it is another kind of name.

    Parameters
    ----------
    name : str
        ``hf:OWNER/NAME``, with ``/FILE`` and ``@REVISION`` where wanted, or the address of a
        checkpoint; either may end with ``@`` and the path or address of a YAML file.

    Raises
    ------
    UsageError
        It begins like one of these but is not valid.
    """
    if not is_web_name(name):
        return None
    if len(name) > _MOST_CHARS or not name.isprintable() or " " in name:
        raise UsageError(f"{one_line(name[:80])}: not a valid name of a model on the web")
    text, at, config = name.rpartition("@")
    if not (at and config.lower().endswith(CONFIGS) and is_web_name(text)):
        text, config = name, ""
    if is_web_name(config):
        _check_address(config)
    if text.startswith(HUB):
        return _hub_name(text, config)
    _check_address(text)
    if PurePosixPath(file_of(text)).suffix.lower() not in (*EXTERNAL, SAFETENSORS):
        known = ", ".join((SAFETENSORS, *EXTERNAL))
        raise UsageError(f"{one_line(text)} is not the address of a checkpoint ({known})")
    return WebAddress(text, config)


def file_of(address: str) -> str:
    """Return the local name for the file of an address."""
    name = unquote(urlsplit(address).path.rsplit("/", 1)[-1])
    return local_file(name)


def local_file(name: str) -> str:
    """Return a local file name for a name on the web: unusual characters are replaced."""
    safe = re.sub(r"[^\w.-]", "_", part_of_path(name)).lstrip(".")
    suffix = PurePosixPath(safe).suffix
    return safe[: _MOST_NAME_CHARS - len(suffix)].removesuffix(suffix) + suffix


def _hub_name(text: str, config: str) -> HubName:
    whole, _, revision = text.removeprefix(HUB).partition("@")
    owner, _, rest = whole.partition("/")
    name, _, file = rest.partition("/")
    repository = f"{owner}/{name}"
    parts = PurePosixPath(file).parts
    if not _REPOSITORY.fullmatch(repository) or ".." in parts or text.endswith(("/", "@")):
        raise UsageError(f"{one_line(text)} is not the name of a repository: write {_FORMS}")
    return HubName(text, repository, file, revision, config)


def _check_address(address: str) -> None:
    """Refuse addresses without https, with user names, or of pages instead of files.

    Raises
    ------
    UsageError
        The address is refused.
    """
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError(f"{one_line(address)} is not an address ({one_line(error)})") from error
    if not host or parts.username is not None:
        raise UsageError(f"{one_line(address)} is not the address of a file")
    if host in _PAGES and "/blob/" in parts.path:
        raise UsageError(
            f"{one_line(address)} is a page about a file: the file's address has "
            f"{_PAGES[host]} instead of /blob/"
        )
    if parts.scheme != "https" and host not in _LOCAL:
        raise UsageError(f"{one_line(address)} is not encrypted: use https://")
