"""What of a page has which licence."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, files

from partita.errors import UsageError
from partita.export.web.runtime import VERSION
from partita.export.web.site import Part, licence_file
from partita.weights.identity import NamedModel
from partita.weights.licences import licence_text

_SPLEETER = "spleeter"


def parts_of(models: Iterable[NamedModel]) -> list[Part]:
    """Return the models and ONNX Runtime as parts of a page.

    Raises
    ------
    UsageError
        onnxruntime is not installed, whose notices belong into the page.
    """
    return [*map(_model_part, models), _runtime_part()]


def _model_part(model: NamedModel) -> Part:
    licence = model.licence
    stated = "none stated" if licence is None else licence_text(licence)
    if model.file is not None:
        return Part(f"Weights {model.label}", stated, "", "")
    card = model.card
    notes = [card.licence_evidence, f"trained on: {card.trained_on}" if card.trained_on else ""]
    text = ""
    if card.name.startswith(_SPLEETER):
        text = licence_file(_SPLEETER)
    elif card.bundled is not None:
        text = licence_file("partita")
    return Part(f"Weights {card.name}", stated, "; ".join(filter(None, notes)), text)


def _runtime_part() -> Part:
    notices = ""
    try:
        for file in files("onnxruntime") or []:
            if file.name == "ThirdPartyNotices.txt":
                notices = file.read_text(encoding="utf-8")
    except PackageNotFoundError as error:
        raise UsageError('the page needs onnxruntime: pip install "partita[onnx]"') from error
    return Part(
        f"ONNX Runtime {VERSION}",
        "MIT",
        "runs the models",
        f"{licence_file('onnxruntime')}\n\n{notices}",
    )
