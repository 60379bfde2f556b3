"""Command classes: a song without a command, other programs' options, underscores."""

from __future__ import annotations

import contextlib
import glob
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from partita.audio.reader import AUDIO_EXTENSIONS
from partita.cli.other_programs import is_known, own_spelling, translate
from partita.errors import UnknownNameError, UsageError, near_names
from partita.plugins import COMMANDS, is_plugin, load_plugin, plugin_names
from partita.separation.batch.songs import is_url

_SEPARATE = "separate"
_ANY_LENGTH = 1000
_HELP = "--help"


@contextlib.contextmanager
def _naming(ctx: Any) -> Iterator[None]:
    """Attach the command to Typer's errors; a missing value lacks it."""
    try:
        yield
    except Exception as error:
        if getattr(error, "ctx", ctx) is None:
            vars(error)["ctx"] = ctx
        raise


def takes_value(command: Any) -> dict[str, bool]:
    """Return a command's options, and whether each takes a value."""
    return {
        name: not param.is_flag
        for param in command.params
        if hasattr(param, "is_flag")
        for name in (*param.opts, *param.secondary_opts)
    }


def _refuse_blanks(command: Any, ctx: Any, args: list[str]) -> None:
    """Refuse empty values, such as unset shell variables: Path("") is the current folder."""
    values, _, _ = command.make_parser(ctx).parse_args(args=list(args))
    for param in command.params:
        found = values.get(param.name)
        for value in found if isinstance(found, list | tuple) else [found]:
            if not isinstance(value, str) or value.strip() or os.path.lexists(value):
                continue
            if param.param_type_name == "option":
                name, advice = " / ".join(param.opts), "give it a value"
                advice += "" if param.required else ", or leave it out"
            else:
                name, advice = (param.metavar or param.name).rstrip(".").upper(), "type a name"
            raise UsageError(
                f"{name} is empty: {advice} ({ctx.command_path} --help shows the usage)"
            )


class Command(TyperCommand):
    """A command whose long options may be written with underscores."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse arguments; called by Typer."""
        options = {*takes_value(self), _HELP}
        spelled = [word if word in options else _in_dashes(word, options) for word in args]
        return self.parse_spelled(ctx, spelled)

    def parse_spelled(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse arguments after translation to the command's own options."""
        with _naming(ctx):
            _refuse_blanks(self, ctx, args)
            return super().parse_args(ctx, args)


class SeparateCommand(Command):
    """``partita separate``, which accepts other programs' options."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse arguments; called by Typer."""
        return self.parse_spelled(ctx, translate(args, takes_value(self)))


class Group(TyperGroup):
    """A group, plug-ins included, whose help shows the whole first line of each command.

    Without arguments it prints the help, in all versions of Typer.
    """

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of the commands; called by Typer."""
        path = _plugin_path(ctx)
        names = (name[len(path) :] for name in plugin_names(COMMANDS) if name.startswith(path))
        return [*super().list_commands(ctx), *(name for name in names if "." not in name)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command, imported if it is a plug-in; called by Typer."""
        found = super().get_command(ctx, cmd_name)
        name = _plugin_path(ctx) + cmd_name
        if found is not None or "." in cmd_name or not is_plugin(COMMANDS, name):
            return found
        app = typer.Typer(rich_markup_mode=None, add_completion=False)
        app.command(cmd_name, cls=Command)(load_plugin(COMMANDS, name, name.replace(".", " ")))
        return typer.main.get_command(app)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse arguments; called by Typer."""
        return super().parse_args(ctx, args if args or self.invoke_without_command else [_HELP])

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of commands; called by Typer."""
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(
                [
                    (name, command.get_short_help_str(_ANY_LENGTH))
                    for name, command in commands
                    if command is not None and not command.hidden
                ]
            )


def _plugin_path(ctx: Any) -> str:
    """Return what the names of a group's plug-ins begin with: ``data.`` for ``partita data``."""
    return "".join(f"{word}." for word in ctx.command_path.split()[1:])


class Commands(Group):
    """The commands of ``partita``; without a command, songs and options mean ``separate``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse arguments; called by Typer."""
        first = args[0] if args else _HELP
        if not first.strip() and not os.path.lexists(first):
            raise UsageError("INPUT is empty: type a name (partita --help shows the usage)")
        known = (*self.commands, *plugin_names(COMMANDS), *takes_value(self), _HELP)
        if first not in known or "." in first:
            if _is_song(first) or is_known(first, takes_value(self.commands[_SEPARATE])):
                args = [_SEPARATE, *args]
            elif not first.startswith("-"):
                raise UnknownNameError("command", first, self.commands)
        return super().parse_args(ctx, args)


def _is_song(word: str) -> bool:
    if word == "-" or is_url(word):
        return True
    is_path = os.sep in word or Path(word).suffix.lower() in AUDIO_EXTENSIONS
    return is_path or os.path.lexists(word) or bool(glob.glob(word))


def _in_dashes(word: str, options: set[str]) -> str:
    name, equals, value = word.partition("=")
    spelled = own_spelling(name)
    return spelled + equals + value if spelled in options else word


def wrong_usage(error: Any) -> str:
    """Return one line for a usage error of Typer."""
    message = error.format_message()
    context = getattr(error, "ctx", None)
    option = getattr(error, "option_name", None)
    is_unknown = hasattr(error, "possibilities")
    if (
        is_unknown and option is not None and context is not None
    ):  # Typer's own suggestions are often unrelated
        near = near_names(option, takes_value(context.command))
        message = f"No such option: {option}"
        message += f"; did you mean {' or '.join(near)}?" if near else ""
    command = context.command_path if context is not None else "partita"
    return f"{message} ({command} --help shows the usage)"
