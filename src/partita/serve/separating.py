"""A separation, as the process that separates does it."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from partita.child_process import Reporter
from partita.errors import PartitaError, UsageError
from partita.reports.page.audio import PeakMeter
from partita.serve.records import JobResult, StemRecord, finite
from partita.serve.waveforms import waveform
from partita.serve.worker import in_peoples_words
from partita.stem_names import file_names

if TYPE_CHECKING:
    from torch import Tensor

    from partita.mixing.tempo_key_meter import TempoKeyMeter
    from partita.separation.separator import Separator

_log = logging.getLogger(__name__)
_MOST_MODELS = 2  # in memory
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

    def run(self, report: Reporter) -> JobResult:
        """Separate; the process keeps the models that were used last."""
        from partita.audio.formats import stem_format
        from partita.audio.reader import open_audio
        from partita.separation.stem_files import write_stems

        separator = _separator(self.model, report)
        stems = list(separator.stems)
        names = file_names(stems)
        with open_audio(self.song) as reader:
            stream = separator.mixture_stream(
                reader,
                keep_rate=True,
                progress=lambda done_s, total_s: report.progress(
                    done_s, total_s, "writing" if done_s == total_s else "separating"
                ),
            )
            measures = _Measures(stems, stream.out_rate)
            if self.needs_tempo_key:
                measures.tempo = _tempo_meter(stems, stream.out_rate)
            files = write_stems(
                stream,
                reader,
                {stem: self.folder / f"{names[stem]}.{FORMAT}" for stem in stems},
                stem_format(FORMAT, BITS),
                root=self.folder,
                track=self.name,
                watches=[measures.add],
            )
        report.progress(0.0, None, "estimating")
        gain = 10.0 ** (files.gain_db / 20.0)
        return JobResult(
            stems=tuple(
                StemRecord(
                    name=stem,
                    file=path.name,
                    size=path.stat().st_size,
                    peaks=waveform(np.float32(gain) * measures.peaks[stem].peaks()),
                )
                for stem, path in files.stems.items()
            ),
            gain_db=files.gain_db,
            null_depth_db=finite(files.null_depth_db),
            elapsed_s=files.elapsed_s,
            warnings=tuple(in_peoples_words(self.names, each) for each in files.warnings),
            quality=measures.quality_of(self.model),
            tempo_key=None if measures.tempo is None else measures.tempo.finish(),
        )


class _Measures:
    """What is measured of a song and its stems while they are separated."""

    def __init__(self, stems: Sequence[str], sample_rate: int) -> None:
        from partita.evaluation.quality.meter import QualityMeter

        self._quality = QualityMeter(stems, sample_rate)
        self.peaks = {stem: PeakMeter(sample_rate) for stem in stems}
        self.tempo: TempoKeyMeter | None = None

    def add(self, mixture: Tensor, stems: Tensor) -> None:
        self._quality.add(mixture, stems)
        for meter, stem in zip(self.peaks.values(), stems.numpy(), strict=True):
            meter.add(stem)
        if self.tempo is not None:
            self.tempo.add(stems.numpy())

    def quality_of(self, model: str) -> dict[str, Any] | None:
        """Return the report without references; None: it cannot be made."""
        from partita.evaluation.quality.as_json import as_json
        from partita.evaluation.quality.estimate import estimate_quality

        try:
            return as_json(estimate_quality(self._quality.finish(), model))
        except (PartitaError, ValueError) as error:
            _log.warning("no report without references: %s", error)
            return None


def _separator(name: str, report: Reporter) -> Separator:
    """Return the Separator of a model, whose weights are fetched if they are missing."""
    from partita.separation.separator import Separator  # which imports PyTorch
    from partita.weights.resolve import resolve
    from partita.weights.store import fetch

    kept: OrderedDict[str, Separator] = report.memory.setdefault("separators", OrderedDict())
    if name not in kept:
        plan = resolve(name)
        for model in plan.models:
            if model.file is None and model.card.remote:
                fetch(model.card, progress=lambda done, of: report.progress(done, of, "fetching"))
        report.progress(0.0, None, "loading")
        while len(kept) >= _MOST_MODELS:
            kept.popitem(last=False)
        kept[name] = Separator(plan)
    kept.move_to_end(name)
    return kept[name]


def _tempo_meter(stems: Sequence[str], sample_rate: int) -> TempoKeyMeter | None:
    """Return what estimates tempo, beats and key; None: its library is not installed."""
    from partita.mixing.tempo_key_meter import TempoKeyMeter

    try:
        return TempoKeyMeter(stems, sample_rate)
    except UsageError as error:
        _log.info("%s", error)
        return None
