"""A separation, as the process that separates does it."""

from __future__ import annotations

import contextlib
import logging
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from partita.errors import PartitaError, UsageError
from partita.serve.records import JobResult, StemRecord, finite
from partita.serve.worker import Report, in_peoples_words

if TYPE_CHECKING:
    from partita.mixing.tempo_key_meter import TempoKeyMeter
    from partita.separation.separator import Separator

_log = logging.getLogger(__name__)
_MOST_MODELS = 2  # in memory
_BLOCK_SAMPLES = 1 << 18
#: Stems as files: exact to 24 bits, and half the size of wav.
FORMAT, BITS = "flac", "24"
BYTES_PER_SAMPLE = 3


@dataclass(frozen=True)
class Separation:
    """A song to separate.

    Attributes
    ----------
    song : Path
    name : str
        The song's, for messages.
    folder : Path
        For the stems; made here.
    model : str
        Any name that `partita.Separator` takes.
    needs_tempo_key : bool
        Whether tempo, beats and key are estimated too, if their library is installed.
    """

    song: Path
    name: str
    folder: Path
    model: str
    needs_tempo_key: bool = True

    @property
    def names(self) -> dict[str, str]:
        """See `partita.serve.worker.Task`."""
        return {str(self.song): self.name}

    def run(self, memory: dict[str, Any], report: Report) -> JobResult:
        """Separate; the process keeps the models that were used last."""
        from partita.reports.page.audio import file_source
        from partita.serve.waveforms import waveform

        separator = _separator(self.model, memory.setdefault("separators", OrderedDict()), report)
        outcome = separator.separate(
            self.song,
            self.folder,
            filename="{stem}.{ext}",
            format=FORMAT,
            bits=BITS,
            keep_rate=True,
            overwrite=True,
            progress=lambda done_s, total_s: report(
                "writing" if done_s == total_s else "separating", done_s, total_s
            ),
        )
        assert outcome.files is not None
        stems = tuple(
            StemRecord(
                name=stem,
                file=path.name,
                size=path.stat().st_size,
                peaks=waveform(file_source(path))[0],
            )
            for stem, path in outcome.paths.items()
        )
        report("estimating", 0.0, None)
        gain = 10.0 ** (outcome.files.gain_db / 20.0)
        meter = _tempo_meter([*outcome.paths], outcome.files.sample_rate, self.needs_tempo_key)
        quality = _quality(self.song, outcome.paths, gain, self.model, meter)
        return JobResult(
            stems=stems,
            gain_db=outcome.files.gain_db,
            null_depth_db=finite(outcome.files.null_depth_db),
            elapsed_s=outcome.files.elapsed_s,
            warnings=tuple(in_peoples_words(self, each) for each in outcome.warnings),
            quality=quality,
            tempo_key=None if meter is None else meter.finish(),
        )


def _separator(name: str, kept: OrderedDict[str, Separator], report: Report) -> Separator:
    """Return the Separator of a model, whose weights are fetched if they are missing."""
    from partita.separation.separator import Separator  # which imports PyTorch
    from partita.weights.resolve import resolve
    from partita.weights.store import fetch

    if name not in kept:
        plan = resolve(name)
        for model in plan.models:
            if model.file is None and model.card.remote:
                fetch(model.card, progress=lambda done, of: report("fetching", done, of))
        report("loading", 0.0, None)
        while len(kept) >= _MOST_MODELS:
            kept.popitem(last=False)
        kept[name] = Separator(plan)
    kept.move_to_end(name)
    return kept[name]


def _tempo_meter(stems: list[str], sample_rate: int, is_needed: bool) -> TempoKeyMeter | None:
    from partita.mixing.tempo_key_meter import TempoKeyMeter

    try:
        return TempoKeyMeter(stems, sample_rate) if is_needed else None
    except UsageError as error:
        _log.info("%s", error)
        return None


def _quality(
    song: Path,
    stems: Mapping[str, Path],
    gain: float,
    model: str,
    tempo_meter: TempoKeyMeter | None,
) -> dict[str, Any] | None:
    """Return the report without references; None: it cannot be made. The stems are read once."""
    import torch

    from partita.audio.audio_reader import rechunk
    from partita.audio.reader import open_audio
    from partita.evaluation.quality.as_json import as_json
    from partita.evaluation.quality.estimate import estimate_quality
    from partita.evaluation.quality.meter import QualityMeter

    try:
        with contextlib.ExitStack() as stack:
            readers = [stack.enter_context(open_audio(path)) for path in (song, *stems.values())]
            meter = QualityMeter(list(stems), readers[0].sample_rate)
            signals = [rechunk(reader.blocks(), _BLOCK_SAMPLES) for reader in readers]
            for mixture, *parts in zip(*signals, strict=True):
                if tempo_meter is not None:
                    tempo_meter.add(np.stack(parts))
                estimates = torch.from_numpy(np.stack(parts) / np.float32(gain))
                meter.add(torch.from_numpy(mixture), estimates)
            return as_json(estimate_quality(meter.finish(), model))
    except (PartitaError, ValueError) as error:
        _log.warning("no report without references: %s", error)
        return None
