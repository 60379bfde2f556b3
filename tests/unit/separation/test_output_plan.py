from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partita.audio.formats import stem_format
from partita.errors import AudioWriteError, UsageError
from partita.separation.batch import OutputPlan, Song, check_template
from partita.weights.resolve import resolve


def plan(root, template="{model}/{track}/{stem}.{ext}", form="wav", stems=("vocals", "drums")):
    return OutputPlan(root, template, stem_format(form), "some-model", list(stems))


def test_default_paths(tmp_path):
    paths = plan(tmp_path).paths(Song("x/song.mp3", "song"))
    assert paths["vocals"] == tmp_path / "some-model" / "song" / "vocals.wav"


@pytest.mark.parametrize(
    ("model", "folder"),
    [("some/path/own.safetensors", "own"), ("x/own.safetensors:a+hpss", "own-a+hpss")],
)
def test_folders_of_checkpoints_and_chains(tmp_path, model, folder):
    label = resolve(model).label
    output = OutputPlan(tmp_path, "{model}/{stem}.{ext}", stem_format("wav"), label, ["vocals"])
    assert output.paths(Song("song.mp3", "song")) == {"vocals": tmp_path / folder / "vocals.wav"}


def test_stem_files_are_named_after_the_track(tmp_path):
    paths = plan(tmp_path, form="stem.mp4").paths(Song("song.mp3", "disc/song"))
    assert set(paths.values()) == {tmp_path / "some-model" / "disc" / "song" / "song.stem.mp4"}


@pytest.mark.parametrize(
    ("template", "form", "track", "expected"),
    [
        ("{model}/{track}/{stem}.{ext}", "wav", "a/song", "some-model/a/song/factors.png"),
        ("{track} ({stem}).{ext}", "flac", "song", "song (factors).png"),
        ("{track}/{stem}.wav", "wav", "song", "song/factors.wav.png"),
        ("{track}/{stem}", "wav", "song", "song/factors.png"),
        ("{track}.{ext}", "stem.mp4", "my.song", "my.song-factors.png"),
        ("{track}", "stem.mp4", "my.song", "my.song-factors.png"),
        ("{model}/{stem}.{ext}", "stem.mp4", "song", "some-model/factors.png"),
    ],
)
def test_pictures_lie_beside_the_stems(tmp_path, template, form, track, expected):
    output = plan(tmp_path, template, form)
    song = Song("song.mp3", track)
    path = output.path_beside(song, "factors")
    assert path == tmp_path / expected
    assert path.parent == output.paths(song)["vocals"].parent
    assert path not in output.paths(song).values()


names = st.text(min_size=1, max_size=20).filter(lambda text: "\0" not in text)
TEMPLATES = ["{track}/{stem}.{ext}", "{track}-{stem}.{ext}", "{model}/{track}/{stem}.{ext}"]


@given(st.lists(names, min_size=1, max_size=3), st.sampled_from(TEMPLATES))
def test_no_name_escapes_the_output_folder(parts, template):
    root = Path("/tmp/partita-out")
    song = Song("x", "/".join(parts))
    for path in plan(root, template).paths(song).values():
        assert path.resolve().is_relative_to(root)
    assert plan(root, template).path_beside(song, "factors").resolve().is_relative_to(root)


@pytest.mark.parametrize("track", ["..", "../..", "a/../../b", "...", "."])
def test_dots_are_defused(track, tmp_path):
    for path in plan(tmp_path).paths(Song("x", track)).values():
        assert ".." not in path.relative_to(tmp_path).parts


@pytest.mark.parametrize(
    ("link", "track"),
    [
        ("some-model", "song"),
        ("some-model/disc", "disc/song"),
        ("some-model/song/vocals.wav", "song"),
    ],
)
def test_links_out_of_the_folder_are_named(tmp_path, monkeypatch, link, track):
    """The folder may be a link itself; links within it are nobody's business."""
    (tmp_path / "place").mkdir()
    (tmp_path / "out").symlink_to("place")
    path = tmp_path / "out" / link
    path.parent.mkdir(parents=True, exist_ok=True)
    plan(tmp_path / "out").paths(Song("x", track))
    (tmp_path / "elsewhere").mkdir()
    path.symlink_to(tmp_path / "elsewhere")
    for root in (tmp_path / "out", Path("out"), Path("place/../out")):
        monkeypatch.chdir(tmp_path)
        with pytest.raises(AudioWriteError) as error:
            plan(root).paths(Song("x", track))
        assert str(error.value) == (
            f"{root / link} is a link that leads out of the output folder, to "
            f"{tmp_path / 'elsewhere'}: remove the link, or choose another `out`"
        )
    path.unlink()
    (tmp_path / "out/inside").mkdir()
    path.symlink_to(tmp_path / "out/inside")
    plan(tmp_path / "out").paths(Song("x", track))


def test_stems_of_one_file_name(tmp_path):
    with pytest.raises(UsageError, match="'Bass' and 'bass' would get one file name on systems"):
        plan(tmp_path, stems=["Bass", "bass"])
    plan(tmp_path, form="stem.mp4", stems=["Bass", "bass"])


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{trak}/{stem}.{ext}", "unknown field {trak}"),
        ("{track.__class__}/{stem}", "unknown field"),
        ("{track}.{ext}", "needs {stem}"),
        ("/etc/{stem}", "below the output folder"),
        ("../{stem}", "below the output folder"),
        ("{stem", "not a template"),
        ("", "not a template"),
    ],
)
def test_impossible_templates(template, message):
    with pytest.raises(UsageError) as error:
        check_template(template)
    assert message in str(error.value)


def test_one_stem_needs_no_stem_field(tmp_path):
    paths = plan(tmp_path, "{track}.{ext}", stems=["vocals"]).paths(Song("x", "song"))
    assert paths == {"vocals": tmp_path / "song.wav"}


@pytest.mark.parametrize(
    "template", [*TEMPLATES, "{stem}/{track}.{ext}", "{stem}{track}", "{stem}"]
)
def test_every_song_has_a_record_of_its_own(tmp_path, template):
    records = set()
    for track in ("a", "b", "disc/a", "disc-a", "A"):
        song = Song("x", track)
        record = plan(tmp_path, template).manifest_path(song)
        assert record == plan(tmp_path, template, "flac", ["bass"]).manifest_path(song)
        assert record.name.startswith(".stems-")
        assert all(
            path.is_relative_to(record.parent)
            for path in plan(tmp_path, template).paths(song).values()
        )
        records.add(record)
    assert len(records) == (5 if "{track}" in template else 1)
