"""Models: one file a family, found through the registry.

Base classes for your own models: `SeparationModel` (waveforms), `SpectrogramModel` (magnitudes or
masks), `SoftmaxMaskModel` (softmax masks), `MagnitudeModel` (magnitudes and a Wiener filter),
`ComplexModel` (complex spectra). `register_model` gives a model its name. The rest of partita uses
only what `SeparationModel` defines.
"""

from partita.dsp.overlap_add import Window
from partita.models._complex_spectra import ComplexConfig, ComplexModel
from partita.models._magnitudes import MagnitudeConfig, MagnitudeModel
from partita.models._protocol import ModelConfig, SeparationModel, SongFacts
from partita.models._registry import config_type, create_model, list_models, register_model
from partita.models._softmax_masks import SoftmaxMaskConfig, SoftmaxMaskModel
from partita.models._spectrogram import SpectrogramConfig, SpectrogramModel
from partita.models.band_split import BandSplit
from partita.models.bs_roformer import BsRoformer
from partita.models.conv_tasnet import ConvTasNet
from partita.models.crosstalk_unmix import CrosstalkUnmix
from partita.models.demucs import Demucs
from partita.models.demucs_multidecoder import DemucsMultidecoder
from partita.models.demucs_v3 import DemucsV3
from partita.models.hdemucs import Hdemucs
from partita.models.hpss import Hpss
from partita.models.htdemucs import Htdemucs
from partita.models.mel_band_roformer import MelBandRoformer
from partita.models.mm_dense import MmDenseLstm, MmDenseNet
from partita.models.nmf import BlindNmf
from partita.models.nmfd import Nmfd
from partita.models.open_unmix import OpenUnmix
from partita.models.repet import Repet
from partita.models.scnet import MaskedScNet, ScNet
from partita.models.tfc_tdf import TfcTdf
from partita.models.tfc_tdf_v3 import TfcTdfV3
from partita.models.unet import UNet

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
