"""Models: one file a family, found through the registry."""

from partita.models._registry import create_model, model_names, register_model
from partita.models.hpss import Hpss
from partita.models.nmf import BlindNmf
from partita.models.nmfd import Nmfd
from partita.models.repet import Repet
from partita.models.unet import UNet

__all__ = [
    "BlindNmf",
    "Hpss",
    "Nmfd",
    "Repet",
    "UNet",
    "create_model",
    "model_names",
    "register_model",
]
