"""Google Cloud Storage, against an emulator where one is installed."""

import socket

import pytest

from partita.catalogue.transport.faults import Patience
from partita.catalogue.transport.store_files import StoreFiles

FILES = StoreFiles(Patience(tries=2, first_s=0.01, most_s=0.02))
ROOT = "gs://music"


@pytest.fixture(scope="module")
def _google():
    pytest.importorskip("gcsfs", reason="gcsfs is not installed")
    server = pytest.importorskip(
        "gcp_storage_emulator.server", reason="gcp-storage-emulator is not installed"
    )
    with socket.socket() as free, pytest.MonkeyPatch.context() as monkeypatch:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
        free.close()
        running = server.create_server("127.0.0.1", port, in_memory=True, default_bucket="music")
        running.start()
        yield
        running.stop()


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")  # gcsfs
@pytest.mark.usefixtures("_google")
def test_files_of_google_storage(tmp_path):
    assert FILES.write_once(f"{ROOT}/a/one.json", b"content")
    assert FILES.read(f"{ROOT}/a/one.json") == b"content"
    found = FILES.find(f"{ROOT}/a/one.json")
    assert found.size == 7
    assert found.version
    assert list(FILES.list(f"{ROOT}/a")) == [found]
    assert list(FILES.list(f"{ROOT}/none")) == []
    (tmp_path / "song").mkdir()
    stem = bytes(range(256)) * 40_000  # two parts
    (tmp_path / "song/vocals.flac").write_bytes(stem)
    (tmp_path / "song/drums.flac").write_bytes(b"small")
    FILES.publish(tmp_path, f"{ROOT}/out")
    names = [each.address for each in FILES.list(f"{ROOT}/out")]
    assert names == [f"{ROOT}/out/song/{stem}.flac" for stem in ("drums", "vocals")]
    with FILES.open_source(names[1]) as path:
        assert path.read_bytes() == stem
    FILES.remove(names[1])
    FILES.remove(names[1])
    for look in (FILES.find, FILES.read):
        with pytest.raises(FileNotFoundError, match="no such file"):
            look(names[1])
