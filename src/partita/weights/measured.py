"""Scores and memory that this project measured, for all cards on the same songs by one command.

docs/research/results.md has the songs, the commands and every figure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

#: Five of Music Delta (three are mono) and two of the CC0 album, which are never trained on.
SONGS = (
    *("music-delta-britpop", "music-delta-country1", "music-delta-reggae"),
    *("music-delta-rockabilly", "music-delta-zeppelin", "eif-3-sodium", "eif-6-caesium"),
)
CONVENTION = "BSS Eval v4 (museval), median over windows of 1 s, then over songs, dB"
MAY_BE_TRAINING_SONGS = "probably trained on five of the songs: optimistic"
USED_FOR_SELECTION = "two of the songs were used to select its weights: slightly optimistic"


@dataclass(frozen=True)
class Measured:
    """Scores of one card.

    Attributes
    ----------
    sdr : mapping of str to float
        Source → SDR of BSS Eval v4, median over windows of a second, then over songs, in dB. All
        sources were scored together.
    usdr : mapping of str to float
        Source → SDR of whole songs, median over songs, in dB.
    two_stems : mapping of str to float
        The same SDR of ``vocals`` and ``accompaniment``, scored together without other stems.
    null_depth_db : float or None
        Level of mixture minus sum of stems, relative to the mixture; maximum over songs.
    caveat : str
        Why the scores are optimistic; empty: no song was used for training or selection.
    """

    sdr: Mapping[str, float]
    usdr: Mapping[str, float]
    two_stems: Mapping[str, float] = field(default_factory=dict)
    null_depth_db: float | None = None
    caveat: str = ""


MEASURED: Mapping[str, Measured] = {
    "four-stems": Measured(
        {"vocals": 4.43, "drums": 5.10, "bass": 3.61, "other": 5.73},
        {"vocals": 4.49, "drums": 4.83, "bass": 4.81, "other": 5.19},
        {"vocals": 4.14, "accompaniment": 12.53},
        -92.9,
        USED_FOR_SELECTION,
    ),
    "htdemucs": Measured(
        {"vocals": 6.70, "drums": 7.70, "bass": 8.42, "other": 7.48},
        {"vocals": 7.49, "drums": 7.65, "bass": 9.00, "other": 6.62},
        {"vocals": 6.66, "accompaniment": 15.29},
        -28.2,
        MAY_BE_TRAINING_SONGS,
    ),
    "spleeter-2stems": Measured(
        {"vocals": 4.12, "accompaniment": 12.75},
        {"vocals": 4.54, "accompaniment": 12.94},
        {"vocals": 4.12, "accompaniment": 12.75},
        -92.9,
    ),
    "repet": Measured(
        {"vocals": -2.54, "accompaniment": 4.10},
        {"vocals": -1.61, "accompaniment": 3.95},
        {"vocals": -2.54, "accompaniment": 4.10},
        -92.9,
    ),
    "nmfd": Measured(
        {"vocals": 1.98, "drums": 2.29, "bass": -1.85, "other": 2.21},
        {"vocals": 1.58, "drums": 2.36, "bass": 0.45, "other": 1.78},
        {"vocals": 1.92, "accompaniment": 8.36},
        -92.9,
    ),
    "nmfd-paper": Measured(
        {"vocals": 0.11, "drums": -0.50, "bass": -3.78, "other": -0.04},
        {"vocals": 0.10, "drums": -0.88, "bass": -2.15, "other": -0.52},
    ),
    "nmfd-paper-mono": Measured(
        {"vocals": -0.67, "drums": 0.02, "bass": -1.75, "other": 0.10},
        {"vocals": -2.26, "drums": 0.04, "bass": -1.77, "other": -0.08},
    ),
}
#: Peak memory of a `partita separate` process in GB on two cores: `benchmarks/speeds.py --memory`,
#: for weights of servers with random ones. Models that see whole tracks (REPET, blind NMF) are
#: missing: their memory grows with the song.
MEMORY_GB: Mapping[str, float] = {
    "four-stems": 1.2,
    "accompaniment-stems": 0.7,
    "spleeter-2stems": 0.8,
    "umxhq": 1.2,
    "umx": 1.2,
    "umxl": 1.6,
    "umxse": 0.4,
    "htdemucs": 1.7,
    "htdemucs_ft": 2.5,
    "htdemucs_6s": 1.6,
    "hdemucs_mmi": 4.0,
    "demucs": 3.5,
    "demucs48_hq": 2.7,
    "demucs_extra": 3.5,
    "mdx": 6.2,
    "mdx_extra": 9.5,
    "mdx_q": 6.2,
    "mdx_extra_q": 9.5,
    "repro_mdx_a": 9.9,
    "repro_mdx_a_time_only": 8.4,
    "repro_mdx_a_hybrid_only": 8.1,
    "tasnet": 1.7,
    "tasnet_extra": 1.7,
    "scnet-xl-ihf": 2.7,
    "mel-roformer-karaoke": 2.6,
    "bs-roformer-karaoke": 3.4,
    "mel-roformer-kim": 2.7,
    "mel-roformer-inst-v1e": 3.0,
    "mel-roformer-dereverb": 2.7,
    "mel-roformer-denoise": 2.7,
    "bs-roformer-viperx": 4.1,
    "bs-roformer-resurrection": 4.1,
    "bs-roformer-sw": 3.6,
    "bs-roformer-male-female": 2.5,
    "mdx23c-drumsep": 1.9,
    "mdx23c-dereverb": 3.7,
    "mdx23c-inst-voc": 3.7,
    "hpss": 0.8,
    "nmfd": 1.4,
    "nmfd-paper": 1.4,
    "nmfd-paper-mono": 1.4,
    "nmfd-drums": 1.3,
}
