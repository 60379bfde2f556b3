"""Models: one file a family, found through the registry.

Base classes for your own models: `SeparationModel` (waveforms), `SpectrogramModel` (magnitudes or
masks), `SoftmaxMaskModel` (softmax masks), `MagnitudeModel` (magnitudes and a Wiener filter),
`ComplexModel` (complex spectra). `register_model` gives a model its name. The rest of partita uses
only what `SeparationModel` defines.
"""

from __future__ import annotations

from importlib import import_module

from partita.models._built_in import BUILT_IN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from partita.dsp.overlap_add import Window as Window
    from partita.models._complex_spectra import ComplexConfig as ComplexConfig
    from partita.models._complex_spectra import ComplexModel as ComplexModel
    from partita.models._magnitudes import MagnitudeConfig as MagnitudeConfig
    from partita.models._magnitudes import MagnitudeModel as MagnitudeModel
    from partita.models._protocol import ModelConfig as ModelConfig
    from partita.models._protocol import SeparationModel as SeparationModel
    from partita.models._protocol import SongFacts as SongFacts
    from partita.models._registry import config_type as config_type
    from partita.models._registry import create_model as create_model
    from partita.models._registry import list_models as list_models
    from partita.models._registry import register_model as register_model
    from partita.models._softmax_masks import SoftmaxMaskConfig as SoftmaxMaskConfig
    from partita.models._softmax_masks import SoftmaxMaskModel as SoftmaxMaskModel
    from partita.models._spectrogram import SpectrogramConfig as SpectrogramConfig
    from partita.models._spectrogram import SpectrogramModel as SpectrogramModel
    from partita.models.band_split import BandSplit as BandSplit
    from partita.models.bs_roformer import BsRoformer as BsRoformer
    from partita.models.conv_tasnet import ConvTasNet as ConvTasNet
    from partita.models.crosstalk_unmix import CrosstalkUnmix as CrosstalkUnmix
    from partita.models.demucs import Demucs as Demucs
    from partita.models.demucs_multidecoder import DemucsMultidecoder as DemucsMultidecoder
    from partita.models.demucs_v3 import DemucsV3 as DemucsV3
    from partita.models.hdemucs import Hdemucs as Hdemucs
    from partita.models.hpss import Hpss as Hpss
    from partita.models.htdemucs import Htdemucs as Htdemucs
    from partita.models.mel_band_roformer import MelBandRoformer as MelBandRoformer
    from partita.models.mm_dense import MmDenseLstm as MmDenseLstm
    from partita.models.mm_dense import MmDenseNet as MmDenseNet
    from partita.models.nmf import BlindNmf as BlindNmf
    from partita.models.nmfd import Nmfd as Nmfd
    from partita.models.open_unmix import OpenUnmix as OpenUnmix
    from partita.models.repet import Repet as Repet
    from partita.models.scnet import MaskedScNet as MaskedScNet
    from partita.models.scnet import ScNet as ScNet
    from partita.models.tfc_tdf import TfcTdf as TfcTdf
    from partita.models.tfc_tdf_v3 import TfcTdfV3 as TfcTdfV3
    from partita.models.unet import UNet as UNet

_HOMES = {
    "ComplexConfig": "partita.models._complex_spectra",
    "ComplexModel": "partita.models._complex_spectra",
    "MagnitudeConfig": "partita.models._magnitudes",
    "MagnitudeModel": "partita.models._magnitudes",
    "ModelConfig": "partita.models._protocol",
    "SeparationModel": "partita.models._protocol",
    "SoftmaxMaskConfig": "partita.models._softmax_masks",
    "SoftmaxMaskModel": "partita.models._softmax_masks",
    "SongFacts": "partita.models._protocol",
    "SpectrogramConfig": "partita.models._spectrogram",
    "SpectrogramModel": "partita.models._spectrogram",
    "Window": "partita.dsp.overlap_add",
    "config_type": "partita.models._registry",
    "create_model": "partita.models._registry",
    "list_models": "partita.models._registry",
    "register_model": "partita.models._registry",
    **{name: f"partita.models.{file}" for file, name in BUILT_IN.values()},
}

__all__ = [
    "BandSplit",
    "BlindNmf",
    "BsRoformer",
    "ComplexConfig",
    "ComplexModel",
    "ConvTasNet",
    "CrosstalkUnmix",
    "Demucs",
    "DemucsMultidecoder",
    "DemucsV3",
    "Hdemucs",
    "Hpss",
    "Htdemucs",
    "MagnitudeConfig",
    "MagnitudeModel",
    "MaskedScNet",
    "MelBandRoformer",
    "MmDenseLstm",
    "MmDenseNet",
    "ModelConfig",
    "Nmfd",
    "OpenUnmix",
    "Repet",
    "ScNet",
    "SeparationModel",
    "SoftmaxMaskConfig",
    "SoftmaxMaskModel",
    "SongFacts",
    "SpectrogramConfig",
    "SpectrogramModel",
    "TfcTdf",
    "TfcTdfV3",
    "UNet",
    "Window",
    "config_type",
    "create_model",
    "list_models",
    "register_model",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'partita.models' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return list(__all__)
