"""The page of a report: what it holds, that names are harmless, and that nothing is done twice."""

import base64
import hashlib
import json
import re
import tomllib
from html.parser import HTMLParser
from importlib.resources import files

import numpy as np
import pytest
import soundfile

from partita.errors import AudioWriteError, UsageError
from partita.reports.content import (
    BoxPlot,
    Column,
    LineChart,
    PairedPlot,
    Picture,
    Report,
    Section,
    Song,
    Table,
    Text,
)
from partita.reports.page import write_page
from partita.reports.page.songs import adding_up
from partita.reports.page.strips import box_strips, paired_strips

EVIL = "</script><script>alert('x')</script> & \"quoted\" <b>"
RATE = 8000


class Elements(HTMLParser):
    """Elements with their attributes and own text; scripts and styles apart."""

    def __init__(self, text):
        super().__init__()
        self.found, self.open = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        element = {"tag": tag, **dict(attrs), "text": ""}
        self.found.append(element)
        if tag not in ("meta", "img", "input"):
            self.open.append(element)

    def handle_endtag(self, tag):
        while self.open and self.open.pop()["tag"] != tag:
            pass

    def handle_data(self, data):
        if self.open:
            self.open[-1]["text"] += data

    def all(self, tag):
        return [element for element in self.found if element["tag"] == tag]

    def texts(self, tag):
        return [element["text"].strip() for element in self.all(tag)]


@pytest.fixture
def song(tmp_path):
    rng = np.random.default_rng(0)
    parts = {name: 0.1 * rng.standard_normal((1, RATE)) for name in ("vocals", "rest")}
    folder = tmp_path / "stems"
    folder.mkdir()

    def write(name, samples):
        soundfile.write(folder / f"{name}.wav", samples.T, RATE, subtype="FLOAT")
        return folder / f"{name}.wav"

    references = {name: write(name, part) for name, part in parts.items()}
    estimates = {name: write(f"{name}-estimate", 0.8 * part) for name, part in parts.items()}
    return Song(
        name=EVIL,
        mixture=write("mixture", sum(parts.values())),
        references=references,
        estimates={EVIL: estimates, "other": {"vocals": estimates["vocals"]}},
        sdr={EVIL: {"vocals": [7.123, float("nan"), float("-inf")]}},
        null_depth_db={EVIL: float("-inf"), "other": -12.34},
    )


def read(path):
    text = path.read_text(encoding="utf-8")
    return text, Elements(text)


def player_of(elements):
    (data,) = [each["text"] for each in elements.all("script") if each.get("id") == "songs"]
    return json.loads(data)


def test_names_are_text_wherever_they_stand(song, tmp_path):
    values = {EVIL: {EVIL: {EVIL: 1.0, "b": 2.0}}}
    picture = tmp_path / "picture.png"
    picture.write_bytes(b"\x89PNG")
    blocks = [
        Text(EVIL, verdict=True),
        Table(EVIL, EVIL, [Column(EVIL, EVIL, meaning=EVIL)], [[EVIL]], notes=[EVIL]),
        LineChart(EVIL, EVIL, EVIL, EVIL, {EVIL: [(0, 1.0)]}),
        BoxPlot(EVIL, EVIL, EVIL, values),
        PairedPlot(EVIL, EVIL, EVIL, values, {EVIL: {EVIL: (1.0, 0.5, 1.5)}}),
        Picture(EVIL, EVIL, picture),
    ]
    sections = [Section(name, blocks) for name in (EVIL, "Systems", "Play", "Systems")]
    report = Report(EVIL, [EVIL], sections, [song], {EVIL: EVIL})
    _, elements = read(write_page(report, tmp_path / "page"))
    assert elements.texts("h1") == [EVIL]
    assert EVIL in elements.texts("td")
    assert EVIL in elements.texts("dd")
    assert not [each for each in elements.all("b") if each["text"]]
    assert not [each for each in elements.all("script") if each["text"].startswith("alert")]
    assert player_of(elements)["songs"][0]["name"] == EVIL
    ids = [element["id"] for element in elements.found if "id" in element]
    assert len(ids) == len(set(ids))
    assert {link["href"][1:] for link in elements.all("a")} <= set(ids)
    image = elements.all("img")[-1]
    assert (tmp_path / "page" / image["src"]).read_bytes() == b"\x89PNG"
    write_page(Report("t", [], []), tmp_path / "page")
    assert not list((tmp_path / "page" / "pictures").iterdir())
    assert not list((tmp_path / "page" / "audio").iterdir())


def test_policy_lets_the_page_s_own_scripts_run_and_nothing_else(song, tmp_path):
    text, elements = read(write_page(Report("t", [], [], [song]), tmp_path))
    policy = next(each["content"] for each in elements.all("meta") if "content" in each)
    scripts = [each["text"] for each in elements.all("script") if "type" not in each]
    assert len(scripts) > 8
    for script in scripts:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not re.search(
        r"\son\w+=|\sstyle=", re.sub(r"<(script|style)\b.*?</\1>", "", text, flags=re.S)
    )
    assert not [
        each for each in elements.found if "//" in (each.get("src") or each.get("href", ""))
    ]


def test_songs_have_what_the_player_needs(song, tmp_path):
    page = write_page(Report("t", [], [], [song]), tmp_path)
    player = player_of(read(page)[1])
    assert player["coding"] == {"sampleRate": 48000, "piece": 480000, "fade": 480}
    (shown,) = player["songs"]
    assert shown["seconds"] == 1.0
    assert shown["mixture"]["samples"] == 48000
    assert list(shown["references"]) == ["vocals", "rest"]
    first, second = shown["systems"]
    assert (first["name"], first["null"], second["null"]) == (EVIL, "−∞ dB", "−12.3 dB")
    assert first["sdr"] == {"vocals": [7.12, None, None]}
    assert first["residual"]["peak"] == pytest.approx(0.2 * shown["mixture"]["peak"], rel=1e-3)
    assert second["residual"] is None  # one stem is no sum
    folders = {path.name for path in (tmp_path / "audio").iterdir()}
    used = set(re.findall(r'"folder":"([^"]+)"', page.read_text(encoding="utf-8")))
    assert folders == used
    assert len(used) == 1 + 2 + 3 + 1


def test_a_second_run_encodes_nothing_and_removes_what_is_no_longer_played(song, tmp_path):
    report = Report("t", [], [], [song])
    page = write_page(report, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.js")}
    text = page.read_text(encoding="utf-8")
    counts = []
    write_page(report, tmp_path, progress=lambda done, total: counts.append((done, total)))
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.js")} == before
    assert page.read_text(encoding="utf-8") == text
    assert counts[-1] == (7, 7)
    fewer = Song(song.name, song.mixture, {}, {"other": song.estimates["other"]})
    write_page(Report("t", [], [], [fewer]), tmp_path)
    assert len(list((tmp_path / "audio").iterdir())) == 2


def test_tables_show_figures_as_their_files_do(tmp_path):
    table = Table(
        "scores",
        "Scores of two systems.",
        [Column("system"), Column("SDR", "dB", 2, "higher is better")],
        [["a", -1.234], ["b", 5.0], ["c", None], ["d", float("nan")], ["e", float("-inf")]],
        best={1: [1]},
        notes=["A note."],
    )
    _, elements = read(write_page(Report("t", [], [Section("s", [table])]), tmp_path))
    cells = elements.all("td")
    assert elements.texts("td")[1::2] == ["−1.23", "5.00", "–", "–", "−∞"]
    assert [cell.get("data-value") for cell in cells[1::2]] == ["-1.234", "5.0", None, None, None]
    assert [cell["text"] for cell in cells if "best" in cell["class"]] == ["5.00"]
    (_, sdr) = [each for each in elements.all("button") if each["text"] in ("system", "SDR (dB)")]
    assert sdr["title"] == "higher is better"
    assert "A note." in elements.texts("p")


def test_a_page_without_songs_has_no_player(tmp_path):
    page = write_page(Report("t", ["one"], [Section("s", [Text("x")])]), tmp_path)
    text, _ = read(page)
    assert "songs" not in text
    assert not (tmp_path / "audio").exists()
    assert page.stat().st_size < 120_000


def test_charts_put_curves_on_one_axis(tmp_path):
    curves = {"a": [(1, 2.0), (2, 0.0), (3, float("nan"))], "b": [(2, 1.0)]}
    chart = LineChart("c", "caption", "epoch", "loss", curves, log_y=True)
    _, elements = read(write_page(Report("t", [], [Section("s", [chart])]), tmp_path))
    (found,) = [
        json.loads(each["data-chart"]) for each in elements.all("div") if "data-chart" in each
    ]
    assert found["x"] == [1, 2, 3]
    assert [curve["values"] for curve in found["curves"]] == [[2.0, None, None], [None, 1.0, None]]


def test_box_plots_have_quartiles_and_whiskers():
    values = {f"t{n}": float(n) for n in range(9)} | {"far": 30.0, "none": float("nan")}
    plot = box_strips(BoxPlot("b", "", "SDR", {"vocals": {"a": values, "empty": {}}}))
    row, empty = plot.panels["vocals"]
    low, high = -1.2, 31.2  # 4 % of the range around it
    at = [low + (high - low) * place / 100 for place in row.box]
    np.testing.assert_allclose(at, [0, 2.25, 4.5, 6.75, 8], atol=0.01)
    assert len(row.points) == 10
    assert row.text == "median 4.50, from 0.00 to 30.00, 10 values"
    assert (empty.box, empty.text) == (None, "no values")
    assert [tick.text for tick in plot.ticks] == ["0", "5", "10", "15", "20", "25", "30"]


def test_paired_plots_show_zero_and_intervals():
    differences = {"a - b": {"vocals": {"t": 1.0, "u": 3.0}}, "a - c": {"drums": {"t": -1.0}}}
    intervals = {"a - b": {"vocals": (2.0, 1.0, 3.0)}}
    plot = paired_strips(PairedPlot("p", "", "dB", differences, intervals))
    assert list(plot.panels) == ["vocals", "drums"]
    ((pair,), (other,)) = plot.panels.values()
    assert pair.interval[0] < pair.interval[1] < pair.interval[2]
    assert plot.zero == pytest.approx(100 * 1.16 / 4.32, abs=0.01)
    assert other.interval is None


@pytest.mark.parametrize(
    ("stems", "summed"),
    [
        (["vocals", "drums", "accompaniment"], ["vocals", "drums"]),
        (["vocals", "accompaniment"], ["vocals", "accompaniment"]),
        (["vocals", "no_vocals"], ["vocals", "no_vocals"]),
        (["a", "b", "a+b"], ["a", "b"]),
        (["vocals"], ["vocals"]),
    ],
)
def test_sums_are_not_counted_twice(stems, summed):
    assert adding_up(stems) == summed


@pytest.mark.parametrize("package", ["partita.reports", "partita.serve", "partita.export.web"])
def test_vendored_libraries_are_what_is_noted(package):
    folder = files(package) / "page" / "vendor"
    libraries = tomllib.loads((folder / "libraries.toml").read_text(encoding="utf-8"))
    noted = {file["name"]: file["sha256"] for each in libraries.values() for file in each["files"]}
    found = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.iterdir()
        if path.name != "libraries.toml"
        and (path.suffix != ".LICENSE" or path.name in noted)  # not all packages bring theirs
    }
    assert found == noted


def test_the_page_says_what_cannot_be_played_and_plays_the_rest(song, tmp_path):
    (tmp_path / "damaged.wav").write_bytes(b"no audio")
    gone = Song("gone", tmp_path / "gone.wav", {}, {})
    stems = {**song.estimates["other"], "rest": tmp_path / "damaged.wav"}
    some = Song("some", song.mixture, song.references, {"other": stems})
    _, elements = read(write_page(Report("t", [], [], [gone, some]), tmp_path / "page"))
    lines = elements.texts("li")
    assert any("gone.wav" in line for line in lines)
    assert sum("damaged.wav" in line for line in lines) == 1
    (shown,) = player_of(elements)["songs"]
    assert list(shown["systems"][0]["stems"]) == ["vocals"]
    assert shown["systems"][0]["residual"] is None

    text, elements = read(write_page(Report("t", [], [], [gone]), tmp_path / "page"))
    assert "gone.wav" in elements.texts("li")[0]
    assert "player-body" not in text


def test_what_cannot_be_written_is_one_line(song, tmp_path):
    with pytest.raises(UsageError, match="'mp3'"):
        write_page(Report("t", [], [], [song]), tmp_path / "page", audio="mp3")
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(AudioWriteError, match=r"index\.html"):
        write_page(Report("t", [], []), tmp_path / "file")
