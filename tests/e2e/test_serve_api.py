"""`partita serve` as programs use it: a real server, a real model, real files."""

import io
import json
import re
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import soundfile

from serve_client import ROOT, Server

pytestmark = pytest.mark.slow


def test_stems_are_those_of_the_python_api(server, separated, wav, tmp_path):
    from partita import Separator

    song, job = separated
    assert job["error"] == ""
    (tmp_path / "song.wav").write_bytes(wav)
    estimates = Separator("hpss")(tmp_path / "song.wav")
    stems = job["result"]["stems"]
    assert [stem["name"] for stem in stems] == list(estimates)
    for stem in stems:
        answer = server.get(f"/api/jobs/{job['id']}/stems/{stem['name']}")
        assert answer.headers["content-type"] == "audio/flac"
        assert len(answer.body) == stem["size"]
        samples, rate = soundfile.read(io.BytesIO(answer.body))
        assert rate == song["sample_rate"]
        np.testing.assert_allclose(samples.T, estimates[stem["name"]], atol=2**-22)
    assert job["result"]["null_depth_db"] < -80


def test_a_range_of_a_stem(server, separated):
    path = f"/api/jobs/{separated[1]['id']}/stems/percussive"
    whole = server.get(path).body
    answer = server.get(path, Range="bytes=1000-1999")
    assert answer.status == 206
    assert answer.body == whole[1000:2000]
    assert "Ein%20Lied%20%28percussive%29.flac" in answer.headers["content-disposition"]
    assert server.get(path, Range=f"bytes={len(whole)}-").status == 416
    assert server.get(path, Range="bytes=x-y").status == 400


def test_pieces_for_the_player_add_up_to_the_song(server, separated, song):
    record, job = separated
    assert record["player"] == {
        "sampleRate": 44100,
        "piece": 441000,
        "fade": 441,
        "samples": song.shape[1],
    }
    paths = [f"/api/songs/{record['id']}/pieces/0"]
    paths += [
        f"/api/jobs/{job['id']}/stems/{stem['name']}/pieces/0" for stem in job["result"]["stems"]
    ]
    headroom = server.get("/api/server").json["headroom"]
    mixture, *stems = (
        soundfile.read(io.BytesIO(server.get(path).body))[0] * headroom for path in paths
    )
    np.testing.assert_allclose(mixture, sum(stems), atol=2**-19)
    assert server.get(paths[0].replace("pieces/0", "pieces/1")).status == 404


@pytest.mark.parametrize(
    "wish",
    [
        {
            "gain": {"percussive": -12},
            "pan": {"harmonic": -0.5},
            "mute": ["residual"],
            "bits": "24",
        },
        {"recipe": "minus-percussive", "format": "mp3"},
    ],
)
def test_mixes_are_those_of_the_python_api(server, separated, library, tmp_path, wish):
    from partita.mixing.mix import mix

    job = separated[1]["id"]
    made = server.post(f"/api/jobs/{job}/mixes", wish)
    assert made.status == 201
    answer = server.get(f"/api/mixes/{made.json['id']}")
    assert len(answer.body) == made.json["size"]
    label = wish.get("recipe", "mix")
    form = wish.get("format", "wav")
    assert made.json["name"] == f"Ein Lied ({label}).{form}"
    (folder,) = (library / "songs").glob(f"*/hpss-{job}")
    settings = {name: value for name, value in wish.items() if name not in ("recipe", "format")}
    settings = {name: tuple(v) if isinstance(v, list) else v for name, v in settings.items()}
    mix(folder, tmp_path / f"mix.{form}", wish.get("recipe"), **settings)
    read = [soundfile.read(file)[0] for file in (io.BytesIO(answer.body), tmp_path / f"mix.{form}")]
    np.testing.assert_array_equal(*read)
    again = server.post(f"/api/jobs/{job}/mixes", wish).json
    assert again == made.json


def test_a_practice_pack_is_an_archive_and_so_are_all_stems(server, separated):
    job = separated[1]["id"]
    made = server.post(f"/api/jobs/{job}/mixes", {"recipe": "practice-pack"}).json
    assert made["name"] == "Ein Lied (practice-pack).zip"
    archive = zipfile.ZipFile(io.BytesIO(server.get(f"/api/mixes/{made['id']}").body))
    assert archive.testzip() is None
    assert {name.split("/")[-1] for name in archive.namelist()} == {
        *("mix.wav", "practice_harmonic.wav", "practice_percussive.wav"),
        *("practice_residual.wav", "harmonic.wav", "percussive.wav", "residual.wav"),
    }
    answer = server.get(f"/api/jobs/{job}/zip")
    assert "Ein%20Lied%20%28hpss%29.zip" in answer.headers["content-disposition"]
    stems = zipfile.ZipFile(io.BytesIO(answer.body))
    assert (
        stems.read("Ein Lied/harmonic.flac") == server.get(f"/api/jobs/{job}/stems/harmonic").body
    )


def test_tempo_and_key_are_put_right_and_clicks_follow(server):
    pytest.importorskip("sonara", reason="the extra mix is not installed")
    time = np.arange(10 * 22050) / 22050
    rng = np.random.default_rng(0)
    beats = 0.3 * np.exp(-(time % 0.6) / 0.02) * rng.standard_normal(len(time))
    chord = sum(np.sin(2 * np.pi * hertz * time) for hertz in (220.0, 261.6, 329.6))
    file = io.BytesIO()
    soundfile.write(file, beats + 0.05 * chord, 22050, format="WAV", subtype="PCM_16")
    song = server.upload(file.getvalue(), "beats.wav").json
    assert song["music"] is None
    path, job = f"/api/songs/{song['id']}", {"model": "hpss"}
    assert server.ask("PUT", f"{path}/correction", {"tempo_factor": 2}).status == 404
    job = server.wait_for(server.post(f"{path}/jobs", job).json["id"], "done")["id"]
    found = server.get(path).json["music"]
    assert found["tempo_bpm"] == pytest.approx(100, rel=0.01)
    assert found["key"] == "A minor"
    wish = {"recipe": "practice-pack", "format": "flac"}
    pack = server.post(f"/api/jobs/{job}/mixes", wish).json
    corrected = {"tempo_factor": 0.5, "key": "C major", "beats_in_bar": 3, "one_s": 1.2}
    answer = server.ask("PUT", f"{path}/correction", corrected).json["music"]
    assert answer["tempo_bpm"] == pytest.approx(50, rel=0.01)
    assert (answer["key"], answer["is_key_sure"], answer["beats_in_bar"]) == ("C major", True, 3)
    assert answer["correction"] == corrected
    assert answer["beats_s"][answer["one"]] == pytest.approx(1.2, abs=0.02)
    slower = server.post(f"/api/jobs/{job}/mixes", wish).json
    assert slower["id"] != pack["id"]
    for made, expected_s in ((pack, 0.6), (slower, 1.2)):
        archive = zipfile.ZipFile(io.BytesIO(server.get(f"/api/mixes/{made['id']}").body))
        click, rate = soundfile.read(io.BytesIO(archive.read("beats/click.flac")))
        begun = np.flatnonzero(np.abs(click) > 0.1) / rate
        starts = begun[np.insert(np.diff(begun) > 0.2, 0, True)]
        assert np.median(np.diff(starts)) == pytest.approx(expected_s, abs=0.02)
    for wrong in ({"key": "H moll"}, {"tempo_factor": True}, {"beats_in_bar": 99}):
        assert server.ask("PUT", f"{path}/correction", wrong).status == 400
    assert server.ask("PUT", f"{path}/correction", {"what": 1}).status == 422
    assert server.get(path).json["music"] == answer


def test_the_song_comes_back_as_it_was(server, separated, wav):
    answer = server.get(f"/api/songs/{separated[0]['id']}/file")
    assert answer.body == wav
    assert "Ein%20Lied.wav" in answer.headers["content-disposition"]


def test_events_tell_all_then_what_changes_and_after_a_gap_what_was_missed(server, separated, wav):
    _, job = separated
    events = server.events()
    seen, everything = next(events)
    assert everything["all"]
    assert job["id"] in [each["id"] for each in everything["jobs"]]
    new = server.upload(wav, "new.wav").json
    changes = next(events)[1]
    assert [each["id"] for each in changes["songs"]] == [new["id"]]
    assert changes["jobs"] == []
    events.close()
    server.ask("DELETE", f"/api/songs/{new['id']}")
    missed = next(server.events(seen))[1]
    assert not missed["all"]
    assert missed["songs"] == []
    assert missed["deleted"] == [new["id"]]
    for nonsense in (10**9, "x", -1, "9" * 30):
        assert next(server.events(nonsense))[1]["all"]


def test_repeated_requests_do_nothing_twice(server, wav):
    songs = [server.upload(wav, Idempotency_Key="one").json for _ in range(2)]
    assert songs[0] == songs[1]
    path = f"/api/songs/{songs[0]['id']}/jobs"
    jobs = [server.post(path, {"model": "hpss"}, Idempotency_Key="one").json for _ in range(2)]
    assert jobs[0]["id"] == jobs[1]["id"]
    server.wait_for(jobs[0]["id"], "done")
    assert server.post(path, {"model": "hpss"}, Idempotency_Key="one").json["state"] == "done"
    assert server.upload(wav, Idempotency_Key="k" * 101).status == 400
    server.ask("DELETE", f"/api/songs/{songs[0]['id']}")


def test_a_life_of_cancelling_and_trying_again(server, wav):
    song = server.upload(wav).json["id"]
    first, second = (
        server.post(f"/api/songs/{song}/jobs", {"model": "hpss"}).json["id"] for _ in "ab"
    )
    assert server.post(f"/api/jobs/{second}/cancel").json["state"] == "cancelled"
    assert server.post(f"/api/jobs/{second}/cancel").json["state"] == "cancelled"
    server.wait_for(first, "done")
    assert server.post(f"/api/jobs/{first}/cancel").status == 409
    assert server.get(f"/api/jobs/{second}").json["state"] == "cancelled"
    assert server.post(f"/api/jobs/{second}/retry").json["state"] == "queued"
    running = server.wait_for(second, "running", "done")
    if running["state"] == "running":
        assert server.ask("DELETE", f"/api/songs/{song}").status == 409
        assert server.post(f"/api/jobs/{second}/cancel").json["state"] == "cancelled"
        server.post(f"/api/jobs/{second}/retry")
    server.wait_for(second, "done")
    assert server.ask("DELETE", f"/api/jobs/{second}").status == 204
    assert server.get(f"/api/jobs/{second}").status == 404
    assert server.ask("DELETE", f"/api/songs/{song}").status == 204
    assert server.get(f"/api/songs/{song}").status == 404


def test_the_oldest_songs_are_offered_where_there_is_no_room(server, wav):
    songs = [server.upload(wav, f"{n}.wav").json for n in range(2)]
    found = server.get("/api/storage?bytes=1000000000").json
    assert found["quota_bytes"] == 50e9
    assert not found["is_nearly_full"]
    oldest = {each["id"]: each["bytes"] for each in found["oldest"]}
    assert [each for each in oldest if each in [song["id"] for song in songs]] == [
        song["id"] for song in songs
    ]
    assert sum(oldest.values()) == found["library_bytes"]
    assert server.get("/api/storage?bytes=1").json["oldest"] == found["oldest"][:1]
    assert server.get("/api/storage?bytes=x").status == 400
    for song in songs:
        server.ask("DELETE", f"/api/songs/{song['id']}")


def test_the_description_has_every_route(server):
    from partita.serve.web.routes import Service

    described = server.get("/api/openapi.json").json["paths"]
    routes = Service(None, None, None, None, None, None).routes()
    there = {
        (route.path.replace(":int", ""), method.lower())
        for route in routes
        for method in route.methods - {"HEAD"}
    }
    assert there == {(path, each) for path in described for each in described[path]} - {
        (path, "parameters") for path in described
    }


def test_the_containers_health_is_the_servers(server):
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", "")
    command = json.loads(re.search(r"HEALTHCHECK.*CMD (\[.+\])", text)[1])
    command[0] = sys.executable
    for port, is_healthy in ((server.port, True), (9, False)):
        asked = [part.replace(":8000/", f":{port}/") for part in command]
        found = subprocess.run(asked, capture_output=True, check=False)
        assert (found.returncode == 0) == is_healthy


def test_models_have_licences_and_a_recommendation(server):
    models = server.get("/api/models").json["models"]
    assert models[0]["recommended"]
    names = {model["name"]: model for model in models}
    assert names["four-stems"]["commercial_use"] is True
    assert names["htdemucs"]["commercial_use"] is False
    assert names["umx"]["download_bytes"] > 1e6


def test_a_token(tmp_path):
    server = Server(tmp_path, "--token", "a secret word", "--host", "0.0.0.0")
    try:
        assert "#token=a%20secret%20word" in server.first_line
        server.host = "127.0.0.1"
        assert server.get("/").status == 200
        assert server.get("/api/health").status == 200
        assert server.get("/api/songs").status == 401
        for wrong in ("Bearer a secret", "Basic a secret word", "Bearer ", "Bearer ü"):
            assert server.get("/api/songs", Authorization=wrong).status == 401
        assert server.get("/api/songs", Authorization="Bearer a secret word").status == 200
        assert server.post("/api/session", {"token": "no"}).status == 401
        cookie = server.post("/api/session", {"token": "a secret word"}).headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert "secret" not in cookie
        assert server.get("/api/songs", Cookie=cookie.split(";")[0]).status == 200
        assert server.get("/api/songs", Cookie="partita_session=x").status == 401
    finally:
        server.stop()


def test_killed_while_separating_and_started_again(tmp_path, wav):
    server = Server(tmp_path)
    song = server.upload(wav, "song.wav").json["id"]
    jobs = [server.post(f"/api/songs/{song}/jobs", {"model": "hpss"}).json["id"] for _ in range(2)]
    server.wait_for(jobs[0], "running")
    server.kill()
    again = Server(tmp_path)
    try:
        for job in jobs:
            assert again.wait_for(job, "done", "failed")["state"] == "done"
        assert again.get(f"/api/songs/{song}/file").body == wav
    finally:
        assert again.stop()[1] == 0


def test_wrong_use_is_one_line(run, server, library, tmp_path):
    for arguments, why in (
        (("--host", "0.0.0.0"), "--token"),
        (("--token", "short"), "--token is shorter than 8"),
        (("--port", server.port), "choose another --port"),
        (("--library", library), "another partita serve"),
    ):
        options = ("--library", tmp_path, *arguments)
        result = run("serve", *options)
        assert result.status in (1, 2)
        assert why in result.err
        assert len(result.err.splitlines()) == 1
