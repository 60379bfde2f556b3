import contextlib
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partita.errors import AudioReadError, PartitaError, UsageError
from partita_synthesis.instruments import instruments
from partita_synthesis.midi import estimate_key, find_midi, read_midi
from partita_synthesis.score import ROLES, Note

BEAT = 480


def number(value):
    """A number as MIDI files write it."""
    digits = [value & 0x7F]
    while value := value >> 7:
        digits.append(value & 0x7F | 0x80)
    return bytes(reversed(digits))


def track(*events, name=""):
    """A track of (tick, bytes)."""
    body, last = b"", 0
    if name:
        body += b"\0\xff\x03" + number(len(name.encode())) + name.encode()
    for tick, event in sorted(events, key=lambda event: event[0]):
        body += number(tick - last) + event
        last = tick
    body += b"\0\xff\x2f\0"
    return b"MTrk" + struct.pack(">I", len(body)) + body


def midi(*tracks, division=BEAT):
    return b"MThd" + struct.pack(">IHHH", 6, 1, len(tracks), division) + b"".join(tracks)


def line(notes, channel=0, program=0):
    """Events of (start, length, pitch, velocity) in ticks."""
    events = [(0, bytes([0xC0 | channel, program]))]
    for start, length, pitch, velocity in notes:
        events.append((start, bytes([0x90 | channel, pitch, velocity])))
        events.append((start + length, bytes([0x80 | channel, pitch, 0])))
    return events


def tempo(tick, bpm):
    return tick, b"\xff\x51\x03" + round(60e6 / bpm).to_bytes(3, "big")


SCALE = [(i * BEAT, BEAT - 10, pitch, 100) for i, pitch in enumerate((60, 62, 64, 65, 67, 69, 71))]


@pytest.fixture
def read(tmp_path):
    def read(content):
        (tmp_path / "song.mid").write_bytes(content)
        return read_midi(tmp_path / "song.mid")

    return read


@given(
    notes=st.lists(
        st.tuples(
            st.integers(0, 9000), st.integers(1, 2000), st.integers(24, 100), st.integers(1, 127)
        ),
        min_size=1,
        max_size=30,
        unique_by=lambda note: note[2],  # each key once: who ends whom is clear
    )
)
@settings(max_examples=40)
def test_notes_come_back_as_written(tmp_path_factory, notes):
    path = tmp_path_factory.mktemp("midi") / "song.mid"
    path.write_bytes(midi(track(tempo(0, 90), *line(notes))))
    song = read_midi(path)
    tick_s = 60 / 90 / BEAT
    got = [(n.start_s, n.duration_s, n.pitch, n.velocity) for n in song.parts[0].notes]
    expected = [(s * tick_s, max(d * tick_s, 0.02), p, v) for s, d, p, v in notes]
    np.testing.assert_allclose(sorted(got), sorted(expected), rtol=1e-5)
    assert song.duration_s == pytest.approx(max(s + d for s, d, _, _ in expected))
    starts = [note.start_s for note in song.parts[0].notes]
    assert starts == sorted(starts)


def test_tempo_changes_are_followed(read):
    song = read(midi(track(tempo(0, 60), tempo(2 * BEAT, 120)), track(*line(SCALE))))
    assert [n.start_s for n in song.parts[0].notes] == pytest.approx([0, 1, 2, 2.5, 3, 3.5, 4])
    assert song.beats_s[:4] == pytest.approx([0, 1, 2, 2.5])
    assert 60 < song.tempo_bpm < 120


def test_running_status_and_silent_note_ons_are_understood(read):
    events = [(0, bytes([0x90, 60, 90])), (BEAT, bytes([60, 0])), (BEAT, bytes([64, 80]))]
    song = read(midi(track(*events, (2 * BEAT, bytes([64, 0])))))
    assert [(n.start_s, n.duration_s, n.pitch) for n in song.parts[0].notes] == [
        (0, 0.5, 60),
        (0.5, 0.5, 64),
    ]


def test_files_that_count_seconds(read):
    division = ((256 - 25) << 8) | 40  # a thousand ticks a second
    song = read(midi(track(*line([(500, 1000, 60, 90)])), division=division))
    assert song.parts[0].notes[0] == Note(0.5, 1.0, 60, 90)


def test_notes_never_let_go_end_with_the_track(read):
    song = read(midi(track((0, bytes([0x90, 60, 90])), *line([(0, 4 * BEAT, 64, 90)]))))
    assert [n.duration_s for n in song.parts[0].notes] == [2.0, 2.0]


def test_the_band_is_guessed(read):
    low = [(s, d, p - 24, v) for s, d, p, v in SCALE]
    chords = [(s, d, p + up, v) for s, d, p, v in SCALE for up in (0, 4, 7)]
    held = [(0, 16 * BEAT, p, 80) for p in (60, 64, 67)]
    tracks = (
        track(*line(SCALE), name="Lead Vox"),
        track(*line(SCALE, 1, 52), name="Choir"),
        track(*line(low, 2, 33)),
        track(*line(low, 3, 58)),
        track(*line(SCALE, 4, 73)),
        track(*line(chords, 5, 4)),
        track(*line(held, 6, 96)),
        track(*line([(0, 10, 36, 99), (9, 10, 38, 99), (9, 10, 3, 99)], 9, 26)),
        track(*line(SCALE, 7, 125)),
    )
    song = read(midi(*tracks))
    players = [(p.player.role, p.player.instrument) for p in song.parts]
    assert players[0][0] == "vocals"
    assert instruments()[players[0][1]].synthesis == "voice"
    assert players[1][0] == "backing_vocals"
    assert players[2:] == [
        ("bass", "finger_bass"),
        ("bass", "tuba"),
        ("lead", "concert_flute"),
        ("chords", "rhodes_piano"),
        ("pad", "new_age_pad"),
        ("drums", "drum_machine"),
    ]  # nobody plays the helicopter
    assert len(song.parts[-1].notes) == 2
    assert {role for role, _ in players} <= set(ROLES)


@given(key=st.integers(0, 11), minor=st.booleans())
def test_keys_are_found(key, minor):
    steps = (0, 2, 3, 5, 7, 8, 11, 0, 7, 0, 3) if minor else (0, 2, 4, 5, 7, 9, 11, 0, 7, 0, 4)
    notes = [Note(i, 1, 48 + key + step, 90) for i, step in enumerate(steps)]
    assert estimate_key(notes) == (key, "minor" if minor else "major")


def test_no_notes_have_no_key():
    assert estimate_key([]) == (0, "major")
    assert estimate_key([Note(0, 1, p, 9) for p in range(12)])[1] in ("major", "minor")


def test_an_excerpt(read):
    chords = [(0, 4 * BEAT, p, 80) for p in (60, 64, 67)]
    chords += [(4 * BEAT, 4 * BEAT, p, 80) for p in (65, 69, 72)]
    hits = [(i * BEAT, 2 * BEAT, 36, 99) for i in range(8)]
    song = read(midi(track(*line(chords)), track(*line(hits, 9))))
    score = song.score(1.25, 2.0)
    assert (score.style, score.duration_s) == ("midi", 2.0)
    piano, drums = score.parts
    assert [(n.start_s, n.duration_s) for n in piano.notes] == [(0, 0.75)] * 3 + [(0.75, 2.0)] * 3
    assert [n.start_s for n in drums.notes] == [0.25, 0.75, 1.25, 1.75]
    assert score.beats_s == pytest.approx([0.25, 0.75, 1.25, 1.75])
    assert [chord.root for chord in score.chords] == [0, 5]
    assert score.chords[-1].start_s + score.chords[-1].duration_s == pytest.approx(2.0)


def test_excerpts_outside_are_refused(read):
    song = read(midi(track(*line(SCALE))))
    for start_s, duration_s in ((99, 1), (-1, 1), (0, 0)):
        with pytest.raises(UsageError, match="lasts 3"):
            song.score(start_s, duration_s)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "no MIDI file"),
        (b"RIFF nothing", "no MIDI file"),
        (midi(track(*line(SCALE)))[:-9], "cut short"),
        (b"MThd\0\0", "cut short"),
        (midi(), "nobody plays"),
        (midi(track(tempo(0, 120))), "nobody plays"),
        (midi(track((0, b"\x45\x45"))), "it is damaged"),
        (midi(track((0, b"\x90\x80\x01"))), "it is damaged"),
        (midi(track((0, b"\x80" * 2000))), "a number without an end"),
        (midi(track(*line(SCALE))) + bytes(2 << 20), "larger than any song"),
        (midi(track(*line(SCALE)), division=0), "header is damaged"),
        (midi(track(*line([(0, (1 << 28) - 1, 60, 9)])), division=1), "longer than any song"),
    ],
)
def test_what_cannot_be_read_is_refused_in_a_line(read, content, why):
    with pytest.raises(AudioReadError, match=f"song.mid as MIDI: .*{why}") as caught:
        read(content)
    assert "\n" not in str(caught.value)


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(AudioReadError, match="No such file"):
        read_midi(tmp_path / "none.mid")
    with pytest.raises(UsageError, match="no such folder"):
        find_midi(tmp_path / "none")
    with pytest.raises(UsageError, match="has no MIDI files"):
        find_midi(tmp_path)


def test_files_are_found_below(tmp_path):
    (tmp_path / "a").mkdir()
    names = ["a/x.MID", "b.kar", "c.midi"]
    for name in [*names, "d.txt"]:
        (tmp_path / name).touch()
    assert find_midi(tmp_path) == [tmp_path / name for name in names]


@given(data=st.data())
@settings(max_examples=80)
def test_damaged_files_do_no_harm(tmp_path_factory, data):
    content = bytearray(midi(track(tempo(0, 77), *line(SCALE), name="x"), track(*line(SCALE, 9))))
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("bad") / "bad.mid"
    path.write_bytes(bytes(content[: data.draw(st.integers(0, len(content)))]))
    try:
        score = read_midi(path).score(0, 5)
    except PartitaError:
        return
    for part in score.parts:
        for note in part.notes:
            assert 0 <= note.start_s < 5
            assert note.duration_s > 0
            assert 0 <= note.pitch <= 127
            assert 1 <= note.velocity <= 127


@given(content=st.binary(max_size=200))
def test_random_bytes_do_no_harm(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("bad") / "bad.mid"
    path.write_bytes(b"MThd\0\0\0\6\0\1\0\1\1\xe0MTrk\0\0" + content)
    with contextlib.suppress(AudioReadError):
        read_midi(path)
