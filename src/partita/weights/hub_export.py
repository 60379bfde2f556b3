"""Folders that the Hugging Face Hub and `huggingface_hub`'s mixin for PyTorch models understand."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

from partita.errors import UsageError, one_line
from partita.files import part_of_path
from partita.models._protocol import SeparationModel
from partita.weights.checkpoint import save_checkpoint
from partita.weights.hub_files import MIXIN_CONFIG
from partita.weights.hub_mixin import MODEL_KEY
from partita.weights.licences import HUB_LICENCES, Licence
from partita.weights.own_checkpoints import MODEL_FILE

_CARD = "README.md"
_TAGS = ("audio-source-separation", "model_hub_mixin", "pytorch_model_hub_mixin")


def export_folder(
    folder: Path, model: SeparationModel, *, name: str, licence: Licence | None
) -> None:
    """Write a model as ``PyTorchModelHubMixin`` does, with a card; all of it or nothing.

    ``model.safetensors`` is a checkpoint of partita's as well.

    Parameters
    ----------
    folder : Path
        Must be empty, or not be there.
    model : SeparationModel
    name : str
        What the card calls it.
    licence : Licence or None
        What the card states; None: nothing is known, and the owner says it.

    Raises
    ------
    UsageError
        The folder holds something.
    OSError
        It cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{one_line(folder)} is there and not an empty folder: name another one")
    folder.parent.mkdir(parents=True, exist_ok=True)
    whole = Path(tempfile.mkdtemp(prefix=".export.", dir=folder.parent))
    try:
        save_checkpoint(whole / MODEL_FILE, model, licence=licence.text if licence else "")
        settings = {MODEL_KEY: model.registry_name, **model.config.to_dict()}
        (whole / MIXIN_CONFIG).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
        (whole / _CARD).write_text(_card(model, name, licence), encoding="utf-8")
        whole.chmod(0o755)
        whole.replace(folder)
    finally:
        shutil.rmtree(whole, ignore_errors=True)


def _card(model: SeparationModel, name: str, licence: Licence | None) -> str:
    """Return a card: what the Hub reads between the dashes, and what people read below."""
    stated = "" if licence is None else licence.text
    tags = "".join(f"- {tag}\n" for tag in (model.registry_name, *_TAGS))
    head = f"library_name: partita\npipeline_tag: audio-to-audio\ntags:\n{tags}"
    if stated and stated != "unknown":
        identifier = stated.lower()
        is_known = identifier in HUB_LICENCES
        head += f"license: {identifier if is_known else 'other'}\n"
        head += "" if is_known else f"license_name: {json.dumps(stated, ensure_ascii=False)}\n"
    title = part_of_path(name)
    return (
        f"---\n{head}---\n\n# {title}\n\n"
        f"`{model.registry_name}` of [partita](https://pypi.org/project/partita/): "
        f"{', '.join(model.sources)}; {model.sample_rate} Hz, {model.channels} channels.\n\n"
        f"    partita separate song.mp3 --model hf:OWNER/NAME\n\n"
        f"Licence of the weights: {stated or 'not stated yet'}.\n"
    )
