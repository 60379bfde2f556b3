"""Names that stand for partita's checkpoints: files, folders of trainings, imported ones.

Nothing here imports PyTorch.
"""

from __future__ import annotations

from pathlib import Path

from partita.weights.cards import CARDS
from partita.weights.imported_checkpoints import imported_checkpoint
from partita.weights.suffixes import SAFETENSORS as SUFFIX
from partita.weights.web_names import is_web_name

#: File name of a training's weights.
MODEL_FILE = f"model{SUFFIX}"


def own_checkpoint(name: str) -> Path | None:
    """Return the checkpoint that a name stands for; None: it stands for something else.

    Parameters
    ----------
    name : str
        The path of a checkpoint, which need not exist; the name of an imported one; or the path of
        a folder that holds ``model.safetensors`` or a single other checkpoint. Names of cards and
        imported checkpoints take precedence over folders; ``./NAME`` is always a folder.
    """
    if name.endswith(SUFFIX) and not is_web_name(name):
        return Path(name)
    if not name or name in CARDS or is_web_name(name):
        return None
    return imported_checkpoint(name) or _in_folder(Path(name))


def _in_folder(folder: Path) -> Path | None:
    try:
        if not folder.is_dir():
            return None
        if (folder / MODEL_FILE).is_file():
            return folder / MODEL_FILE
        found = sorted(folder.glob(f"*{SUFFIX}"))
    except OSError:  # a name too long for a path, a folder without permission
        return None
    return found[0] if len(found) == 1 else None


def checkpoint_label(path: Path) -> str:
    """Return the label of stems: the file's name, or the folder's for ``model.safetensors``.

    Parameters
    ----------
    path : Path
        As `own_checkpoint` returns it.
    """
    if path.name == MODEL_FILE:
        return path.resolve().parent.name or path.stem
    return path.name.removesuffix(SUFFIX)
