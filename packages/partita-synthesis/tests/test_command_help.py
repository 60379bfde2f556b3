"""What ``partita data --help`` imports of this package."""

import subprocess
import sys


def test_the_help_imports_nothing_heavy():
    code = (
        "import sys\nsys.argv = ['partita', 'data', '--help']\nfrom partita.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n"
        "    print(sorted({'scipy', 'pedalboard'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert "synthesize" in done
    assert done.endswith("[]\n"), done
