"""Files of object stores and web servers, against real servers that misbehave."""

import errno
import logging
import pickle
import shutil
import subprocess
import sys
import threading

import numpy as np
import pytest

from audio_files import encode
from partita.audio.reader import open_audio
from partita.catalogue.files import SourceChangedError
from partita.catalogue.transport import fetching, publishing
from partita.catalogue.transport.faults import Patience
from partita.catalogue.transport.filesystems import file_system
from partita.catalogue.transport.ranged import BLOCK_BYTES
from partita.catalogue.transport.store_files import StoreFiles
from store_servers import KEY, SECRET, Answer

pytest.importorskip("fsspec", reason="fsspec is not installed")

FILES = StoreFiles(Patience(tries=3, first_s=0.01, most_s=0.02))
ROOT = "s3://music"


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch):
    """As small as S3 allows."""
    for module in (fetching, publishing):
        monkeypatch.setattr(module, "PART_BYTES", 5 << 20)


def test_small_files_are_written_once(s3):
    files = pickle.loads(pickle.dumps(FILES))
    address = files.join(ROOT, "records", "00000", "a.1.done.json")
    assert address == "s3://music/records/00000/a.1.done.json"
    assert files.write_once(address, b"first")
    assert not files.write_once(address, b"second")
    assert files.read(address) == b"first"
    found = files.find(address)
    assert (found.size, len(found.version)) == (5, 32)
    files.remove(address)
    files.remove(address)
    with pytest.raises(FileNotFoundError, match="no such file"):
        files.read(address)
    with pytest.raises(FileNotFoundError):
        files.find(address)


def test_of_many_writers_one_is_first(s3):
    wrote = []

    def write(number):
        if FILES.write_once(f"{ROOT}/record", f"writer {number}".encode()):
            wrote.append(number)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [f"writer {number}".encode() for number in wrote] == [FILES.read(f"{ROOT}/record")]


@pytest.mark.parametrize(
    "answer", [Answer(0, after=True), Answer(500, "InternalError", after=True)]
)
def test_who_wrote_but_got_no_answer_was_first(s3, answer):
    s3.fail(1, answer, "PUT")
    assert FILES.write_once(f"{ROOT}/record", b"mine")


def test_a_store_without_conditional_writes(s3):
    s3.fail(2, Answer(501, "NotImplemented"), part="#create")
    assert FILES.write_once(f"{ROOT}/record", b"first")
    assert not FILES.write_once(f"{ROOT}/record", b"second")
    assert FILES.read(f"{ROOT}/record") == b"first"


@pytest.mark.slow
@pytest.mark.parametrize("answer", [Answer(503, "SlowDown"), Answer(0), Answer(0, keep=2)])
def test_a_busy_store_is_asked_again(s3, answer):
    FILES.write_once(f"{ROOT}/a", b"content")
    s3.fail(2, answer)
    assert FILES.read(f"{ROOT}/a") == b"content"
    s3.fail(1000, answer)
    with pytest.raises(OSError, match=r"(the store is busy \(SlowDown\)|broke), after 3 tries"):
        FILES.read(f"{ROOT}/a")


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (Answer(403, "AccessDenied"), r"permission denied \(AccessDenied\)"),
        (Answer(403, "InvalidAccessKeyId"), "permission denied"),
        (Answer(403, "RequestTimeTooSkewed"), "refuses this machine's clock: set it right"),
        (Answer(400, "ExpiredToken"), "no valid credentials"),
    ],
)
def test_who_may_not_is_not_asked_again(s3, answer, says):
    s3.fail(1000, answer)
    with pytest.raises(OSError, match=says):
        FILES.read(f"{ROOT}/a")
    assert len(s3.requests) == 1


def test_nobody_is_there(monkeypatch):
    with pytest.raises(ConnectionError, match=r"cannot be reached, after 3 tries: 'http://127"):
        FILES.read("http://127.0.0.1:9/a")


def test_listings_come_page_by_page(s3):
    store = file_system(ROOT)
    for name in ("b/2.wav", "b/10.wav", "b/.hidden/3.wav", "b/sub/ü #?%20.wav", "bb/4.wav", "c"):
        store.pipe_file(f"music/{name}", b"..")
    s3.requests.clear()
    found = [each.address for each in FILES.list(f"{ROOT}/b")]
    assert found == [f"{ROOT}/b/10.wav", f"{ROOT}/b/2.wav", f"{ROOT}/b/sub/ü #?%20.wav"]
    assert FILES.read(found[-1]) == b".."
    assert len(s3.requests) == 2
    assert list(FILES.list(f"{ROOT}/nothing")) == []
    s3.fail(2, Answer(503, "SlowDown"))
    assert len(list(FILES.list(ROOT))) == 5


def test_a_listing_that_is_denied_half_way(s3, monkeypatch):
    store = file_system(ROOT)
    for number in range(5):
        store.pipe_file(f"music/{number}.wav", b"..")
    ask = store.call_s3
    monkeypatch.setattr(store, "call_s3", lambda *a, **k: ask(*a, **{**k, "MaxKeys": 2}))
    assert len(list(FILES.list(ROOT))) == 5
    s3.fail(1, Answer(403, "AccessDenied"), part="continuation-token")
    listing = FILES.list(ROOT)
    assert [next(listing).address[-5:] for _ in range(2)] == ["0.wav", "1.wav"]
    with pytest.raises(PermissionError, match="AccessDenied"):
        next(listing)


def _big(megabytes):
    return bytes(range(256)) * (4096 * megabytes)


@pytest.mark.slow
def test_songs_are_fetched_by_ranges(s3):
    store = file_system(ROOT)
    content = _big(11)
    store.pipe_file("music/song.flac", content)
    s3.requests.clear()
    with FILES.open_source(f"{ROOT}/song.flac") as path:
        assert path.name == "song.flac"
        assert path.read_bytes() == content
    assert not path.exists()
    assert s3.counts() == {"HEAD": 1, "GET": 3}
    s3.sent = 0
    s3.fail(2, Answer(0, keep=1 << 20), "GET")
    with FILES.open_source(f"{ROOT}/song.flac") as path:
        assert path.read_bytes() == content
    assert s3.counts()["GET"] == 3 + 5


@pytest.mark.slow
def test_a_song_that_changes_while_it_is_fetched(s3):
    store = file_system(ROOT)
    store.pipe_file("music/song.flac", _big(6))
    gets = []

    def change(method, path):
        if method == "GET":
            gets.append(path)
            if len(gets) == 2:
                s3.fault = None
                store.pipe_file("music/song.flac", _big(6)[::-1])

    s3.fault = change
    with pytest.raises(SourceChangedError, match="changed"), FILES.open_source(f"{ROOT}/song.flac"):
        pass


def test_sizes_that_no_song_has(s3, monkeypatch):
    store = file_system(ROOT)
    store.pipe_file("music/empty.wav", b"")
    store.pipe_file("music/song.wav", _big(1))
    with pytest.raises(OSError, match="empty"), FILES.open_source(f"{ROOT}/empty.wav"):
        pass
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(fetching.shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(OSError, match="space") as caught, FILES.open_source(f"{ROOT}/song.wav"):
        pass
    assert caught.value.errno == errno.ENOSPC
    monkeypatch.setattr(fetching, "MOST_BYTES", 1000)
    with pytest.raises(OSError, match="larger"), FILES.open_source(f"{ROOT}/song.wav"):
        pass


@pytest.fixture
def stems(tmp_path):
    folder = tmp_path / "finished"
    (folder / "song").mkdir(parents=True)
    (folder / "song/vocals.flac").write_bytes(_big(6))
    (folder / "song/drums.flac").write_bytes(_big(1))
    (folder / "song/bass.flac").write_bytes(b"small")
    return folder


def _names():
    return [each.address.removeprefix(f"{ROOT}/out/") for each in FILES.list(f"{ROOT}/out")]


@pytest.mark.slow
def test_stems_have_names_when_all_are_there(s3, stems):
    seen = []

    def watch(method, path):
        if method == "POST" and "uploadId=" in path:
            seen.append(any(m == "PUT" for m, _ in s3.requests[-1:]))

    s3.fault = watch
    FILES.publish(stems, f"{ROOT}/out")
    asked = [(method, path) for method, path in s3.requests if "uploadId=" in path]
    kinds = ["complete" if method == "POST" else "part" for method, _ in asked]
    assert kinds == ["part"] * 4 + ["complete"] * 3
    assert _names() == ["song/bass.flac", "song/drums.flac", "song/vocals.flac"]
    assert FILES.read(f"{ROOT}/out/song/vocals.flac") == _big(6)
    FILES.publish(stems, f"{ROOT}/out")  # replaces


@pytest.mark.slow
@pytest.mark.parametrize("part", ["uploads", "partNumber=2", "partNumber=1"])
def test_an_upload_that_fails_leaves_nothing(s3, stems, part):
    s3.fail(1000, Answer(403, "AccessDenied"), part=part)
    with pytest.raises(PermissionError):
        FILES.publish(stems, f"{ROOT}/out")
    s3.fault = None
    assert _names() == []
    assert _uploads() == []


def test_an_upload_that_cannot_be_completed_leaves_nothing(s3, stems):
    s3.fault = lambda method, path: (
        Answer(403, "AccessDenied") if method == "POST" and "vocals.flac?uploadId" in path else None
    )
    with pytest.raises(PermissionError):
        FILES.publish(stems, f"{ROOT}/out")
    s3.fault = None
    assert _names() == []
    assert _uploads() == []


@pytest.mark.slow
def test_who_is_killed_while_uploading_leaves_no_half_stem(s3, stems):
    reached, go_on = threading.Event(), threading.Event()

    def hold(method, path):
        if method == "POST" and "drums.flac?uploadId=" in path:  # bass has its name
            reached.set()
            go_on.wait(60)

    s3.fault = hold
    code = "import pathlib, sys; from partita.catalogue.transport.store_files import StoreFiles; "
    code += "StoreFiles().publish(pathlib.Path(sys.argv[1]), sys.argv[2])"
    worker = subprocess.Popen([sys.executable, "-c", code, str(stems), f"{ROOT}/out"])
    assert reached.wait(60)
    worker.kill()
    worker.wait()
    s3.fault = None
    go_on.set()
    whole = {"vocals": 6 << 20, "drums": 1 << 20, "bass": 5}
    for each in FILES.list(f"{ROOT}/out"):
        assert each.size == whole[each.address.split("/")[-1].removesuffix(".flac")]
    FILES.publish(stems, f"{ROOT}/out")
    assert len(_names()) == 3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("answer", "method", "part"),
    [
        (Answer(503, "SlowDown"), "PUT", "partNumber=2"),
        (Answer(0), "PUT", "partNumber"),
        (Answer(503, "SlowDown"), "POST", "uploadId="),
        (Answer(0, after=True), "POST", "uploadId="),  # completed, but the answer is lost
    ],
)
def test_uploads_survive_a_busy_store(s3, stems, answer, method, part):
    s3.fail(1, answer, method, part)
    FILES.publish(stems, f"{ROOT}/out")
    assert len(_names()) == 3
    assert _uploads() == []
    assert FILES.read(f"{ROOT}/out/song/vocals.flac") == _big(6)


def _uploads():
    store = file_system(ROOT)
    return store.call_s3("list_multipart_uploads", Bucket="music").get("Uploads", [])


@pytest.mark.slow
def test_no_secret_is_ever_told(s3, caplog, stems):
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, logger="partita")  # a command may have set another one
    told = []
    for answer in (Answer(403, "SignatureDoesNotMatch"), Answer(503, "SlowDown")):
        s3.fail(1000, answer)
        for action in (
            lambda: FILES.read(f"{ROOT}/a"),
            lambda: FILES.publish(stems, f"{ROOT}/out"),
            lambda: list(FILES.list(ROOT)),
        ):
            with pytest.raises(OSError, match=ROOT) as caught:
                action()
            told += [str(caught.value), repr(caught.value)]
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("partita")]
    assert ours
    for text in (*told, *ours, repr(FILES), pickle.dumps(FILES).decode("latin-1")):
        assert SECRET not in text
        assert KEY not in text
    assert all("\n" not in text for text in told)


def test_songs_on_web_servers(web):
    web.files = {"a b/one.wav": _big(1), "a b/sub/two.wav": b"..", "three.wav": b"."}
    web.links = ["../three.wav", "/three.wav", "https://elsewhere.example/x.wav", "sub/../../x.wav"]
    folder = f"{web.endpoint}/a%20b"
    found = [each.address for each in FILES.list(folder)]
    assert found == [f"{folder}/one.wav", f"{folder}/sub/two.wav"]
    one = FILES.find(found[0])
    assert (one.size, len(one.version)) == (1 << 20, 32)
    with FILES.open_source(found[0]) as path:
        assert path.read_bytes() == _big(1)
    web.fail(2, Answer(503), "GET")
    with FILES.open_source(found[0]) as path:
        assert path.read_bytes() == _big(1)
    web.fail(2, Answer(0, keep=1000), "GET")
    with FILES.open_source(found[0]) as path:
        assert path.read_bytes() == _big(1)
    with pytest.raises(FileNotFoundError):
        FILES.find(f"{folder}/none.wav")
    web.fail(1000, Answer(403))
    with pytest.raises(PermissionError):
        FILES.find(found[0])
    with pytest.raises(OSError, match="web servers take no files"):
        FILES.write_once(found[0], b"")


@pytest.mark.slow
def test_web_servers_without_ranges(web):
    web.files, web.ranges = {"one.wav": _big(6)}, False
    with FILES.open_source(f"{web.endpoint}/one.wav") as path:
        assert path.read_bytes() == _big(6)
    web.fail(1, Answer(0, keep=3 << 20), "GET")
    with FILES.open_source(f"{web.endpoint}/one.wav") as path:
        assert path.read_bytes() == _big(6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("song.flac", "flac"),
        ("song.wav", "pcm_s16le"),
        ("song.mp3", "libmp3lame"),
        ("song.m4a", "aac"),
        ("song.opus", "libopus"),
    ],
)
def test_only_ranges_of_songs_are_read(s3, tmp_path, name, codec):
    path, rate = tmp_path / name, 48000 if codec == "libopus" else 44100
    signal = np.random.default_rng(0).normal(0, 0.1, (1, rate * 10)).astype(np.float32)
    encode(path, np.repeat(signal, 2, axis=0), codec, rate=rate)
    file_system(ROOT).pipe_file(f"music/{name}", path.read_bytes())
    s3.requests.clear()
    s3.sent = 0
    with FILES.open_reader(f"{ROOT}/{name}") as reader:
        assert reader.duration_s == pytest.approx(10.0, abs=0.1)
        first = next(reader.blocks(4096))
    with open_audio(path) as local:
        np.testing.assert_allclose(first, next(local.blocks(4096)), atol=2e-5)
    assert s3.sent < min(path.stat().st_size, 4 * BLOCK_BYTES) + 1000
    assert len(s3.requests) <= 5
