"""File name suffixes of checkpoints and configurations."""

from __future__ import annotations

SAFETENSORS = ".safetensors"
#: Packages of demucs 3 and 4.
DEMUCS_PACKAGE = ".th"
#: Checkpoints of other programs that need no configuration.
SELF_DESCRIBED = (DEMUCS_PACKAGE, ".onnx")
EXTERNAL = (".ckpt", ".chpt", ".pt", ".pth", *SELF_DESCRIBED)
#: States from which a training resumes; its weights are in another file.
TRAINING_STATES = ("state.pt", "state.previous.pt")
CONFIGS = (".yaml", ".yml")
#: Pickles that are not read.
UNREAD_PICKLES = (".bin", ".pkl", ".pickle")
