"""``partita serve``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from partita.cli.console import set_up_logging
from partita.cli.options import Verbose
from partita.cli.terminal import terminal_columns, wrapped
from partita.errors import UsageError
from partita.serve.limits import Limits


def _default_library() -> Path:
    import platformdirs

    return Path(platformdirs.user_music_dir()) / "partita"


def serve(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0: any free one.")] = 8000,
    host: Annotated[
        str, typer.Option(help="Address to listen at; others than this machine's need --token.")
    ] = "127.0.0.1",
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    library: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Where songs and stems are kept.", show_default="Music/partita"
        ),
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(help="What clients must know.", envvar="PARTITA_TOKEN", show_envvar=True),
    ] = None,
    most_mb: Annotated[
        int, typer.Option("--most-mb", min=1, help="Largest upload, in megabytes.")
    ] = Limits.most_mb,
    most_minutes: Annotated[
        int, typer.Option("--most-minutes", min=1, help="Longest song, in minutes.")
    ] = Limits.most_minutes,
    quota: Annotated[
        float,
        typer.Option(
            "--quota", min=0.001, metavar="GB", help="Most that songs and stems may take."
        ),
    ] = Limits.quota_gb,
    verbose: Verbose = False,
) -> None:
    """Separate, listen and mix in a browser; an API for programs.

    Everything stays on this machine.
    """
    set_up_logging(verbose=verbose, quiet=False)
    try:
        from partita.serve.web.server import serve as run
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in ("starlette", "uvicorn"):
            raise
        raise UsageError(
            f'partita serve needs {error.name}: pip install "partita[serve]"'
        ) from error
    folder = _default_library() if library is None else library

    def ready(address: str) -> None:
        lines = (f"partita: {address}", f"Library: {folder}", "Ctrl-C ends it.")
        print("\n".join(wrapped(line, 2, terminal_columns()) for line in lines), flush=True)

    run(
        folder,
        host=host,
        port=port,
        token=token,
        limits=Limits(most_mb=most_mb, most_minutes=most_minutes, quota_gb=quota),
        open_page=open_page,
        ready=ready,
    )
