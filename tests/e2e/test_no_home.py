"""Bare user numbers, as containers have them: no home folder, or none that can be written to."""

import contextlib
import os
import stat
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import pytest

import partita
import partita_synthesis

NOBODY = 54321
#: The project, and the packages that it needs: another Python of this version may read them.
PACKAGES = (
    *(Path(package.__file__).parents[1] for package in (partita, partita_synthesis)),
    sysconfig.get_path("purelib"),
)
SHOW_HOME = "from partita.weights.cache_folder import cache_folder; print(cache_folder())"


def as_nobody(python, *arguments, **options):
    """Run Python as a user whom the system does not know."""
    return subprocess.run(
        [python, *arguments],
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
        capture_output=True,
        text=True,
        check=False,
        **options,
    )


@pytest.fixture(scope="module")
def python():
    """A Python of this version that everybody may run, and that finds what we import."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("only root becomes another user")
    other = f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"
    for each in (sys.executable, other):
        with contextlib.suppress(OSError):
            environment = {"PYTHONPATH": os.pathsep.join(map(str, PACKAGES))}
            code = "import torch, partita, partita_synthesis"
            if as_nobody(each, "-c", code, env=environment, cwd="/").returncode == 0:
                return each
    pytest.skip("other users cannot run this Python")


@pytest.fixture
def bare(write_song, python):
    """Run the command line as a user whom the system does not know, in a folder of theirs."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "song.wav").write_bytes(write_song().read_bytes())
        (folder / "tmp").mkdir()
        for path in (folder / "tmp", folder):
            os.chown(path, NOBODY, NOBODY)

        def run(*arguments, code=None, **environment):
            start = ["-c", code] if code else ["-m", "partita", *arguments]
            settings = {"PYTHONPATH": os.pathsep.join(map(str, PACKAGES)), **environment}
            settings = {"TMPDIR": str(folder / "tmp"), **settings}
            return as_nobody(python, *start, env=settings, cwd=folder)

        run.folder = folder
        yield run


@pytest.mark.parametrize(
    "environment", [{}, {"HOME": "/"}, {"HOME": "/nowhere"}, {"HOME": "/root"}]
)
def test_a_song_is_separated(bare, environment):
    result = bare("separate", "--model", "hpss", "song.wav", "-o", "out", **environment)
    assert (result.returncode, result.stderr) == (0, "")
    assert len(list((bare.folder / "out/hpss/song").glob("*.wav"))) == 3


def test_the_cache_is_a_private_folder_and_that_is_said_once(bare):
    result = bare("models", "fetch", "spleeter-2stems", PIP_NO_INDEX="1")
    cache = bare.folder / "tmp" / f"partita-{NOBODY}"
    assert result.returncode == 1
    said = f"partita: there is no home folder: weights are kept in {cache}; PARTITA_HOME sets"
    assert result.stderr.count("PARTITA_HOME") == 1
    assert result.stderr.startswith(said)
    assert "are not in the cache and cannot be fetched" in result.stderr
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700
    for home in ("", "/", "/nowhere", "/root"):
        result = bare(code=SHOW_HOME, HOME=home)
        assert result.stdout == f"{cache}\n"
        assert "weights are kept in" in result.stderr
    result = bare(code=SHOW_HOME, HOME=str(bare.folder))  # one that can be written to
    assert (result.stdout, result.stderr) == (f"{bare.folder}/.cache/partita\n", "")
    result = bare("doctor", "--json")
    assert result.returncode == 0, result.stderr
    assert f'"folder": "{cache}"' in result.stdout


@pytest.mark.parametrize("kind", ["folder", "link", "file"])
def test_what_somebody_else_put_there_is_not_used(bare, kind):
    cache = bare.folder / "tmp" / f"partita-{NOBODY}"
    if kind == "folder":
        cache.mkdir(mode=0o777)
    elif kind == "link":
        cache.symlink_to(bare.folder)
    else:
        cache.write_text("")
    result = bare("models", "list")
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"partita: {cache}")
    assert "PARTITA_HOME" in line
    result = bare(code=SHOW_HOME, PARTITA_HOME="mine")
    assert (result.stdout, result.stderr) == ("mine\n", "")


def test_a_folder_of_ours_that_others_could_read(bare):
    cache = bare.folder / "tmp" / f"partita-{NOBODY}"
    cache.mkdir(mode=0o755)
    os.chown(cache, NOBODY, NOBODY)
    assert bare(code=SHOW_HOME).stdout == f"{cache}\n"
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700


def test_looking_for_sounds(bare):
    code = (
        "from partita_synthesis import drum_kits, soundfonts\n"
        "print(*soundfonts._folders(), *drum_kits._hydrogen_folders())"
    )
    result = bare(code=code)
    assert result.returncode == 0, result.stderr
    assert "/usr/share/sounds/sf2" in result.stdout
