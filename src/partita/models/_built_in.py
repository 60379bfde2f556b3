"""The models that come with partita: a line for each."""

#: Name → file and class. Importing all files takes 0.1 s, so that each is imported when it is used.
BUILT_IN = {
    "band-split": ("band_split", "BandSplit"),
    "bs-roformer": ("bs_roformer", "BsRoformer"),
    "conv-tasnet": ("conv_tasnet", "ConvTasNet"),
    "crosstalk-unmix": ("crosstalk_unmix", "CrosstalkUnmix"),
    "demucs": ("demucs", "Demucs"),
    "demucs-multidecoder": ("demucs_multidecoder", "DemucsMultidecoder"),
    "demucs-v3": ("demucs_v3", "DemucsV3"),
    "hdemucs": ("hdemucs", "Hdemucs"),
    "hpss": ("hpss", "Hpss"),
    "htdemucs": ("htdemucs", "Htdemucs"),
    "mdx23c": ("tfc_tdf_v3", "TfcTdfV3"),
    "mel-band-roformer": ("mel_band_roformer", "MelBandRoformer"),
    "mmdenselstm": ("mm_dense", "MmDenseLstm"),
    "mmdensenet": ("mm_dense", "MmDenseNet"),
    "nmf": ("nmf", "BlindNmf"),
    "nmfd": ("nmfd", "Nmfd"),
    "open-unmix": ("open_unmix", "OpenUnmix"),
    "repet": ("repet", "Repet"),
    "scnet": ("scnet", "ScNet"),
    "scnet-masked": ("scnet", "MaskedScNet"),
    "tfc-tdf": ("tfc_tdf", "TfcTdf"),
    "unet": ("unet", "UNet"),
}
