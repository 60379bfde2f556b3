"""Suffixes of files that a search through folders takes for audio."""

from __future__ import annotations

import av
import soundfile


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Demuxers of pictures, subtitles, lists, text, bare video, and of raw data that anything could be.
_NO_SOUND = _words(
    """
    acm adf alaw alias_pix apng apv aqtitle ass av1 avs2 avs3 bin bit bitpacked cavsvideo cdg
    cine codec2raw concat dash data derf dfpwm dirac dnxhd dvbsub dvbtxt evc f32be f32le f64be
    f64le ffmetadata filmstrip gif h261 h263 h264 hevc hls hxvs idf ifv image2 image2pipe imf
    ingenient ipu jacosub jpegxl_anim lrc luodat lvf m4v mcc microdvd mjpeg mjpeg_2000 mods
    mpegvideo mpjpeg mpl2 mpsub mulaw mvi nc nistsphere obu pdv pjs psxstr rawvideo rcwt realtext
    rso s16be s16le s24be s24le s32be s32le s8 sami sbg scc scd sdns sdp sdr2 sdx ser sga
    simbiosis_imx smjpeg srt stl subviewer subviewer1 sup tedcaptions tty ty u16be u16le u24be
    u24le u32be u32le u8 v210 v210x vc1 vc1test vidc vobsub vplayer vvc webvtt xbin yuv4mpegpipe
    """
)
#: Extensions of audio demuxers that usually are other kinds of files.
_OTHER_THINGS = _words(
    """
    302 a64 adp aix avif bit bmv c2 cdata cgi dat daud dif dtk heic heif ism j2k mac mca mj2 mks
    mpo msp musx nsp obu paf sf son ss2 str tco usm v vb viv wa way xl xmd
    """
)
#: Extensions of containers whose demuxers list none, and usual ones that demuxers omit.
_UNLISTED = _words(
    """
    3g2 3gp 8svx aif aifc aiff amr asf au avi bw64 caf divx dsf f4a flv iff m2ts m4v mod mov mp1
    mpeg mpg mts mxf nut oga ogm ogv opus qt ra ram rf64 rm rmvb snd spx svx tod ts vob voc w64
    wav wave webm wma wmv wtv wv
    """
)
#: Formats of libsndfile, without those that are not used for songs.
_LIBSNDFILE = {
    **{"AIFF": ("aif", "aiff", "aifc"), "AU": ("au", "snd"), "CAF": ("caf",), "FLAC": ("flac",)},
    **{"MP3": ("mp3",), "OGG": ("ogg", "oga", "opus"), "RF64": ("rf64", "bw64"), "VOC": ("voc",)},
    **{"W64": ("w64",), "WAV": ("wav", "wave"), "WAVEX": ("wav",), "SVX": ("svx", "8svx", "iff")},
}


def _extensions() -> frozenset[str]:
    found = set(_UNLISTED)
    for name in av.formats_available:
        if name in _NO_SOUND or name.endswith("_pipe"):
            continue
        try:
            found |= av.ContainerFormat(name, "r").extensions
        except ValueError:  # writes only
            continue
    for form in soundfile.available_formats():
        found.update(_LIBSNDFILE.get(form, ()))
    return frozenset(f".{extension.lower()}" for extension in found - _OTHER_THINGS)


#: Suffixes of files that the libraries read as sound, in lower case. A file that is named itself is
#: judged by its content alone.
AUDIO_EXTENSIONS = _extensions()
