"""Separation of an open file into stem files."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

from torch import Tensor

from partita.audio.formats import StemFormat
from partita.audio.reader import AudioReader
from partita.audio.sample_store import SampleStore
from partita.audio.stem_writer import StemWriter
from partita.separation.estimates import StemFiles
from partita.separation.stream import MixtureStream

#: Gets a block of the mixture ``[channels, samples]`` and of the stems ``[stems, …]``.
Watch = Callable[[Tensor, Tensor], None]

_T = TypeVar("_T")


def write_stems(
    stream: MixtureStream,
    reader: AudioReader,
    paths: Mapping[str, Path],
    form: StemFormat,
    *,
    root: Path,
    track: str,
    watches: Iterable[Watch] = (),
    cancel: threading.Event | None = None,
) -> StemFiles:
    """Separate an open file into stem files; memory does not grow with its length.

    The stereo field is measured over the whole song, so all of it is decoded before the first
    window; songs of one channel have none.

    Parameters
    ----------
    stream : MixtureStream
        For this song, not used yet.
    reader : AudioReader
    paths : mapping of str to Path
        Stem name → file; all appear when all are complete.
    form : StemFormat
    root : Path
        The output folder, which holds unfinished files in a hidden folder.
    track : str
        The title, if the song has none.
    watches : iterable of callable
        Get each block before it is written, in the order of the song, stems in that of `paths`.
    cancel : Event, optional
        Stops the separation with InterruptedError when set; no files are left.

    Raises
    ------
    AudioReadError, AudioWriteError
    """
    started = time.perf_counter()
    writer = StemWriter(
        paths,
        form,
        sample_rate=stream.out_rate,
        channels=stream.out_channels,
        tags={
            stem: reader.tags.for_stem("" if form.holds_all_stems else stem, track)
            for stem in paths
        },
        root=root,
        cancel=cancel,
    )
    with writer, SampleStore(root) as store:
        blocks = _until(cancel, reader.blocks())
        if stream.needs_measure:
            stream.measure(store.keep(blocks))
            blocks = store.blocks()
        with contextlib.closing(stream.separate(blocks)) as pairs:
            for mixture, stems in pairs:
                if cancel is not None and cancel.is_set():
                    raise InterruptedError
                for watch in watches:
                    watch(mixture, stems)
                writer.write(mixture.numpy(), stems.numpy())
        files = writer.finish()
    return StemFiles(
        stems=files,
        sample_rate=writer.file_rate,
        channels=writer.file_channels,
        duration_s=stream.done / stream.out_rate,
        null_depth_db=stream.null_depth_db,
        gain_db=writer.gain_db,
        elapsed_s=time.perf_counter() - started,
        warnings=tuple(reader.warnings),
    )


def _until(cancel: threading.Event | None, items: Iterable[_T]) -> Iterator[_T]:
    """Yield items; raise InterruptedError once cancelled."""
    for item in items:
        if cancel is not None and cancel.is_set():
            raise InterruptedError
        yield item
