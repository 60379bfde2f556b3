"""How files end that hold or describe weights."""

from __future__ import annotations

SAFETENSORS = ".safetensors"
#: Of demucs 3 and 4's packages.
DEMUCS_PACKAGE = ".th"
#: Checkpoints of other programs that say what they hold: no configuration belongs to them.
SELF_DESCRIBED = (DEMUCS_PACKAGE, ".onnx")
EXTERNAL = (".ckpt", ".chpt", ".pt", ".pth", *SELF_DESCRIBED)
#: What a training goes on from; its weights are in a file of their own.
TRAINING_STATES = ("state.pt", "state.previous.pt")
CONFIGS = (".yaml", ".yml")
#: Pickles that nothing here reads.
UNREAD_PICKLES = (".bin", ".pkl", ".pickle")
