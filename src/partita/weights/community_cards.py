"""Cards of checkpoints that the community trained and published for MSST.

Sizes and SHA-256 are from published lists (the registry of `splifft` 0.0.9 and the catalogue of
`pymss` 2.1.12, which agree), settings from the YAML files that came with the checkpoints; with
these, each network has the size of its file. This project never fetched or ran them. Licences are
unknown unless the owner states one.
"""

from __future__ import annotations

from typing import Any

from partita.weights.card import Card, UrlFile, UrlSource

_HUB = "https://huggingface.co"
_UVR = "https://github.com/TRvlvr/model_repo/releases/download/all_public_uvr_models"
_MSST = "https://github.com/ZFTurbo/Music-Source-Separation-Training/releases/download"
#: A mirror of most files, under the names of `pymss`.
_PYMSS = f"{_HUB}/baicai1145/pymss/resolve/main"

_BS_PAPER = "Lu, Wang, Kong & Hung, Music source separation with band-split RoPE transformer, 2023"
_MEL_PAPER = "Wang, Lu & Won, Mel-Band RoFormer for music source separation, 2023"
_MDX23C_PAPER = "Kim, Lee & Jung, Sound Demixing Challenge 2023: TFC-TDF-UNet v3, 2023"
_SCNET_PAPER = "Tong et al., SCNet: sparse compression network for music source separation, 2024"
_UNTRIED = (
    "never fetched or run by this project: address, size, hash and settings are those of published "
    "lists"
)
_RATE = 44_100
_KARAOKE = "mel_band_roformer_karaoke_aufr33_viperx_sdr_10.1956.ckpt"
_DRUMSEP = "aufr33-jarredou_DrumSep_model_mdx23c_ep_141_sdr_10.8059.ckpt"


def _windows(samples: int) -> dict[str, int]:
    """Return window settings of a RoFormer: windows overlap by half."""
    return {"segment_samples": samples, "overlap_samples": samples // 2}


def _card(model: str, name: str, size: int, sha256: str, *urls: str, **facts: Any) -> Card:
    """Return the card of one file with several addresses."""
    sources = (UrlSource({"all": UrlFile(url, sha256, size)}, "msst") for url in urls)
    facts = {"trained_on": "not stated", "caution": _UNTRIED, **facts}
    return Card(name=name, model=model, remote=tuple(sources), download_bytes=size, **facts)


def _bs_roformer(*file: Any, settings: dict[str, Any], **facts: Any) -> Card:
    return _card("bs-roformer", *file, config=settings, paper=_BS_PAPER, **facts)


def _mel_roformer(*file: Any, settings: dict[str, Any], **facts: Any) -> Card:
    """Return the card of a network of the same size as Kim Jensen's."""
    usual = {"hop_samples": 441, "bands_rate": _RATE, "residual": True}
    settings = {**usual, **_windows(352_800), **settings}
    return _card("mel-band-roformer", *file, config=settings, paper=_MEL_PAPER, **facts)


def _mdx23c(*file: Any, settings: dict[str, Any], **facts: Any) -> Card:
    settings = {"segment_s": 261_120 / _RATE, "overlap": 0.5, **settings}
    return _card("mdx23c", *file, config=settings, paper=_MDX23C_PAPER, **facts)


COMMUNITY_CARDS = (
    _bs_roformer(
        "bs-roformer-viperx",
        639_331_213,
        "5b84f37e8d444c8cb30c79d77f613a41c05868ff9c9ac6c7049c00aefae115aa",
        f"{_UVR}/model_bs_roformer_ep_317_sdr_12.9755.ckpt",
        f"{_PYMSS}/vocal/vocal_extraction/model_bs_roformer_ep_317_sdr_12.9755.ckpt",
        summary="vocals and the rest, by viperx (epoch 317)",
        settings={
            "sources": ["vocals", "accompaniment"],
            "residual": True,
            "features": 512,
            "layers": 12,
            "hop_samples": 441,
            **_windows(352_800),
        },
    ),
    _bs_roformer(
        "bs-roformer-resurrection",
        204_510_749,
        "9dbfe5cb572e4ed32a15ec727d7bd06c8d7aba97509e6fda5bc008bb1e0b2dd5",
        f"{_HUB}/pcunwa/BS-Roformer-Resurrection/resolve/main/BS-Roformer-Resurrection.ckpt",
        f"{_PYMSS}/vocal/vocal_extraction/BS-Roformer-Resurrection.ckpt",
        summary="vocals and the rest, by unwa; the smallest of its kind",
        settings={
            "sources": ["vocals", "accompaniment"],
            "residual": True,
            "features": 256,
            "layers": 12,
            **_windows(785_920),
        },
    ),
    _mel_roformer(
        "mel-roformer-kim",
        913_106_900,
        "87201f4d31afb5bc79993230fc49446918425574db48c01c405e44f365c7559e",
        f"{_HUB}/KimberleyJSN/melbandroformer/resolve/main/MelBandRoformer.ckpt",
        f"{_PYMSS}/vocal/vocal_extraction/Kim_MelBandRoformer.ckpt",
        summary="vocals and the rest, by Kimberley Jensen",
        settings={"sources": ["vocals", "accompaniment"]},
        licence="MIT",
        licence_evidence="the card of its author's repository, as other projects record it; its "
        "training data are not stated, so commercial use is not clear",
    ),
    _mel_roformer(
        "mel-roformer-inst-v1e",
        913_102_724,
        "df2bcdb8838b88264f5381dbb0ccd84a9926c9775cf548c34d8846f5cd20fe96",
        f"{_HUB}/pcunwa/Mel-Band-Roformer-Inst/resolve/main/inst_v1e.ckpt",
        f"{_PYMSS}/vocal/vocal_instrumental_dual/inst_v1e.ckpt",
        summary="accompaniment and the rest (vocals), by unwa",
        settings={"sources": ["accompaniment", "vocals"], **_windows(485_100)},
    ),
    _mdx23c(
        "mdx23c-inst-voc",
        448_101_203,
        "49d51472769e34a2501cd1da782346a3212555c3a5619fc2c53507445528d816",
        f"{_UVR}/MDX23C-8KFFT-InstVoc_HQ.ckpt",
        f"{_MSST}/v1.0.0/model_vocals_mdx23c_sdr_10.17.ckpt",
        f"{_PYMSS}/vocal/vocal_instrumental_dual/MDX23C-8KFFT-InstVoc_HQ.ckpt",
        summary="vocals and accompaniment, both estimated (InstVoc HQ)",
        settings={"sources": ["vocals", "accompaniment"]},
    ),
    _card(
        "scnet",
        "scnet-xl-ihf",
        214_063_778,
        "ac25975f0f5704f3d1a3c3c251505b7a0f417a22eafe82773440ee4f7e14b74f",
        f"{_MSST}/v1.0.15/model_scnet_ep_36_sdr_10.0891.ckpt",
        f"{_PYMSS}/music_stems/four_stem/model_scnet_ep_36_sdr_10.0891.ckpt",
        summary="four stems, by Roman Solovyev (ZFTurbo)",
        config={
            "sources": ["drums", "bass", "other", "vocals"],
            "widths": [64, 128, 256],
            "band_shares": [0.23, 0.37],
            "strides": [1, 4, 4],
            "kernels": [3, 4, 4],
            "convolutions": [3, 3, 3],
            "dual_layers": 8,
            "overlap": 0.5,
        },
        licence_evidence="published beside MIT code; no licence of the weights is stated",
        trained_on="MUSDB18-HQ, judging by the names of its files",
        paper=_SCNET_PAPER,
    ),
    _bs_roformer(
        "bs-roformer-sw",
        699_412_152,
        "24e7d35ee9c64415673d3fd33e06a67cac2c103c5df6267ba1576459c775916e",
        f"{_HUB}/enerjazzer/BS-ROFO-SW-Fixed/resolve/main/BS-Rofo-SW-Fixed.ckpt",
        f"{_HUB}/Blakus/bs_roformer_sw_6stem/resolve/main/BS-Rofo-SW-Fixed.ckpt",
        f"{_PYMSS}/music_stems/six_stem/BS-Roformer-SW.ckpt",
        summary="six stems, with guitar and piano; author unknown",
        settings={
            "sources": ["bass", "drums", "other", "vocals", "guitar", "piano"],
            "features": 256,
            "layers": 12,
            **_windows(588_800),
        },
        licence_evidence="copies of a deleted repository, which contradict each other "
        "(unknown, MIT)",
    ),
    _mdx23c(
        "mdx23c-drumsep",
        437_652_699,
        "d2a4aa53eb584d21eead358a4e66d1882ad182911be018f052b5da73be9096d0",
        f"https://github.com/openmirlab/mdxnet-infer/releases/download/weights-drumsep-v1/{_DRUMSEP}",
        f"{_HUB}/Sucial/MSST-WebUI/resolve/main/All_Models/multi_stem_models/{_DRUMSEP}",
        f"{_PYMSS}/music_stems/drum_stems/MDX23C-DrumSep-aufr33-jarredou.ckpt",
        summary="kick, snare, toms, hats, ride, crash of a drum stem, by aufr33 and jarredou",
        settings={
            "sources": ["kick", "snare", "toms", "hats", "ride", "crash"],
            "fft_samples": 2048,
            "hop_samples": 512,
            "bins": 1024,
            "segment_s": 130_560 / _RATE,
        },
        input_stem="drums",
    ),
    _mel_roformer(
        "mel-roformer-karaoke",
        913_096_801,
        "1de20d459332fe8869aeb01327a31df0032262706e1365114e852dc271779813",
        f"{_UVR}/{_KARAOKE}",
        f"{_PYMSS}/karaoke/model_{_KARAOKE}",
        summary="lead vocals; backing vocals stay in the accompaniment; by aufr33 and viperx",
        settings={"sources": ["lead_vocals", "accompaniment"]},
    ),
    _bs_roformer(
        "bs-roformer-karaoke",
        204_486_925,
        "206d04757cb5f75ca3b55f8a0a48f5c26aa2351d4ff3c7adbfc9affa30ea3ae4",
        f"{_HUB}/anvuew/karaoke_bs_roformer/resolve/main/karaoke_bs_roformer_anvuew.ckpt",
        f"{_PYMSS}/karaoke/bs_roformer_karaoke_anvuew.ckpt",
        summary="lead vocals; backing vocals stay in the accompaniment; by anvuew; small",
        settings={
            "sources": ["lead_vocals", "accompaniment"],
            "residual": True,
            "features": 256,
            "layers": 12,
            **_windows(640_000),
        },
    ),
    _bs_roformer(
        "bs-roformer-male-female",
        527_119_779,
        "3cf11736d1b42a11ae55d8299316585921477dd2a671b24b663660846ca9861b",
        f"{_HUB}/RareSirMix/AIModelRehosting/resolve/main/"
        "bs_roformer_male_female_by_aufr33_sdr_7.2889.ckpt",
        f"{_PYMSS}/vocal/vocal_gender_chorus/bs_roformer_male_female_by_aufr33_sdr_7.2889.ckpt",
        summary="male and female voices of a vocal stem, by aufr33",
        settings={
            "sources": ["male", "female"],
            "layers": 8,
            "hop_samples": 441,
            **_windows(352_800),
        },
        input_stem="vocals",
    ),
    _mel_roformer(
        "mel-roformer-dereverb",
        913_107_578,
        "9262877b87e9ebb0fb808a456b0a411fa677f5df31c8383c1254af531c078970",
        f"{_HUB}/anvuew/dereverb_mel_band_roformer/resolve/main/"
        "dereverb_mel_band_roformer_anvuew_sdr_19.1729.ckpt",
        f"{_PYMSS}/reverb_echo_control/dereverb/dereverb_mel_band_roformer_anvuew_sdr_19.1729.ckpt",
        summary="removes reverberation from vocals, by anvuew",
        settings={"sources": ["dry", "reverb"]},
        input_stem="vocals",
    ),
    _mdx23c(
        "mdx23c-dereverb",
        448_098_867,
        "eae2471b707758d74db38ac1b1d5800e12f57c4e9d1ebbb2faf004b8e086e914",
        f"{_HUB}/jarredou/aufr33_jarredou_MDXv3_DeReverb/resolve/main/"
        "dereverb_mdx23c_sdr_6.9096.ckpt",
        f"{_PYMSS}/reverb_echo_control/dereverb/MDX23C-De-Reverb-aufr33-jarredou.ckpt",
        summary="removes reverberation from vocals, by aufr33 and jarredou",
        settings={"sources": ["dry", "reverb"]},
        input_stem="vocals",
    ),
    _mel_roformer(
        "mel-roformer-denoise",
        913_097_300,
        "7c1c39191edc34e942ca7f2346ce6b6c0e1208a5f76349ffce6f696bd12910de",
        f"{_HUB}/poiqazwsx/melband-roformer-denoise/resolve/main/"
        "denoise_mel_band_roformer_aufr33_sdr_27.9959.ckpt",
        f"{_PYMSS}/cleanup/noise_bleed_control/denoise_mel_band_roformer_aufr33_sdr_27.9959.ckpt",
        summary="removes noise, by aufr33",
        settings={"sources": ["dry", "noise"]},
    ),
)
