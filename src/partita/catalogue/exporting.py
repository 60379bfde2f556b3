"""All facts of a catalogue as a table: parquet, pyarrow, pandas."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from partita.catalogue.records import PlannedSong, SongRecord
from partita.catalogue.store import Manifest, record_facts
from partita.errors import UsageError, write_error
from partita.files import whole_file

if TYPE_CHECKING:
    import pyarrow

#: Columns of the plan that a record has too under another meaning.
_PLANNED = {"duration_s": "planned_duration_s", "version": "source_version"}
_LEFT_OUT = frozenset({"fingerprint", "fault", "fault_kind"})


def export(manifest: Manifest, path: Path) -> int:
    """Write one row for each planned song into a parquet file; return how many there are.

    Raises
    ------
    UsageError
        pyarrow is not installed.
    AudioWriteError
        The file cannot be written.
    """
    _, parquet = _pyarrow()
    count = 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with (
            whole_file(path) as partial,
            parquet.ParquetWriter(partial, schema()) as writer,
        ):
            for batch in batches(manifest):
                writer.write_batch(batch)
                count += batch.num_rows
    except OSError as error:
        raise write_error(path, error) from error
    return count


def table(manifest: Manifest) -> pyarrow.Table:
    """Return one row for each planned song; ``.to_pandas()`` makes a data frame of it."""
    arrow, _ = _pyarrow()
    return arrow.Table.from_batches(batches(manifest), schema())


def batches(manifest: Manifest) -> Iterator[pyarrow.RecordBatch]:
    """Yield the rows of one file of the plan after another; one is in memory."""
    arrow, _ = _pyarrow()
    for number in range(manifest.header().shards):
        records = {record.id: record for record in manifest.records(shards=(number,))}
        rows = [_row(song, records.get(song.id)) for song in manifest.shard(number)]
        yield arrow.RecordBatch.from_pylist(rows, schema())


def schema() -> pyarrow.Schema:
    """Return the columns.

    Lengths are in seconds, sizes in bytes. ``null_depth_db`` is ``-inf`` for an exact sum and null
    where none was measured; ``stems`` is a list of structures, one for each stem.
    """
    arrow, _ = _pyarrow()
    text, whole, real = arrow.string(), arrow.int64(), arrow.float64()
    stem = arrow.struct(
        [
            *(("stem", text), ("address", text), ("size", whole), ("sha256", text)),
            *(("samples", whole), ("stream", whole), ("sdr_db", real)),
        ]
    )
    return arrow.schema(
        [
            *(("id", text), ("address", text), ("track", text), ("size", whole)),
            *(("source_version", text), ("planned_duration_s", real), ("duplicate_of", text)),
            *(("shard", whole), ("outcome", text), ("attempt", whole), ("kind", text)),
            *(("cause", text), ("stems", arrow.list_(stem)), ("sample_rate", whole)),
            *(("channels", whole), ("duration_s", real), ("null_depth_db", real)),
            *(("gain_db", real), ("suspects", whole), ("warnings", arrow.list_(text))),
            *(("started", text), ("elapsed_s", real), ("separating_s", real), ("worker", text)),
            *(("version", text), ("model", text), ("weights", text), ("licence", text)),
            ("commercial_use", arrow.bool_()),
        ]
    )


def _row(song: PlannedSong, record: SongRecord | None) -> dict[str, Any]:
    facts = {
        _PLANNED.get(name, name): value
        for name, value in vars(song).items()
        if name not in _LEFT_OUT
    }
    if record is None:
        return {**facts, "outcome": "planned"}
    made = record_facts(record)
    stems = [{"stem": stem, **each} for stem, each in made["stems"].items()]
    return {**facts, **made, "stems": stems, "null_depth_db": record.null_depth_db}


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError as error:
        raise UsageError('tables need pyarrow: pip install "partita[catalogue]"') from error
    return pyarrow, pyarrow.parquet
