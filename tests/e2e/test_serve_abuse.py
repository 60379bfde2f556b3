"""What `partita serve` should not be sent: one sentence each, and nothing is left."""

import concurrent.futures
import contextlib
import http.client
import io
import random
import time

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from partita.audio.signal import Audio

pytestmark = pytest.mark.slow


def leftovers(library):
    return list((library / "incoming").iterdir())


@pytest.mark.parametrize(
    ("wish", "status"),
    [
        ({"recipe": "karaoke"}, 422),  # no vocals here
        ({"recipe": "/etc/passwd.toml"}, 422),
        ({"mute": ["harmonic", "percussive", "residual"]}, 400),
        ({"speed": 9}, 400),
        ({"format": "exe"}, 422),
        ({"tracks": {"a": "b"}}, 400),
    ],
)
def test_mixes_that_cannot_be(server, separated, wish, status):
    answer = server.post(f"/api/jobs/{separated[1]['id']}/mixes", wish)
    assert answer.status == status
    assert "`" not in answer.json["error"]


def test_weights_that_cannot_be_had_are_one_sentence_and_the_next_job_runs(server, separated):
    path = f"/api/songs/{separated[0]['id']}/jobs"
    bad = server.post(path, {"model": "umx"}).json["id"]
    good = server.post(path, {"model": "hpss"}).json["id"]
    failed = server.wait_for(bad, "failed")
    assert "cannot be fetched" in failed["error"]
    assert "\n" not in failed["error"]
    assert server.wait_for(good, "done", "failed")["state"] == "done"
    for job in (bad, good):
        server.ask("DELETE", f"/api/jobs/{job}")


@pytest.mark.parametrize("model", ["nothing", "/etc/passwd", "../x", "hf:a/b", "https://a/b", ""])
def test_only_models_of_the_list_are_taken(server, separated, model):
    answer = server.post(f"/api/songs/{separated[0]['id']}/jobs", {"model": model})
    assert answer.status == 422
    assert "unknown model" in answer.json["error"]


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"[" * 50_000, b"{}", b'{"model": 3}'])
def test_malformed_bodies(server, separated, body):
    assert server.post(f"/api/songs/{separated[0]['id']}/jobs", body).status == 400


def test_a_body_that_never_ends_is_cut(server, separated):
    answer = server.post(f"/api/songs/{separated[0]['id']}/jobs", b" " * 70_000)
    assert answer.status == 413


def test_three_gigabytes_are_refused_before_they_are_sent(server, library):
    connection = http.client.HTTPConnection(server.host, server.port, timeout=10)
    with contextlib.closing(connection):
        connection.putrequest("POST", "/api/songs?name=long.wav")
        connection.putheader("Content-Length", "3000000000")
        connection.endheaders(b"RIFF")
        answer = connection.getresponse()
        assert answer.status == 413
        assert b"up to 20 MB" in answer.read()
    assert not leftovers(library)


def test_so_is_a_stream_that_did_not_say_its_length(server, library):
    connection = http.client.HTTPConnection(server.host, server.port, timeout=10)
    chunks = (bytes(1 << 20) for _ in range(30))
    # The server need not read all of it.
    with contextlib.closing(connection), contextlib.suppress(ConnectionError):
        connection.request("POST", "/api/songs?name=long.wav", chunks, encode_chunked=True)
        assert connection.getresponse().status == 413
    assert not leftovers(library)


@pytest.mark.parametrize(
    ("name", "data", "status", "why"),
    [
        ("a.txt", b"not a song", 422, "a.txt: not an audio file"),
        ("a.wav", b"", 422, "a: the file is empty"),
        ("", b"RIFF", 400, "name is missing"),
        ("%20", b"RIFF", 400, "name is missing"),
    ],
)
def test_uploads_that_are_no_songs(server, library, name, data, status, why):
    answer = server.post(f"/api/songs?name={name}", data)
    assert answer.status == status
    assert why in answer.json["error"]
    assert not leftovers(library)


def test_a_connection_that_breaks_leaves_nothing(server, library):
    connection = http.client.HTTPConnection(server.host, server.port, timeout=10)
    connection.putrequest("POST", "/api/songs?name=song.wav")
    connection.putheader("Content-Length", "10000000")
    connection.endheaders(bytes(2_000_000))
    connection.close()
    end = time.monotonic() + 5
    while leftovers(library) and time.monotonic() < end:
        time.sleep(0.05)
    assert not leftovers(library)


def test_a_disk_that_fills_in_the_middle_is_one_sentence_and_the_rest_goes_on(
    server, library, separated, wav
):
    song, job = separated
    full = "The library's disk is full: delete songs or free some space."
    server.post(f"/api/jobs/{job['id']}/mixes", {"bits": "24"})  # both processes live
    with server.little_room(200_000):
        answer = server.upload(wav)
        assert (answer.status, answer.json["error"]) == (507, full)
    assert not leftovers(library)
    with server.little_room(200_000, of_children=True):
        lost = server.post(f"/api/songs/{song['id']}/jobs", {"model": "hpss"}).json["id"]
        assert server.wait_for(lost, "failed", "done")["error"] == full
        answer = server.post(f"/api/jobs/{job['id']}/mixes", {"pitch": 1})
        assert (answer.status, answer.json["error"]) == (507, full)
    assert not list((library / "songs").glob(f"*/hpss-{lost}/*"))
    assert not [path for path in (library / "mixes").iterdir() if path.name.startswith(".")]
    server.post(f"/api/jobs/{lost}/retry")
    server.wait_for(lost, "done")
    assert server.post(f"/api/jobs/{job['id']}/mixes", {"pitch": 1}).status == 201
    server.ask("DELETE", f"/api/jobs/{lost}")


def encoded(wav, suffix, tmp_path):
    """Return half a second of a song in another format."""
    samples = soundfile.read(io.BytesIO(wav), frames=22_050, dtype="float32")[0].T
    path = tmp_path / f"song.{suffix}"
    Audio(torch.from_numpy(samples), 44100).save(path)
    return path.read_bytes()


def test_damaged_uploads_are_never_the_servers_fault(server, library, wav, tmp_path):
    rng = random.Random(0)
    before = {song["id"] for song in server.get("/api/songs").json["songs"]}
    whole = [
        wav[:88_244],
        *(encoded(wav, each, tmp_path) for each in ("mp3", "flac", "ogg", "m4a")),
    ]
    for number in range(200):
        data = bytearray(whole[number % len(whole)])
        if rng.random() < 0.5:
            del data[rng.randrange(len(data)) :]
        for _ in range(rng.randrange(30)):
            if data:
                reach = min(len(data), rng.choice([100, 2000, len(data)]))
                data[rng.randrange(reach)] = rng.randrange(256)
        answer = server.upload(bytes(data), rng.choice(["a.wav", "b.mp3", "c.m3u8", "d"]))
        assert answer.status in (201, 413, 422), answer.body
    assert not leftovers(library)
    for song in server.get("/api/songs").json["songs"]:
        if song["id"] not in before:
            assert server.ask("DELETE", f"/api/songs/{song['id']}").status == 204


def test_a_silent_song_is_a_song(server):
    file = io.BytesIO()
    soundfile.write(file, np.zeros((4410, 2)), 44100, format="WAV")
    song = server.upload(file.getvalue(), "silence.wav").json["id"]
    job = server.post(f"/api/songs/{song}/jobs", {"model": "hpss"}).json["id"]
    assert server.wait_for(job, "done", "failed")["result"]["null_depth_db"] is None
    mix = server.post(f"/api/jobs/{job}/mixes", {"loudness": -14})
    assert (mix.status, mix.json["loudness_lufs"]) == (201, None)
    assert job in [each["id"] for each in next(server.events())[1]["jobs"]]
    assert server.get("/api/storage").json["library_bytes"] > 0
    server.ask("DELETE", f"/api/songs/{song}")


def test_no_request_that_fits_the_description_is_the_servers_fault(server, library):
    schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")
    from schemathesis.specs.openapi import checks

    file = io.BytesIO()
    soundfile.write(file, np.full((4410, 2), 0.1), 44100, format="WAV")
    song = server.upload(file.getvalue(), "described.wav").json["id"]
    job = server.post(f"/api/songs/{song}/jobs", {"model": "hpss"}).json["id"]
    server.wait_for(job, "done")
    described = server.get("/api/openapi.json").json
    real = {"song": song, "job": job, "stem": "harmonic", "number": 0}
    del described["paths"]["/api/events"]  # which never end
    schema = schemathesis.openapi.from_dict(described)
    schema.config.update(base_url=server.address.rstrip("/"))
    operations = [found.ok() for found in schema.get_all_operations()]
    statuses = set()
    for operation in sorted(operations, key=lambda each: each.method == "delete"):

        @settings(max_examples=20, database=None, derandomize=True, phases=[Phase.generate])
        @given(operation.as_strategy(), st.booleans())
        def ask(case, is_real):
            if is_real:
                names = case.path_parameters or {}
                case.path_parameters = {name: real.get(name, names[name]) for name in names}
            answer = case.call_and_validate(
                checks=[
                    schemathesis.checks.not_a_server_error,
                    checks.status_code_conformance,
                    checks.content_type_conformance,
                    checks.response_schema_conformance,
                ]
            )
            statuses.add((case.operation.label, answer.status_code))

        ask()
    for wanted in (("GET /api/jobs/{job}", 200), ("DELETE /api/songs/{song}", 204)):
        assert wanted in statuses
    assert not leftovers(library)


def test_twenty_clients_at_once(server, wav):
    def client(number):
        song = server.upload(wav, f"{number}.wav").json["id"]
        job = server.post(f"/api/songs/{song}/jobs", {"model": "hpss"}).json["id"]
        return song, job

    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        pairs = list(pool.map(client, range(20)))
    asked = time.monotonic()
    assert server.get("/api/health").status == 200
    assert time.monotonic() - asked < 2
    jobs = {job["id"]: job["state"] for job in server.get("/api/jobs").json["jobs"]}
    assert {job for _, job in pairs} <= set(jobs)
    for _, job in pairs[2:]:
        server.post(f"/api/jobs/{job}/cancel")
    for _, job in pairs[:2]:
        assert server.wait_for(job, "done", "cancelled")["state"] == "done"
    for song, job in pairs:
        server.wait_for(job, "done", "cancelled")
        assert server.ask("DELETE", f"/api/songs/{song}").status == 204


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "evil.example"}, 421),
        ({"Host": "127.0.0.1.evil.example"}, 421),
        ({"Host": "localhost:1234"}, 200),
        ({"Host": "[::1]:8000"}, 200),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://[broken"}, 403),
    ],
)
def test_who_may_ask(server, headers, status):
    answer = server.ask("GET", "/api/songs", None, **headers)
    assert answer.status == status
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "access-control-allow-origin" not in answer.headers


def test_a_link_on_another_site_leads_to_the_page(server):
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert server.get("/", **headers).status == 200
    assert server.get("/api/songs", **headers).status == 403


@pytest.mark.parametrize(
    "path",
    ["/static/../server.py", "/static/..%2f..%2fschema.py", "/static/%2e%2e", "/..%2f", "/x"],
)
def test_paths_lead_nowhere_else(server, path):
    answer = server.get(path)
    assert answer.status == 404
    assert set(answer.json) == {"error"}
