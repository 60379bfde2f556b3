"""Networks in ONNX Runtime, in the place of a model's own.

The model's transforms, masks and levels are PyTorch's as ever: one implementation of them.
"""

from __future__ import annotations

import copy
import inspect
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from partita.errors import ModelError, UsageError, WeightsCorruptError, one_line
from partita.models import create_model
from partita.models._protocol import SeparationModel, SongFacts
from partita.models._registry import find_model
from partita.weights.exported.metadata import WHOLE, read_metadata, verify
from partita.weights.exported.network import with_core

_NO_LOGS = 4  # what it logs as errors, it raises as well


def new_session(content: str | bytes) -> Any:
    """Return a session of ONNX Runtime for a file's path or content.

    Raises
    ------
    UsageError
        ONNX Runtime is not installed, or cannot run the network.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise UsageError(
            "exported models need ONNX Runtime: pip install 'partita[onnx]'"
        ) from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _NO_LOGS
    # Quantised weights become float32 once, not at every call.
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    # One block for all tensors of a run is larger than what they take one after the other.
    options.enable_mem_pattern = False
    # One window runs on each core, as with PyTorch: `partita.devices.worker_pool`.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its classes have no common base
        where = f"{one_line(content)}: " if isinstance(content, str) else ""
        raise UsageError(
            f"{where}ONNX Runtime {onnxruntime.__version__} cannot load it: {one_line(error)}"
        ) from error


class SessionNetwork:
    """A network in ONNX Runtime, called as the method of a model that it replaces.

    Parameters
    ----------
    content : str or bytes
        Path or content of an ONNX file.
    gives_pieces : bool
        Whether the method is an iterator of pieces.
    """

    def __init__(self, content: str | bytes, *, gives_pieces: bool) -> None:
        self._session, self._gives_pieces = new_session(content), gives_pieces
        self._names = [each.name for each in self._session.get_inputs()]

    def __call__(self, *arguments: Tensor | None) -> Any:
        """Run it; a None among the arguments becomes a one for each mixture."""
        first = arguments[0]
        assert first is not None
        given = [first.new_ones(len(first)) if each is None else each for each in arguments]
        # A method's optional arguments that the network lacks are None there.
        inputs = dict(
            zip(self._names, (each.float().cpu().numpy() for each in given), strict=False)
        )
        try:
            found = self._session.run(None, inputs)
        except Exception as error:  # its classes have no common base
            raise UsageError(f"ONNX Runtime: {one_line(error)}") from error
        tensors = tuple(torch.from_numpy(each).to(first.device) for each in found)
        result = tensors if len(tensors) > 1 else tensors[0]
        return iter((result,)) if self._gives_pieces else result


class ExportedModel(SeparationModel):
    """A model whose network runs in ONNX Runtime.

    Parameters
    ----------
    model : SeparationModel
        Its weights are not used, and may be without storage.
    network : SessionNetwork
    least_samples : int
        Shorter mixtures are padded with silence.
    """

    def __init__(self, model: SeparationModel, network: SessionNetwork, least_samples: int) -> None:
        super().__init__(model.config)
        setattr(self, "registry_name", model.registry_name)  # noqa: B010 (of this one alone)
        self.window = model.window
        self._network, self._least_samples = network, least_samples
        self._inner = with_core(_stored(model), network)

    def for_song(self, facts: SongFacts) -> SeparationModel:
        """See `SeparationModel.for_song`."""
        found = ExportedModel.__new__(ExportedModel)
        found.__dict__.update(self.__dict__)
        found.__dict__["_modules"] = dict(self.__dict__["_modules"])
        found._inner = self._inner.for_song(facts)
        return found

    def forward(self, mixture: Tensor) -> Tensor:
        """See `SeparationModel.forward`."""
        samples = mixture.shape[-1]
        missing = max(0, self._least_samples - samples)
        estimates: Tensor = self._inner(functional.pad(mixture, (0, missing)))
        return estimates[..., :samples]


class WholeModel(SeparationModel):
    """A model whose file holds all of it: ``mixture`` ``[1, C, T]`` → ``estimates``.

    Parameters
    ----------
    model : SeparationModel
        Its weights are not used.
    session : InferenceSession
        Some have another input, ``side`` ``[1]``: the weight of the side signal.
    least_samples : int
        Shorter mixtures are padded with silence.
    """

    def __init__(self, model: SeparationModel, session: Any, least_samples: int) -> None:
        super().__init__(model.config)
        setattr(self, "registry_name", model.registry_name)  # noqa: B010 (of this one alone)
        self.window = model.window
        self._session, self._least_samples = session, least_samples
        self._side: Tensor | None = None  # [groups]; None: 1

    def for_song(self, facts: SongFacts) -> SeparationModel:
        """See `SeparationModel.for_song`."""
        model = copy.copy(self)
        model._side = facts.side
        return model

    def forward(self, mixture: Tensor) -> Tensor:
        """See `SeparationModel.forward`."""
        samples = mixture.shape[-1]
        padded = functional.pad(mixture, (0, max(0, self._least_samples - samples)))
        sides = torch.ones(1) if self._side is None else self._side
        sides = sides.repeat(len(mixture) // len(sides))
        names = [each.name for each in self._session.get_inputs()]
        found = []
        for number in range(len(mixture)):
            inputs = {"mixture": padded[number, None].float(), "side": sides[number, None].float()}
            given = {name: inputs[name].cpu().numpy() for name in names}
            found.append(torch.from_numpy(self._session.run(None, given)[0]))
        return torch.cat(found)[..., :samples].to(mixture.device)


def _stored(model: SeparationModel) -> SeparationModel:
    """Give tensors without storage memory, which nothing reads; return the model."""
    for module in model.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None and parameter.is_meta:
                empty = torch.empty_like(parameter, device="cpu")
                module._parameters[name] = nn.Parameter(empty, requires_grad=False)
        for name, buffer in module._buffers.items():
            if buffer is not None and buffer.is_meta:
                module._buffers[name] = torch.empty_like(buffer, device="cpu")
    return model.eval()


def exported_model(path: Path) -> SeparationModel:
    """Read a model from an ONNX file that partita exported.

    Raises
    ------
    WeightsError
        The file is missing, damaged or another program's, or describes no model.
    UsageError
        ONNX Runtime is not installed, or cannot run it.
    """
    name, metadata = one_line(path), read_metadata(path)
    if metadata is None:
        raise WeightsCorruptError(f"{name}: partita did not export this ONNX file")
    verify(path)
    try:
        if find_model(metadata["model"]) is None:
            raise ValueError(f"there is no model {metadata['model'][:40]!r}")
        model = create_model(metadata["model"], json.loads(metadata["config"]), initialise=False)
        least = int(metadata["least_samples"])
        if metadata["core"] not in (WHOLE, model.core):
            raise ValueError("its network is another part of the model than in this version")
    except (ValueError, LookupError, RecursionError, ModelError) as error:
        raise WeightsCorruptError(f"{name}: not an exported model ({one_line(error)})") from error
    if metadata["core"] == WHOLE:
        return WholeModel(model, new_session(str(path)), least)
    return ExportedModel(model, session_network(str(path), model), least)


def session_network(content: str | bytes, model: SeparationModel) -> SessionNetwork:
    """Return the network in a file, to be called as the `core` of a model."""
    method = getattr(type(model), model.core)
    return SessionNetwork(content, gives_pieces=inspect.isgeneratorfunction(method))
