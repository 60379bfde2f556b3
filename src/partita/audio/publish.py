"""Renaming finished files to their final names: all or none."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from partita.audio.work_folder import work_folder
from partita.files import sync_file, sync_folder


def publish(files: Mapping[Path, Path]) -> None:
    """Rename files to their final names; if one fails, none is renamed.

    Existing files are replaced, or kept if something fails. Missing folders are made. If final
    names are on other file systems, files are first copied to a hidden folder beside them.

    Parameters
    ----------
    files : mapping of Path to Path
        Finished file, in a `work_folder` and synced (`sync_file`) → final name.

    Raises
    ------
    OSError
        With the final name as its `filename`.
    """
    try:
        _replace_all(files)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        with contextlib.ExitStack() as stack:
            _replace_all(_copied(files, stack))
    for folder in {final.parent for final in files.values()}:
        sync_folder(folder)


def _copied(files: Mapping[Path, Path], stack: contextlib.ExitStack) -> dict[Path, Path]:
    """Copy files to the file system of their final names."""
    folders: dict[Path, Path] = {}
    copies = {}
    for index, (file, final) in enumerate(files.items()):
        with _named(final):
            if final.parent not in folders:
                folders[final.parent] = stack.enter_context(work_folder(final.parent))
            copy = folders[final.parent] / f"{index}{final.suffix}"
            shutil.copyfile(file, copy)
            sync_file(copy)
            copies[copy] = final
    return copies


def _replace_all(files: Mapping[Path, Path]) -> None:
    with contextlib.ExitStack() as undo:
        for file, final in files.items():
            with _named(final):
                final.parent.mkdir(parents=True, exist_ok=True)
                old = file.with_name(f"{file.name}.old")
                if final.is_dir() or not os.path.lexists(final):
                    file.replace(final)
                    undo.callback(final.replace, file)
                else:
                    _second_name(final, old)
                    undo.callback(old.replace, final)
                    file.replace(final)
                    undo.callback(_second_name, final, file)
        undo.pop_all()


def _second_name(path: Path, name: Path) -> None:
    """Give a file a second name, while `path` exists at any moment."""
    try:
        name.hardlink_to(path)
    except OSError as error:
        if error.errno == errno.EXDEV:
            raise
        path.replace(name)  # file systems without hard links


@contextlib.contextmanager
def _named(final: Path) -> Iterator[None]:
    """Let errors name the final file, not the hidden one."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(final)) from error
