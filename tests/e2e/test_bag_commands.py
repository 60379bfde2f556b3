"""Bags and ensembles on the command line."""

import dataclasses
import hashlib
import json

import pytest
import soundfile

from demucs4_files import SMALL, demucs_metadata, write_bag, write_network
from partita.weights import cards

FOUR = ["drums", "bass", "other", "vocals"]


@pytest.fixture
def write_song(write_song, song):
    """Write a second of the song: networks are what is tried."""
    return lambda name="song.wav": write_song(name, song[:, :44100])


@pytest.fixture
def bag(tmp_path):
    for seed in range(2):
        write_network(tmp_path / f"bag/aaaa000{seed}.safetensors", seed=seed)
    return write_bag(tmp_path / "bag/mine.yaml", ["aaaa0000", "aaaa0001"])


def written(tmp_path, folder):
    return sorted(path.stem for path in (tmp_path / "separated" / folder).rglob("*.wav"))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bag/mine.yaml", "bag"])
def test_a_bag(run, bag, write_song, tmp_path, name):
    result = run("separate", write_song(), "--model", name, "--json")
    assert result.status == 0, result.err
    facts = json.loads(result.out)
    assert (facts["licence"], facts["commercial_use"]) == ("unknown", None)
    assert "null_depth_db" in facts
    label = "mine" if name.endswith("yaml") else "bag"
    assert written(tmp_path, label) == sorted(FOUR)


@pytest.mark.slow
def test_an_ensemble(run, bag, tiny_model, write_song, tmp_path):
    one, other = (tmp_path / f"bag/aaaa000{n}.safetensors" for n in range(2))
    song = write_song()
    for name, label in ((f"{one},{other}:3", "aaaa0000,aaaa0001-3"), (str(one), "aaaa0000"),
                        (str(other), "aaaa0001")):  # fmt: skip
        result = run("separate", song, "--model", name, "--bits", "float")
        assert result.status == 0, result.err
        assert written(tmp_path, label) == sorted(FOUR)
    stems = [
        soundfile.read(tmp_path / "separated" / label / "song" / "bass.wav")[0]
        for label in ("aaaa0000", "aaaa0001", "aaaa0000,aaaa0001-3")
    ]
    assert abs(0.25 * stems[0] + 0.75 * stems[1] - stems[2]).max() < 1e-5


@pytest.mark.slow
def test_resume_knows_members_and_weights(run, bag, write_song, tmp_path):
    one, other = (tmp_path / f"bag/aaaa000{n}.safetensors" for n in range(2))
    song = write_song()

    def separate(weight):
        return run("separate", song, "-n", f"{one}:{weight},{other}", "--resume", "--json",
                   "--filename", "x/{stem}.{ext}")  # fmt: skip

    assert json.loads(separate(2).out)["status"] == "done"
    assert json.loads(separate(2).out)["status"] == "skipped"
    assert "redone" in json.loads(separate(3).out)
    write_network(other, seed=7)
    assert "redone" in json.loads(separate(3).out)


def assert_refused(result, status, message, tmp_path):
    assert result.status == status
    assert message in result.err
    assert result.err.count("\n") == 1
    assert not (tmp_path / "separated").exists() or not list((tmp_path / "separated").rglob("*"))


@pytest.mark.slow
def test_bags_that_are_refused(run, bag, write_song, tmp_path):
    song, missing = write_song(), tmp_path / "bag/aaaa0001.safetensors"
    content = missing.read_bytes()
    missing.unlink()
    result = run("separate", song, "-n", bag)
    assert_refused(result, 1, "the model aaaa0001 is missing: put aaaa0001.th or", tmp_path)
    missing.write_bytes(content[: len(content) // 2])
    assert_refused(run("separate", song, "-n", bag), 1, "not a readable safetensors", tmp_path)
    for changes, message in (
        ({"samplerate": 16000}, "works at 16000 Hz with 2 channels, "),
        ({"audio_channels": 1}, "works at 8000 Hz with one channel, "),
        ({"sources": ["drums", "bass"]}, "must give the same stems (both give: drums, bass)"),
    ):
        write_network(missing, kwargs={**SMALL, **changes})
        assert_refused(run("separate", song, "-n", bag), 1, message, tmp_path)
    bag.write_text("models: {}")
    assert_refused(
        run("separate", song, "-n", bag), 1, "models must be a list of texts, not {}", tmp_path
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("hpss,hpss", "hpss is named twice"),
        ("hpss,", "a model is missing; ensembles are FIRST,SECOND"),
        ("hpss,hpsss", "unknown model 'hpsss'; did you mean hpss"),
        ("hpss,repet", "must give the same stems (both give: none)"),
        ("hpss:0,repet:x", "a model is missing behind :x; chains are"),
    ],
)
def test_ensembles_that_are_refused(run, write_song, tmp_path, name, message):
    assert_refused(run("separate", write_song(), "-n", name), 2, message, tmp_path)


@pytest.mark.slow
def test_benchmark(run, bag, stems, tmp_path):
    folder = tmp_path / "true/one"
    folder.mkdir(parents=True)
    for name, samples in stems.items():
        soundfile.write(folder / f"{name}.wav", samples[:, :44100].T, 44100)
    one, other = (tmp_path / f"bag/aaaa000{n}.safetensors" for n in range(2))
    result = run("benchmark", "--data", "true", "-n", bag, "-n", f"{one}:2,{other}", "--json")
    assert result.status == 0, result.err
    systems = [json.loads(line)["system"] for line in result.out.splitlines()]
    assert systems == ["mine", "aaaa0000-2,aaaa0001"]


@pytest.fixture
def published(monkeypatch, tmp_path):
    """htdemucs_ft, as small networks that wait where a person would have put them by hand."""

    monkeypatch.setenv("PARTITA_HOME", str(tmp_path / "home"))
    members = [member.model for member in cards.get_card("htdemucs_ft").members]
    downloads = tmp_path / "home" / "downloads"
    downloads.mkdir(parents=True)
    for seed, name in enumerate(members):
        card = cards.get_card(name)
        path = write_network(tmp_path / f"{name}.safetensors", seed=seed)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        file = cards.UrlFile(f"http://127.0.0.1:9/{path.name}", digest)
        source = cards.UrlSource({"all": file}, "demucs-package")
        monkeypatch.setitem(cards.CARDS, name, dataclasses.replace(card, remote=(source,)))
        path.rename(downloads / path.name)
    return members


@pytest.mark.slow
def test_one_stem_of_a_bag_needs_one_network(run, published, write_song, tmp_path):
    result = run("separate", write_song(), "-n", "htdemucs_ft", "--stems", "vocals", "--json")
    assert result.status == 0, result.err
    facts = json.loads(result.out)
    assert list(facts["stems"]) == ["vocals"]
    assert "null_depth_db" not in facts  # the others were not separated
    assert facts["licence"] == "personal and research use only"
    cached = sorted(path.name for path in (tmp_path / "home/weights").glob("*.safetensors"))
    assert cached == [f"{published[FOUR.index('vocals')]}.safetensors"]
    again = run("separate", write_song("two.wav"), "-n", "htdemucs_ft", "--stems", "vocals")
    assert "null depth" not in again.out
    whole = run("separate", write_song("three.wav"), "-n", "htdemucs_ft", "--sum-to-mix",
                "--stems", "bass", "--json")  # fmt: skip
    assert json.loads(whole.out)["null_depth_db"] is None or "null_depth_db" in whole.out
    cached = sorted(path.name for path in (tmp_path / "home/weights").glob("*.safetensors"))
    assert cached == sorted(f"{name}.safetensors" for name in published)


@pytest.mark.slow
def test_fetching_a_bag(run, published, tmp_path):
    result = run("models", "fetch", "htdemucs_ft")
    assert result.status == 0, result.err
    assert [line.split(":")[0] for line in result.out.splitlines()] == published
    row = next(line for line in run("models").out.splitlines() if "htdemucs_ft" in line)
    assert row.endswith("  here")
    assert not any(name in run("models").out for name in published)
    shown = json.loads(run("models", "show", "htdemucs_ft", "--json").out)
    assert shown["members"] == {
        name: [float(place == number) for place in range(4)]
        for number, name in enumerate(published)
    }
    assert [part["cached_at"] == "not cached" for part in shown["parts"]] == [False] * 4


def test_a_file_that_is_not_what_its_card_says(run, published, monkeypatch, write_song, tmp_path):
    card = cards.get_card(published[0])
    monkeypatch.setitem(
        cards.CARDS, card.name, dataclasses.replace(card, config={"sources": ["a", "b"]})
    )
    result = run("separate", write_song(), "-n", card.name)
    assert result.status == 1
    assert "the fetched file is htdemucs, which separates drums, bass, other, vocals" in result.err


def test_a_bag_that_cannot_be_fetched(run, published, write_song, tmp_path):
    for path in (tmp_path / "home/downloads").iterdir():
        path.unlink()
    result = run("separate", write_song(), "-n", "htdemucs_ft", "--quiet")
    assert_refused(
        result, 1, "the weights 'f7e0c4bc of htdemucs_ft' are not in the cache", tmp_path
    )


def test_commercial_only_and_training(run, write_song, tmp_path):
    song = write_song()
    refused = run("separate", song, "-n", "htdemucs_ft", "--commercial-only")
    assert refused.status == 2
    assert "f7e0c4bc is not clearly free for commercial use" in refused.err
    refused = run("train", "umx-tiny", "--data", tmp_path, "--from", "mdx", "--out", "runs")
    assert refused.status == 2
    assert "mdx is a bag of models: name one of them, 0d19c1c6 or 7ecf8ec1" in refused.err


def test_metadata_are_theirs():
    assert json.loads(demucs_metadata()["kwargs"])["segment"]["numerator"] == 1
