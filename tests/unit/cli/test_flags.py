import logging

import pytest

from partita.cli.console import ProgressDisplay, print_error, set_up_logging
from partita.cli.flags import with_flags


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("`segment_s` 0.05 is too short", "--segment 0.05 is too short"),
        ("`two_stems` and `stems`", "--two-stems and --stems"),
        ('`device="cpu"` has more', "--device cpu has more"),
        ("`keep_rate=True` keeps it", "--keep-rate keeps it"),
        ("`weights`, `settings`", "--from, --set"),
        ("`logging.DEBUG` tells more", "--verbose tells more"),
        (
            "`no_such_thing` stays, as does a `b c.wav`",
            "`no_such_thing` stays, as does a `b c.wav`",
        ),
    ],
)
def test_parameters_become_flags(message, shown):
    assert with_flags(message) == shown


def test_wherever_messages_are_printed(capsys):
    print_error("`out` is needed")
    set_up_logging(verbose=False, quiet=False)
    logging.getLogger("partita.somewhere").warning("`resume=True` goes on")
    with ProgressDisplay(enabled=False) as display:
        display.print("`jobs` is 3")
    printed = capsys.readouterr()
    assert printed.err == "partita: --out is needed\npartita: --resume goes on\n"
    assert printed.out == "--jobs is 3\n"
