"""Names of tags: ours, and those of each file format."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

#: Separates several values of a tag.
SEPARATOR = "\0"
#: iTunes' statement of where the sound begins and how long it is, without the codec's padding.
GAPLESS = "itunsmpb"


@dataclass(frozen=True)
class TagName:
    """One kind of tag.

    Attributes
    ----------
    name : str
        Our name; FFmpeg's if it has one.
    id3 : str
        Frame of ID3v2.4; empty: TXXX with the Vorbis name.
    vorbis : str
        Field of Vorbis comments (flac, ogg, opus).
    mp4 : str
        Atom of iTunes' list; longer names are those of free-form atoms, for which an empty one
        stands for the Vorbis name.
    riff : str
        Chunk of RIFF's INFO list; empty: in the wav file's ID3 chunk only.
    aliases : tuple of str
        Other names.
    """

    name: str
    id3: str = ""
    vorbis: str = ""
    mp4: str = ""
    riff: str = ""
    aliases: tuple[str, ...] = ()


_NAMES = (
    TagName("title", "TIT2", "TITLE", "©nam", "INAM"),
    TagName("artist", "TPE1", "ARTIST", "©ART", "IART", ("author",)),
    TagName("album", "TALB", "ALBUM", "©alb", "IPRD"),
    TagName("album_artist", "TPE2", "ALBUMARTIST", "aART", "", ("album artist", "aart")),
    TagName("composer", "TCOM", "COMPOSER", "©wrt", "", ("writer",)),
    TagName("genre", "TCON", "GENRE", "©gen", "IGNR"),
    TagName("date", "TDRC", "DATE", "©day", "ICRD", ("year", "tyer")),
    TagName("track", "TRCK", "TRACKNUMBER", "trkn", "IPRT", ("itrk",)),
    TagName("disc", "TPOS", "DISCNUMBER", "disk", "", ("disk",)),
    TagName("bpm", "TBPM", "BPM", "tmpo", "", ("tempo", "wm/beatsperminute")),
    TagName("key", "TKEY", "INITIALKEY", "initialkey", "", ("initial_key", "wm/initialkey")),
    TagName("isrc", "TSRC", "ISRC", "", "", ("wm/isrc",)),
    TagName("comment", "COMM", "COMMENT", "©cmt", "ICMT", ("description",)),
    TagName("lyrics", "USLT", "LYRICS", "©lyr", "", ("unsyncedlyrics", "wm/lyrics")),
    TagName("copyright", "TCOP", "COPYRIGHT", "cprt", "ICOP"),
    TagName("compilation", "TCMP", "COMPILATION", "cpil", "", ("itunescompilation",)),
    TagName("publisher", "TPUB", "LABEL", "", "", ("organization", "wm/publisher")),
    TagName(GAPLESS, "", "", "iTunSMPB"),
    TagName("grouping", "TIT1", "GROUPING", "©grp", "", ("contentgroup",)),
    TagName("subtitle", "TIT3", "SUBTITLE"),
    TagName("performer", "TPE3", "PERFORMER"),
    TagName("lyricist", "TEXT", "LYRICIST"),
    TagName("remixer", "TPE4", "REMIXER", "", "", ("mixartist",)),
    TagName("mood", "TMOO", "MOOD", "", "", ("wm/mood",)),
    TagName("media", "TMED", "MEDIA"),
    TagName("original_date", "TDOR", "ORIGINALDATE", "", "", ("tory", "originalyear")),
    TagName("original_artist", "TOPE", "ORIGINALARTIST"),
    TagName("original_album", "TOAL", "ORIGINALALBUM"),
    TagName("title-sort", "TSOT", "TITLESORT", "sonm", "", ("sort_name",)),
    TagName("artist-sort", "TSOP", "ARTISTSORT", "soar", "", ("sort_artist",)),
    TagName("album-sort", "TSOA", "ALBUMSORT", "soal", "", ("sort_album",)),
    TagName("album_artist-sort", "TSO2", "ALBUMARTISTSORT", "soaa", "", ("sort_album_artist",)),
    TagName("composer-sort", "TSOC", "COMPOSERSORT", "soco", "", ("sort_composer",)),
)  # fmt: skip
#: Frames of ID3v2.2 that FFmpeg does not translate.
_ID3V22 = {
    "tbp": "bpm", "tke": "key", "trc": "isrc", "tcm": "composer", "tcr": "copyright",
    "tpa": "disc", "tpb": "publisher", "tp4": "remixer", "tt1": "grouping", "tt3": "subtitle",
    "txt": "lyricist", "tye": "date", "tmt": "media", "toa": "original_artist",
    "tot": "original_album", "tor": "original_date",
}  # fmt: skip
_BY_NAME = {each.name: each for each in _NAMES}
_OURS = {
    alias.lower(): each.name
    for each in _NAMES
    for alias in (each.name, each.id3, each.vorbis, each.mp4, each.riff, *each.aliases)
    if alias
} | _ID3V22
#: Separate totals, which are appended to the number, as in "3/12".
_TOTALS = {
    "tracktotal": "track",
    "totaltracks": "track",
    "disctotal": "disc",
    "totaldiscs": "disc",
}


def tag_name(name: str) -> TagName:
    """Return the formats' names of one of our tags; unknown tags keep their name."""
    # Vorbis comments allow printable ASCII except "=" and "~".
    return _BY_NAME.get(name) or TagName(name, vorbis=re.sub(r"[^ -<>-}]", "_", name.upper()))


def our_name(name: str) -> str:
    """Return our name of a tag of FFmpeg, ID3 or Vorbis comments, in any case."""
    key = name.lower()
    if key.startswith("lyrics-"):  # FFmpeg appends the language
        key = "lyrics"
    return _OURS.get(key, key)


def with_our_names(found: Mapping[str, str]) -> dict[str, str]:
    """Rename the tags of any format to ours.

    Parameters
    ----------
    found : mapping of str to str
        As FFmpeg reads them: its own names, ID3 frames (``TBPM``), Vorbis fields, atoms. If two
        mean the same, the one with our name is used, and the other keeps its name.
    """
    tags = {name: value for name, value in found.items() if our_name(name) == name}
    for name, value in found.items():
        ours = our_name(name)
        if ours in tags and tags[ours] != value:
            ours = name.lower()
        tags.setdefault(ours, value)
    for total, name in _TOTALS.items():
        if total in tags and name in tags and "/" not in tags[name]:
            tags[name] = f"{tags[name]}/{tags.pop(total)}"
    return tags
