"""Native Instruments' ``.stem.mp4``: a mixture and four stems in one file for DJ programs."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from partita.audio.encode import AvWriter
from partita.audio.formats import StemFormat
from partita.audio.mp4_boxes import read_box, set_user_data
from partita.audio.tag_writer import write_tags
from partita.audio.tags import Tags
from partita.errors import UsageError

Samples = npt.NDArray[np.float32]

STEM_COUNT = 4
#: Order in which DJ programs and readers of MUSDB18 expect the stems behind the mixture.
STEM_ORDER = ("drums", "bass", "other", "vocals")
#: Name of a missing stem, which is silent.
EMPTY = "empty"
_CHANNELS = 2
_COLORS = ("#009E73", "#D55E00", "#CC79A7", "#56B4E9")
#: Blocks that players require; both processors are off, so that stems are played unchanged.
_MASTERING = {
    "compressor": {
        "enabled": False,
        "ratio": 3,
        "output_gain": 0.5,
        "release": 0.3,
        "attack": 0.003,
        "input_gain": 0.5,
        "threshold": 0,
        "hp_cutoff": 300,
        "dry_wet": 50,
    },
    "limiter": {"enabled": False, "release": 0.05, "threshold": 0, "ceiling": -0.35},
}


def check_stem_count(count: int) -> None:
    """Raise `UsageError` if a ``.stem.mp4`` cannot hold so many stems."""
    if count > STEM_COUNT:
        raise UsageError(
            f".stem.mp4 holds {STEM_COUNT} stems, not {count}: choose some with `stems`"
        )


def stem_mp4_rate(sample_rate: int) -> int:
    """Return the sample rate of the file: 44100 or 48000, which the specification allows."""
    return 44100 if sample_rate % 11025 == 0 else 48000


def stem_streams(stems: Sequence[str]) -> dict[str, int]:
    """Return stem name → audio stream of the ``.stem.mp4`` that `encode_stem_mp4` writes.

    Drums, bass, other and vocals have the streams 1 to 4 in this order; other stems get the
    remaining streams.
    """
    streams = {stem: 1 + STEM_ORDER.index(stem) for stem in stems if stem in STEM_ORDER}
    free = [index for index in range(1, 1 + STEM_COUNT) if index not in streams.values()]
    others = [stem for stem in stems if stem not in STEM_ORDER]
    streams |= dict(zip(others, free, strict=False))
    return {stem: streams[stem] for stem in stems}


def encode_stem_mp4(
    path: Path,
    mixture: Iterable[Samples],
    stems: Mapping[str, Iterable[Samples]],
    form: StemFormat,
    *,
    sample_rate: int,
    tags: Tags,
) -> None:
    """Write mixture and stems as stereo streams and add the ``stem`` box, which players need.

    Parameters
    ----------
    path : Path
    mixture : iterable of ndarray ``[channels, samples]``
        Stream 0, which ordinary players play.
    stems : mapping of str to iterable of ndarray
        At most four, in the same blocks as the mixture, in the streams of `stem_streams`. Missing
        ones are silent, because players expect exactly four.
    form, tags
        See `partita.audio.encode.encode_file`; mono becomes stereo.
    sample_rate : int
        Converted to 44.1 or 48 kHz, `stem_mp4_rate`.
    """
    check_stem_count(len(stems))
    places = stem_streams(list(stems))
    names = [EMPTY] * STEM_COUNT
    for stem, index in places.items():
        names[index - 1] = stem
    rate, layouts = stem_mp4_rate(sample_rate), [_CHANNELS] * (1 + STEM_COUNT)
    writer = AvWriter(path, form, rate, layouts, ["mixture", *names])
    with contextlib.closing(writer):
        signals = [(0, mixture), *((places[stem], blocks) for stem, blocks in stems.items())]
        streams = [writer.convert(blocks, sample_rate, _CHANNELS) for _, blocks in signals]
        for blocks in zip(*streams, strict=True):
            found = {index: block for (index, _), block in zip(signals, blocks, strict=True)}
            silence = np.zeros_like(found[0])
            for index in range(1 + STEM_COUNT):
                writer.write(index, found.get(index, silence))
        writer.flush()
    set_user_data(path, {b"stem": _stem_box(names)})
    write_tags(path, form, writer.with_padding(tags))


def read_stem_names(path: Path) -> list[str] | None:
    """Return the names of the stems in the ``stem`` box.

    Returns
    -------
    list of str or None
        None: there is no valid box.

    Raises
    ------
    OSError
        The file cannot be read.
    """
    content = read_box(path, (b"moov", b"udta", b"stem"))
    try:
        stems = json.loads(content or b"")["stems"]
        return [str(stem["name"]).strip() for stem in stems]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None


def _stem_box(names: Sequence[str]) -> bytes:
    stems = [{"name": name, "color": color} for name, color in zip(names, _COLORS, strict=True)]
    content = {"mastering_dsp": _MASTERING, "version": 1, "stems": stems}
    return json.dumps(content).encode()
