"""Addresses: what is accepted, what is shown of them, and which files their names become."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partita.catalogue.files import files_of
from partita.catalogue.inputs import find_inputs
from partita.catalogue.transport import filesystems
from partita.catalogue.transport.addresses import check_destination, joined, safe_path, shown
from partita.errors import UsageError

SECRET = "SecretOfTheTests1234"


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("ftp://host/a.wav", r"not an address that is supported \(s3://, gs://, http://"),
        ("s3://bucket/a::s3://b", "not an address that is supported"),
        ("file:///etc/passwd", "not an address that is supported"),
        ("s3:///a.wav", "names no bucket"),
        ("http:///a.wav", "names no server"),
        ("http://host:port/a.wav", "is not an address"),
        (f"https://me:{SECRET}@host/a.wav", "carries a user name or password"),
        (f"s3://{SECRET}@bucket/a.wav", "carries a user name or password"),
        (f"https://host/a.wav?X-Amz-Signature={SECRET}", r"carries a secret \(X-Amz-Signature\)"),
        (f"https://host/a.wav?id=5&sig={SECRET}", r"carries a secret \(sig\)"),
        (f"https://host/a.wav?AWSAccessKeyId={SECRET}", "carries a secret"),
        (f"https://host/a.wav?access_token={SECRET}", "carries a secret"),
        ("s3://bucket/a\nb.wav", "has control characters"),
        ("s3://bucket/a\0b.wav", "has control characters"),
        ("s3://bucket/a/../b.wav", r"has a part \. or \.\."),
        ("https://host/a/%2e%2e/b.wav", r"has a part \. or \.\."),
    ],
)
def test_addresses_that_are_refused(address, says):
    with pytest.raises(UsageError, match=says) as caught:
        files_of(address)
    assert SECRET not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_addresses_that_are_accepted():
    pytest.importorskip("s3fs", reason="s3fs is not installed")
    for address in (
        *("s3://bucket/a b/ü #?%.flac", "S3://bucket/a", "s3://bucket"),
        *("https://host/a.wav?id=5", "http://host:8000/a%20b.wav", "C:\\music\\a.wav", "a.wav"),
    ):
        files_of(address)
    check_destination("s3://bucket/stems")
    with pytest.raises(UsageError, match="web servers take no files"):
        check_destination("https://host/stems")


def test_packages_that_are_missing_are_named(monkeypatch):
    monkeypatch.setitem(filesystems.SCHEMES, "s3", "no_such_package")
    with pytest.raises(UsageError, match=r"needs no_such_package: pip install 'partita\["):
        files_of("s3://bucket/a.wav")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"https://me:{SECRET}@host/a.wav?b=c", "https://…@host/a.wav?b=c"),
        (
            f"GET 'http://host/a?id=5&Signature={SECRET}': 403",
            "GET 'http://host/a?id=5&Signature=…'",
        ),
        (f"http://host/a?{SECRET * 2}", "http://host/a?…"),
        (f"http://host/a?name={SECRET * 2}", "http://host/a?name=…"),
        ("key AKIAIOSFODNN7EXAMPLE is unknown", "key … is unknown"),
        ("s3://bucket/a\nb", r"s3://bucket/a\nb"),
    ],
)
def test_what_is_shown_of_an_address(text, expected):
    assert shown(text).startswith(expected)
    assert SECRET not in shown(text)


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("a/b/c", "a/b/c"),
        ("/etc/passwd", "etc/passwd"),
        ("a//./b", "a/b"),
        ("../../a", "__/__/a"),
        ("..\\..\\a", "__/__/a"),
        ("C:\\a", "C_/a"),
        ("a\0b\n", "a_b_"),
        ("", "song"),
        ("...", "___"),
    ],
)
def test_keys_become_paths_below_their_folder(key, expected):
    assert safe_path(key) == expected


def test_long_names_stay_different():
    first, second = ("ü" * 300 + end for end in "ab")
    paths = {safe_path(first), safe_path(second)}
    assert len(paths) == 2
    assert max(len(os.fsencode(path)) for path in paths) <= 200


@settings(max_examples=50)
@given(st.text() | st.lists(st.sampled_from(["..", ".", "", "a", "\0", "\\", "C:"])).map("/".join))
def test_no_key_escapes(key):
    folder = Path("/out/stems")
    path = Path(os.path.normpath(folder / safe_path(key)))
    assert path.is_relative_to(folder)
    assert path != folder
    assert "\0" not in str(path)
    assert all(len(part.encode("utf-8", "replace")) <= 255 for part in path.parts)


def test_damaged_names_become_keys():
    assert (
        joined("s3://bucket/out/", "caf\udce9/vocals.wav") == "s3://bucket/out/caf\ufffd/vocals.wav"
    )


def test_tables_with_addresses_that_are_refused(tmp_path):
    table = tmp_path / "songs.csv"
    table.write_text(
        "url\nhttps://host/music/a%20b/one.wav?id=5\nhttps://host/music/two.wav\n"
        f"https://me:{SECRET}@host/music/three.wav\nhttps://host/music/four.wav?sig={SECRET}\n"
    )
    found = list(find_inputs([str(table)]))
    assert [each.track for each in found] == ["a b/one", "two", "three", "four"]
    assert [bool(each.fault) for each in found] == [False, False, True, True]
    assert len({each.address for each in found}) == 4
    assert SECRET not in repr(found)
