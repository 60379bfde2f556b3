"""File name suffixes of checkpoints and configurations."""

from __future__ import annotations

SAFETENSORS = ".safetensors"
#: Packages of demucs 3 and 4.
DEMUCS_PACKAGE = ".th"
#: Exported models, partita's own and HTDemucs's.
ONNX = ".onnx"
#: Checkpoints that need no configuration beside them.
SELF_DESCRIBED = (DEMUCS_PACKAGE, ONNX)
EXTERNAL = (".ckpt", ".chpt", ".pt", ".pth", *SELF_DESCRIBED)
#: States from which a training resumes; its weights are in another file.
TRAINING_STATES = ("state.pt", "state.previous.pt")
CONFIGS = (".yaml", ".yml")
#: Pickles that are not read.
UNREAD_PICKLES = (".bin", ".pkl", ".pickle")
