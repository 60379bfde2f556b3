"""Flags for the parameters in the library's messages."""

from __future__ import annotations

import contextlib
import functools
import re
from typing import Any

from typer import Context

from partita.errors import UsageError

# `segment_s`, or with a value: `device="cpu"`
_PARAMETER = re.compile(r"`([a-zA-Z][\w.]*)(?:=([^`]*))?`")
#: Flags that have another name than their parameter.
_OTHERWISE = {
    **{"weights": "--from", "settings": "--set", "sample_rate": "--rate"},
    "logging.DEBUG": "--verbose",
}


def with_flags(message: str) -> str:
    """Return a message with its backquoted parameters replaced by flags.

    ```segment_s``` becomes ``--segment``, ```device="cpu"``` becomes ``--device cpu``, and
    ```resume=True``` becomes ``--resume``. Parameters without a flag are left unchanged.
    """
    return _PARAMETER.sub(_flag, message)


def _flag(match: re.Match[str]) -> str:
    name, value = match[1], match[2]
    flag = _OTHERWISE.get(name) or "--" + name.removesuffix("_s").replace("_", "-")
    if flag not in _flags():
        flag = flag.removesuffix("s")  # of a flag that may be repeated
    if flag not in _flags():
        return match[0]
    return flag if value in (None, "True") else f"{flag} {value.strip(chr(34))}"


@functools.cache
def _flags() -> frozenset[str]:
    """Return the flags of all commands, those of plug-ins too."""
    from typer.main import get_command

    from partita.cli.app import app  # which imports this module

    return frozenset(_flags_of(Context(get_command(app), info_name="partita")))


def _flags_of(ctx: Context) -> set[str]:
    group: Any = ctx.command
    flags = {name for param in group.params for name in (*param.opts, *param.secondary_opts)}
    for name in group.list_commands(ctx) if hasattr(group, "list_commands") else ():
        with contextlib.suppress(UsageError):  # a plug-in that cannot be imported
            flags |= _flags_of(Context(group.get_command(ctx, name), ctx, name))
    return flags
