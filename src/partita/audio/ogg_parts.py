"""Positions and lengths of the links of chained Ogg files, even if their headers are damaged."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from partita.audio.ogg_pages import is_whole, with_serial
from partita.audio.slices import FilePart

_MARK = b"OggS\x00"
_CODECS = (b"\x01vorbis", b"OpusHead", b"\x7fFLAC", b"Speex   ")
#: Codecs whose frames can be decoded with another link's header.
_SELF_CONTAINED = (b"OpusHead", b"\x7fFLAC")
#: Longer pages are damaged, unless their checksum is right.
_MAX_PAGE_S = 60
_OPUS_RATE = 48_000
#: Larger headers contain pictures.
_MAX_HEADER_BYTES = 1 << 20


class _Page(NamedTuple):
    at: int
    is_first: bool
    is_last: bool
    samples: int
    serial: int
    number: int
    body: int
    end: int


@dataclass
class _Link:
    """One link: its offset, its stream, and where its sound begins and ends."""

    start: int
    serials: set[int] = field(default_factory=set)
    codec: bytes = b""
    rate: int = 0
    padding: int = 0
    samples: int = 0
    first_samples: int = 0
    number: int = -1
    sound_at: int = 0
    sound_end: int = 0
    end: int = 0
    is_ended: bool = False

    @property
    def is_multiplexed(self) -> bool:
        """Whether there are other streams, so that page numbers and lengths are ambiguous."""
        return len(self.serials) > 1

    def goes_on_with(self, page: _Page) -> bool:
        """Return whether a page is the next one."""
        if self.is_multiplexed:
            return True
        return page.serial in self.serials and page.number == self.number + 1 and not self.is_ended

    def may_hold(self, page: _Page) -> bool:
        """Return whether a page may be a later one."""
        is_later = page.number > self.number and page.samples >= self.samples
        return page.serial in self.serials and is_later and not self.is_ended


def ogg_parts(data: mmap.mmap) -> list[FilePart]:
    """Return the links of an Ogg file.

    Links begin at the first page of a stream. If that page is damaged, they begin at pages with
    another serial number, or whose numbers restart. Links with damaged headers get those of a
    neighbour, if the codec's frames need no particular header or the serial numbers are the same.

    Parameters
    ----------
    data : mmap
        The whole file.
    """
    links = _links(data)
    if len(links) == 1:
        return [FilePart(0)]
    sound = [link for link in links if link.samples and not link.is_multiplexed]
    sound_bytes = sum(link.end - link.sound_at for link in sound)
    bytes_a_sample = sound_bytes / max(1, sum(link.samples for link in sound))
    parts: list[FilePart] = []
    for index, link in enumerate(links):
        following = links[index + 1] if index + 1 < len(links) else None
        end = following.start if following else None
        if link.is_multiplexed:
            parts.append(FilePart(link.start, end))
            continue
        others = [each for each in (*links[:index][::-1], *links[index + 1 :]) if each.codec]
        model = link if link.codec else next(iter(others), link)
        lost = 0
        if following is not None and bytes_a_sample:
            lost = round(_lost_bytes(link, following, model, bytes_a_sample) / bytes_a_sample)
        own = max(0, link.samples - model.padding)
        # Bytes between the last page and the next link were sound of this link or of another.
        samples = own if link.is_ended else own + lost
        part = FilePart(link.start, end, length_s=samples / model.rate if model.rate else None)
        if link.sound_at and not (link.codec and _has_whole_header(data, link)):
            helper = next((each for each in others if _may_help(data, each, link)), None)
            if helper is not None:
                header = data[helper.start : helper.sound_at]
                prefix = with_serial(header, next(iter(link.serials)))
                part = replace(part, start=link.sound_at, prefix=prefix)
        parts.append(part)
        if link.is_ended and lost and model.rate:
            parts[-1] = replace(part, end=link.end)
            parts.append(FilePart(link.end, end, length_s=lost / model.rate))
    return parts


def _lost_bytes(link: _Link, following: _Link, model: _Link, bytes_a_sample: float) -> float:
    """Return how many bytes of sound are missing behind a link and belong to no other link."""
    lost: float = following.start - link.end
    header = model.sound_at - model.start
    if following.codec:
        return max(0.0, lost - header) if link.is_ended else lost
    if link.is_ended:
        return 0.0
    # Lost of the next link: its header, and sound that its first page counts.
    header -= following.sound_at - following.start
    begins = following.first_samples * bytes_a_sample
    begins -= following.sound_end - following.sound_at
    is_in_sound = following.sound_at == following.start
    return max(0.0, lost - header - (max(0.0, begins) if is_in_sound else 0.0))


def _links(data: mmap.mmap) -> list[_Link]:
    links = [_Link(0)]
    for page in _pages(data):
        link = links[-1]
        is_beginning = not link.sound_at or _begins_stream(data, page)
        if page.is_first and is_beginning and is_whole(data[page.at : page.end]):
            if link.sound_at:
                link = _Link(page.at)
                links.append(link)
            link.serials.add(page.serial)
            _read_codec(data, page, link)
        elif page.is_first:
            continue
        elif not link.goes_on_with(page):
            if not is_whole(data[page.at : page.end]):
                continue
            if link.sound_at and not link.may_hold(page):
                link = _Link(page.at)
                links.append(link)
            link.serials.add(page.serial)
        link.number, link.end = page.number, page.end
        link.is_ended = page.is_last and not link.is_multiplexed
        if not page.is_first and not link.sound_at and page.samples:
            link.sound_at, link.sound_end = page.at, page.end
            link.first_samples = page.samples
        _count(data, page, link)
    return links


def _pages(data: mmap.mmap) -> Iterator[_Page]:
    at = 0
    while 0 <= at < len(data) - 27:
        if data[at : at + 5] != _MARK:
            at = data.find(_MARK, at + 1)
            continue
        head = data[at : at + 27]
        body = at + 27 + head[26]
        end = body + sum(data[at + 27 : body])
        samples = int.from_bytes(head[6:14], "little", signed=True)
        serial, number = (int.from_bytes(head[k : k + 4], "little") for k in (14, 18))
        yield _Page(at, bool(head[5] & 2), bool(head[5] & 4), samples, serial, number, body, end)
        at = end


def _begins_stream(data: mmap.mmap, page: _Page) -> bool:
    is_numbered = page.samples == 0 == page.number
    return is_numbered and data[page.body : page.body + 8].startswith(_CODECS)


def _read_codec(data: mmap.mmap, page: _Page, link: _Link) -> None:
    packet = data[page.body : page.end]
    codec = next((mark for mark in _CODECS if packet.startswith(mark)), b"")
    if not codec:
        return
    link.codec = codec
    if codec == b"\x01vorbis":
        link.rate = int.from_bytes(packet[12:16], "little")
    elif codec == b"OpusHead":
        link.rate, link.padding = _OPUS_RATE, int.from_bytes(packet[10:12], "little")
    elif codec == b"Speex   ":
        link.rate = int.from_bytes(packet[36:40], "little")
    else:
        link.rate = int.from_bytes(packet[27:30], "big") >> 4


def _count(data: mmap.mmap, page: _Page, link: _Link) -> None:
    """Record where the sound of a page ends."""
    added = page.samples - link.samples
    most = _MAX_PAGE_S * (link.rate or _OPUS_RATE)
    if added > 0 and (added <= most or is_whole(data[page.at : page.end])):
        link.samples = page.samples


def _has_whole_header(data: mmap.mmap, link: _Link) -> bool:
    at = link.start
    while at < link.sound_at:
        table = data[at + 27 : at + 27 + data[at + 26]]
        end = at + 27 + len(table) + sum(table)
        if data[at : at + 5] != _MARK or not is_whole(data[at:end]):
            return False
        at = end
    return at == link.sound_at


def _may_help(data: mmap.mmap, helper: _Link, link: _Link) -> bool:
    """Return whether a link's header can replace another's."""
    is_safe = helper.codec in _SELF_CONTAINED or helper.serials == link.serials
    is_sized = 0 < helper.sound_at - helper.start <= _MAX_HEADER_BYTES
    return is_safe and is_sized and not helper.is_multiplexed and _has_whole_header(data, helper)
