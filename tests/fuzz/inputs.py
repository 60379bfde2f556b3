"""Whole inputs of every target, small: what the fuzzer damages."""

from __future__ import annotations

import gzip
import io
import json
import struct
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import soundfile
import torch

from common import SMALL_UNET, SMALL_UNMIX
from demucs4_files import write_bag, write_network
from demucs_files import QUANTISED, write_package
from msst_files import SMALL as SMALL_MSST
from msst_files import small_model, write_msst
from onnx_files import GRAPH
from onnx_files import model as onnx_file
from partita.audio.encode import encode_file
from partita.audio.formats import stem_format
from partita.audio.tags import Cover, Tags
from partita.mixing.recipe import _files as mix_recipe_files
from partita.models import create_model
from partita.separation.batch.manifest import FileMark, Making, Manifest
from partita.training.recipes import _files as recipe_files
from partita.training.run_folder import RunFolder
from partita.weights.checkpoint import save_checkpoint
from partita.weights.demucs_package import read_package
from soundfont_file import tiny_soundfont

_RATE = 44100
#: File name: (codec, container) of FFmpeg's.
_AV = {
    "a.mp3": ("libmp3lame", "mp3"),
    "a.m4a": ("aac", "mp4"),
    "b.m4a": ("alac", "mp4"),
    "a.aac": ("aac", "adts"),
    "a.mkv": ("aac", "matroska"),
    "b.mkv": ("pcm_s16le", "matroska"),
    "a.webm": ("libopus", "webm"),
    "a.opus": ("libopus", "ogg"),
    "a.wma": ("wmav2", "asf"),
    "a.ac3": ("ac3", "ac3"),
    "a.mp2": ("mp2", "mp2"),
    "a.mov": ("pcm_s16le", "mov"),
    "a.avi": ("libmp3lame", "avi"),
    "a.ts": ("aac", "mpegts"),
    "a.flv": ("libmp3lame", "flv"),
    "a.wv": ("wavpack", "wv"),
    "a.tta": ("tta", "tta"),
    "b.flac": ("flac", "flac"),
    "b.wav": ("adpcm_ms", "wav"),
    "c.wav": ("pcm_mulaw", "wav"),
}
#: File name: (format, subtype) of libsndfile's.
_SOUNDFILE = {
    "a.wav": ("WAV", "PCM_16"),
    "d.wav": ("WAV", "FLOAT"),
    "e.wav": ("RF64", "PCM_24"),
    "a.flac": ("FLAC", "PCM_16"),
    "a.ogg": ("OGG", "VORBIS"),
    "a.aiff": ("AIFF", "PCM_16"),
    "a.caf": ("CAF", "ALAC_16"),
    "a.w64": ("W64", "PCM_16"),
    "a.au": ("AU", "PCM_16"),
    "f.wav": ("WAV", "IMA_ADPCM"),
}


def write_inputs(folder: Path, targets: list[str]) -> dict[str, list[Path]]:
    """Write the inputs of some targets; returns their paths."""
    found = {}
    for target in targets:
        place = folder / target
        place.mkdir(parents=True, exist_ok=True)
        _WRITERS[target](place)
        found[target] = sorted(path for path in place.iterdir() if path.is_file())
    return found


def _song() -> np.ndarray:
    rng = np.random.default_rng(0)
    time_s = np.arange(_RATE // 5) / _RATE
    tone = 0.3 * np.sin(2 * np.pi * np.array([[220.0], [330.0]]) * time_s)
    return (tone + 0.01 * rng.standard_normal(tone.shape)).astype(np.float32)


def _write_audio(folder: Path) -> None:
    song = _song()
    for name, (form, subtype) in _SOUNDFILE.items():
        soundfile.write(folder / name, song.T, _RATE, format=form, subtype=subtype)
    for name, (codec, container) in _AV.items():
        _write_av(folder / name, song, codec, container)
    _write_tagged(folder)


def _write_av(path: Path, song: np.ndarray, codec: str, container: str) -> None:
    rate = 48000 if codec == "libopus" else _RATE
    with av.open(str(path), "w", format=container) as output:
        stream = output.add_stream(codec, rate=rate, layout="stereo")
        stream.bit_rate = 96_000
        whole = av.AudioFrame.from_ndarray(song, format="fltp", layout="stereo")
        whole.sample_rate, whole.pts = rate, 0
        to_codec = av.AudioResampler(stream.codec_context.format or "s16", "stereo", rate)
        for frame in to_codec.resample(whole):
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))


def _write_tagged(folder: Path) -> None:
    song = _song()
    texts = {"title": "Sóng", "artist": "A;B", "date": "2001", "track": "3/12", "tbpm": "120"}
    tags = Tags(texts, Cover(_picture(), "png", 16, 16))
    for name in ("flac", "mp3", "opus", "m4a", "wav", "ogg"):
        encode_file(
            folder / f"tagged.{name}", [song], stem_format(name),
            sample_rate=_RATE, channels=2, frames=song.shape[1], tags=tags,
        )  # fmt: skip


def _picture() -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="image2pipe") as output:
        stream = output.add_stream("png", rate=25, width=16, height=16, pix_fmt="rgb24")
        frame = av.VideoFrame.from_ndarray(np.full((16, 16, 3), 99, np.uint8), format="rgb24")
        output.mux([*stream.encode(frame), *stream.encode(None)])
    return buffer.getvalue()


def _write_checkpoints(folder: Path) -> None:
    configs = {
        "unet": {**SMALL_UNET, "widths": [2, 2]},
        "open-unmix": {**SMALL_UNMIX, "hidden": 4},
        "band-split": {"features": 4, "hidden": 4, "layers": 1, "mask_hidden": 4},
        "conv-tasnet": {
            **{"filters": 4, "bottleneck": 4, "hidden": 4},
            **{"blocks": 2, "repeats": 1, "segment_s": 0.5},
        },
        "demucs": {"hidden": 2, "depth": 2, "rescale": 1.0, "segment_s": 0.5},
        "tfc-tdf": {"fft_samples": 512, "hop_samples": 128, "bins": 100, "width": 2, "depth": 2},
        "hpss": {},
        "nmf": {"fft_samples": 512, "hop_samples": 128, "bins": 257, "components": 5},
    }
    for name, config in configs.items():
        torch.manual_seed(0)
        sources = {} if name == "hpss" else {"sources": ["a", "b"]}
        model = create_model(name, {**sources, **config}).eval()
        save_checkpoint(folder / f"{name}.safetensors", model)


def _write_record(folder: Path) -> None:
    stem = folder / "vocals.wav"
    stem.write_bytes(b"stem")
    making = Making("0.1.0", "hpss", "aa", {"format": "wav", "stems": ["vocals"], "shifts": 0})
    Manifest(folder / "a.json").write({"vocals": stem}, making, FileMark.of(stem))
    stem.unlink()


def _write_settings(folder: Path) -> None:
    texts = ["epochs=3", "batch_size=4", "learning_rate=1e-3"]
    (folder / "a.txt").write_text("\n".join(texts))


def _write_state(folder: Path) -> None:
    RunFolder(folder).save_state(
        {"epoch": 3, "model": {"w": torch.ones(10)}, "history": [{"loss": 0.5}], "seed": 7}
    )
    for path in folder.iterdir():
        if path.name != "state.pt":
            path.unlink()


def _write_midi(folder: Path) -> None:
    def chunk(name: bytes, body: bytes) -> bytes:
        return name + struct.pack(">I", len(body)) + body

    tempo = b"\0\xff\x51\x03\x07\xa1\x20\0\xff\x58\x04\4\2\x18\x08"
    notes = b"\0\xc0\x19" + b"".join(
        bytes([0, 0x90, 60 + n % 12, 90, 0x60, 0x80, 60 + n % 12, 0]) for n in range(20)
    )
    drums = b"".join(bytes([0, 0x99, 36, 100, 0x60, 36, 0]) for _ in range(20))
    end = b"\0\xff\x2f\0"
    header = struct.pack(">HHH", 1, 3, 96)
    tracks = b"".join(chunk(b"MTrk", body + end) for body in (tempo, notes, drums))
    (folder / "a.mid").write_bytes(chunk(b"MThd", header) + tracks)
    (folder / "b.mid").write_bytes(
        chunk(b"MThd", struct.pack(">HHH", 0, 1, 0xE728)) + chunk(b"MTrk", notes + end)
    )


def _write_kit(folder: Path) -> None:
    piece = (
        "<instrument><id>{}</id><name>{}</name><volume>0.8</volume><midiOutNote>{}</midiOutNote>"
        "<layer><filename>a.wav</filename><min>0</min><max>1</max><gain>1</gain></layer>"
        "</instrument>"
    )
    pieces = [piece.format(n, name, 36 + n) for n, name in enumerate(("Kick", "Snare", "Hat"))]
    body = f"<name>Kit</name><instrumentList>{''.join(pieces)}</instrumentList>"
    (folder / "drumkit.xml").write_text(f"<?xml version='1.0'?><drumkit_info>{body}</drumkit_info>")
    sounds = folder.parent.parent / "kit"  # beside the damaged file, see the target
    sounds.mkdir(exist_ok=True)
    soundfile.write(sounds / "a.wav", _song().T, _RATE)


def _write_recipes(folder: Path) -> None:
    for path in recipe_files().values():
        (folder / path.name).write_bytes(path.read_bytes())


def _write_mix_recipes(folder: Path) -> None:
    for path in mix_recipe_files().values():
        text = path.read_text().replace("STEM", "bass")
        (folder / f"{path.stem.replace('STEM', 'bass')}.toml").write_text(text)
    (folder / "own.toml").write_text(
        'speed = 0.9\npitch = -1.5\nloudness = -16\nsolo = ["bass", "no_bass"]\nmix = true\n'
        'practice = ["*"]\npractice_db = -6.0\nstems = ["drums+bass"]\n'
        '[gain]\n"drums+bass" = -3\n[pan]\nvocals = 0.1\n[tracks]\nrhythm = "drums+bass"\n'
    )


def _write_plan(folder: Path) -> None:
    (folder / "songs.toml").write_text(
        'stems = ["vocals", "rest"]\nseed = 3\nduration_s = 12.0\npool_songs = 4\nvalid_songs = 2\n'
    )


def _write_table(folder: Path) -> None:
    (folder / "wide.csv").write_text(
        "track,subset,vocals,rest\nA,train,a.wav,b.wav\nB,test,,c.wav\n"
    )
    (folder / "long.csv").write_text("track,stem,path\nA,vocals,wide.csv\nA,drums,long.csv\n")


def _write_scores(folder: Path) -> None:
    metrics = {"SDR": 5.0, "SIR": 9.5, "SAR": None, "ISR": 8.0}
    frames = [{"time": n, "duration": 1.0, "metrics": metrics} for n in range(3)]
    targets = [{"name": name, "frames": frames} for name in ("vocals", "accompaniment")]
    text = json.dumps({"targets": targets, "track": "A"})
    (folder / "a.json").write_text(text)
    (folder / "b.json.gz").write_bytes(gzip.compress(text.encode(), mtime=0))


def _write_packages(folder: Path) -> None:
    """Of networks as diffq restores them, and as it quantised them."""
    for path in QUANTISED:
        (folder / path.name).write_bytes(path.read_bytes())
    whole = read_package(QUANTISED[0])
    facts = {"kwargs": whole.kwargs, "state": whole.state}
    for legacy in (False, True):
        write_package(folder / f"legacy_{legacy}.th", whole.klass, legacy, **facts)


def _write_demucs_safetensors(folder: Path) -> None:
    write_network(folder / "a.safetensors").with_suffix(".json").unlink()


def _write_msst(folder: Path) -> None:
    """Checkpoints and their YAML files; the family stands in the suffix, for the target."""
    for family in SMALL_MSST:
        write_msst(folder, small_model(family), f"a.{family}")


def _write_msst_checkpoints(folder: Path) -> None:
    _write_msst(folder)
    for path in folder.glob("*.yaml"):
        path.unlink()


def _write_msst_configs(folder: Path) -> None:
    _write_msst(folder)
    for path in folder.glob("*.ckpt"):
        path.unlink()


def _write_hub_configs(folder: Path) -> None:
    settings = {**SMALL_UNET, "widths": [2, 2], "sources": ["a", "b"]}
    (folder / "named.json").write_text(json.dumps({"model_type": "unet", **settings}))
    whole = create_model("unet", settings, initialise=False).config.to_dict()
    (folder / "whole.json").write_text(json.dumps(whole))


_WRITERS: dict[str, Callable[[Path], object]] = {
    "audio": _write_audio,
    "excerpt": _write_audio,
    "tags": _write_tagged,
    "checkpoint": _write_checkpoints,
    "header": _write_checkpoints,
    "record": _write_record,
    "state": _write_state,
    "midi": _write_midi,
    "soundfont": lambda folder: tiny_soundfont(folder / "a.sf2"),
    "kit": _write_kit,
    "recipe": _write_recipes,
    "mix_recipe": _write_mix_recipes,
    "plan": _write_plan,
    "settings": _write_settings,
    "table": _write_table,
    "scores": _write_scores,
    "package": _write_packages,
    "demucs_safetensors": _write_demucs_safetensors,
    "bag": lambda folder: write_bag(folder / "a.yaml", ["aa", "bb"], weights=[[1, 0.5], [0, 1]]),
    "msst": _write_msst_checkpoints,
    "msst_config": _write_msst_configs,
    "hub_config": _write_hub_configs,
    "onnx": lambda folder: (folder / "a.onnx").write_bytes(onnx_file(*GRAPH)),
}
