"""Build the documentation site, strictly: ``python scripts/docs_site [FOLDER]`` (``make docs``).

Warnings of Sphinx are errors, and so are links that lead nowhere. Nothing is fetched.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE))

import links  # noqa: E402
import pages  # noqa: E402
import reference  # noqa: E402


def main() -> int:
    """Build the site; return 1 if anything is wrong with it."""
    parser = argparse.ArgumentParser(description="Build the documentation site.")
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "build/site")
    site = parser.parse_args().folder
    try:
        from sphinx.cmd.build import main as sphinx
    except ImportError:
        print('the site needs Sphinx: pip install -c constraints.txt ".[docs]"', file=sys.stderr)
        return 2
    if site.exists() and any(site.iterdir()) and not (site / ".buildinfo").exists():
        print(f"{site} is no site: it is kept; name another folder", file=sys.stderr)
        return 2
    shutil.rmtree(site, ignore_errors=True)
    with tempfile.TemporaryDirectory() as name:
        source = Path(name)
        pages.gather(source, reference.pages())
        options = ["-q", "-E", "-W", "--keep-going", "-b", "html", "-c", str(HERE)]
        options += ["-D", f"html_extra_path={source / pages.EXTRA}"]
        status = sphinx([*options, "-d", f"{name}/.doctrees", name, str(site)])
    problems = list(links.broken_links(site)) if site.exists() else []
    for problem in problems:
        print(problem, file=sys.stderr)
    if not status and not problems:
        print(f"{site / 'index.html'}")
    return 1 if status or problems else 0


if __name__ == "__main__":
    sys.exit(main())
