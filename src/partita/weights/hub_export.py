"""Export of models as folders for the Hugging Face Hub and `huggingface_hub`'s model mixin."""

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
    """Write a model in the format of ``PyTorchModelHubMixin``, with a card; all files or none.

    ``model.safetensors`` is also a partita checkpoint.

    Parameters
    ----------
    folder : Path
        Must be empty or not exist.
    model : SeparationModel
    name : str
        Its name on the card.
    licence : Licence or None
        The licence on the card; None: unknown, for the owner to fill in.

    Raises
    ------
    UsageError
        The folder is not empty.
    OSError
        The folder cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(
            f"{one_line(folder)} exists and is not an empty folder: choose another one"
        )
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
    """Return a card: metadata for the Hub between the dashes, then text."""
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
        f"a `{model.registry_name}` model of [partita](https://pypi.org/project/partita/): "
        f"{', '.join(model.sources)}; {model.sample_rate} Hz, {model.channels} channels.\n\n"
        f"    partita separate song.mp3 -n hf:OWNER/NAME\n\n"
        f"Licence of the weights: {stated or 'not stated yet'}.\n"
    )
