import pytest
import torch

from partita.datasets import open_dataset
from partita.errors import UsageError


@pytest.fixture
def table(tmp_path):
    """Write a csv; returns its path."""

    def write(text, encoding="utf-8"):
        path = tmp_path / "data" / "songs.csv"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding=encoding)
        return path

    return write


@pytest.fixture
def audio(write):
    for name in ("a-voc", "a-gtr", "a-mix", "b-voc"):
        write(f"files/{name}.wav")


WIDE = """\
track,subset,mixture,vocals,guitar
A,train,../files/a-mix.wav,../files/a-voc.wav,../files/a-gtr.wav
B,test,,../files/b-voc.wav,
"""
LONG = """\
track,stem,path,subset
A,guitar,../files/a-gtr.wav,train
B,vocals,../files/b-voc.wav,test
A,mixture,../files/a-mix.wav,train
A,vocals,../files/a-voc.wav,train
"""


@pytest.mark.parametrize("text", [WIDE, LONG, WIDE.replace("track,subset", "\ufeffTrack, Subset")])
@pytest.mark.parametrize("root", ["data", "data/songs.csv"])
def test_both_forms(tmp_path, table, audio, text, root):
    table(text)
    data = open_dataset(tmp_path / root)
    assert (data.layout, data.problems) == ("csv", ())
    first, second = data
    assert (first.name, first.subset, list(first.stems)) == ("A", "train", ["vocals", "guitar"])
    assert first.mixture.path.resolve() == tmp_path / "files/a-mix.wav"
    assert (second.name, second.subset, list(second.stems)) == ("B", "test", ["vocals"])
    assert second.mixture is None
    assert first.load("vocals+guitar").samples.shape == (2, 8000)


def test_names_that_no_system_takes_are_problems(table, audio):
    data = open_dataset(table(LONG + f"C,vocals,{'x' * 5000},train\n"))
    assert [track.name for track in data] == ["A", "B"]
    assert "no such file" in str(data.problems[0])


def test_bad_rows_are_problems(table, audio):
    text = LONG.replace("a-gtr", "nowhere") + "A,vocals,../files/a-voc.wav,train\n"
    data = open_dataset(
        table(text + "A,bass,../files/a-gtr.wav,test\nC,vocals,../files/c.wav,test\n")
    )
    assert [track.name for track in data] == ["A", "B"]
    lines = [str(problem) for problem in data.problems]
    assert lines[0].startswith("songs.csv, line 2: 'guitar' of track 'A': no such file ")
    assert lines[1] == "songs.csv, line 6: names stem 'vocals' of track 'A' again, left out"
    assert lines[2] == "songs.csv, line 7: track 'A' is in subsets 'train' and 'test'"
    assert lines[3].startswith("songs.csv, line 8: 'vocals' of track 'C': no such file ")
    assert lines[4] == "C: none of its files is there, left out"


def test_rows_of_one_stem_are_added_up(table, audio):
    rows = "A,band,../files/a-voc.wav,train\nA,band,../files/a-gtr.wav,train\n"
    track = open_dataset(table(LONG + rows)).tracks[0]
    assert [part.path.name for part in track.stems["band"].parts] == ["a-voc.wav", "a-gtr.wav"]
    assert torch.equal(track.load("band").samples, track.load("vocals+guitar").samples)


def test_a_track_again_in_a_row_for_each_track_is_no_sum(table, audio):
    data = open_dataset(table(WIDE + "A,train,,../files/b-voc.wav,\n"))
    assert "again, left out" in str(data.problems[0])
    assert not data.tracks[0].stems["vocals"].others


def test_excerpts_and_streams(table, write, noise):
    write("files/song.wav", noise(samples=16000))
    whole = "track,stem,path,stream,start_s,duration_s\nA,vocals,../files/song.wav,,,\n"
    part = "B,vocals,../files/song.wav,0,0.5,1.25\nB,drums,../files/song.wav,0,1,\n"
    wrong = "".join(f"C,vocals,../files/song.wav,{place}\n" for place in ("-1,,", ",x,", ",,0"))
    data = open_dataset(table(whole + part + wrong))
    song, excerpt = data
    rate = song.sample_rate
    assert excerpt.duration_s == pytest.approx(1.25)
    vocals = excerpt.load("vocals").samples
    assert torch.equal(vocals, song.load("vocals", start_s=0.5, duration_s=1.25).samples)
    assert excerpt.load("drums").samples.shape[1] == rate
    inner = excerpt.load("vocals", start_s=1.0, duration_s=9.0).samples  # ends with the excerpt
    assert torch.equal(inner, vocals[:, rate:])
    assert excerpt.stems["vocals"].states() != song.stems["vocals"].states()
    lines = [str(problem) for problem in data.problems]
    assert [line.partition(": no")[0].split(": ")[-1] for line in lines[:3]] == [
        "stream is '-1'",
        "start_s is 'x'",
        "duration_s is '0'",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no column 'track'"),
        ("song,vocals\nA,a.wav\n", "has no column 'track'"),
        ("track,subset\nA,train\n", "has no column for any stem"),
        ("track,vocals,vocals\nA,a.wav,b.wav\n", "two columns of the same name"),
        ("track,vocals\nA,a.wav,b.wav\n", "line 2: has another number of columns"),
        ("track,vocals,bass\nA,a.wav\n", "line 2: has another number of columns"),
        ("track,vocals\n,a.wav\n", "line 2: names no track"),
        ('track,vocals\nA,"a.wav\n', "is not a csv"),
        ("track,vocals\n", "no data set in here"),
    ],
)
def test_broken_tables(table, text, message):
    with pytest.raises(UsageError, match=message) as error:
        open_dataset(table(text))
    assert "\n" not in str(error.value)


def test_a_table_that_is_no_text(table):
    with pytest.raises(UsageError, match="is not text in UTF-8"):
        open_dataset(table("track,vocals\nÄ,ä.wav\n", encoding="latin-1"))


def test_several_tables(tmp_path, table):
    table(WIDE).with_name("more.csv").write_text(WIDE)
    with pytest.raises(UsageError, match="one csv file"):
        open_dataset(tmp_path / "data")
