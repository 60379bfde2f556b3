"""The lines of ``partita separate --report``."""

from partita.cli.quality import report_lines
from partita.cli.terminal import wrapped


def stem(sdr_db=8.4, low=5.2, high=10.9, **values):
    found = {"sdr_db": sdr_db, "intervals_db": {"80": [low, high]}, "level_db": -6.0}
    return {**found, "known_stem": True, "known_model": True, "quiet": False, **values}


def suspect(name, start_s, end_s, reason="bleed from drums", drop_db=7.0):
    return {"stem": name, "start_s": start_s, "end_s": end_s, "reason": reason, "drop_db": drop_db}


def lines(stems, *suspects):
    return report_lines({"stems": stems, "suspects": suspects})


def test_stems_have_a_word_an_estimate_and_an_interval():
    stems = {"vocals": stem(), "drums": stem(4.4, -0.3, 7), "bass": stem(-1.6, -7, 2)}
    assert lines(stems) == [
        "  vocals: good (SDR about 8 dB, 5 to 11)",
        "  drums: fair (SDR about 4 dB, 0 to 7)",
        "  bass: poor (SDR about −2 dB, −7 to 2)",
    ]


def test_words_agree_with_the_number_shown():
    assert lines({"vocals": stem(3.6)})[0].startswith("  vocals: fair (SDR about 4 dB")
    assert lines({"vocals": stem(3.4)})[0].startswith("  vocals: poor (SDR about 3 dB")


def test_what_cannot_be_told():
    stems = {"vocals": stem(None), "piano": stem(known_stem=False, known_model=False)}
    assert lines(stems) == [
        "  vocals: silent",
        "  piano: good (SDR about 8 dB, 5 to 11; not calibrated for this stem)",
    ]
    assert lines({"bass": stem(known_model=False)}) == [
        "  bass: good (SDR about 8 dB, 5 to 11; not calibrated for this model)",
    ]


def test_quiet_stems():
    (line,) = lines({"vocals": stem(quiet=True, level_db=-31.4)})
    assert line.endswith("; quiet (−31 dB): the song may not have it")


def test_suspect_seconds_in_the_order_of_time_the_worst_of_many():
    found = [suspect("vocals", 10.0 * i, 10.0 * i + 2, drop_db=i) for i in range(7)]
    (line,) = lines({"vocals": stem()}, *found)
    assert line.endswith(
        "; suspect 0:40–0:42 (bleed from drums), 0:50–0:52 (bleed from drums), "
        "1:00–1:02 (bleed from drums) and 4 more"
    )


def test_suspects_of_all_stems_have_a_line():
    clipped = suspect("", 3.0, 4.0, "the song is clipped", None)
    assert lines({"vocals": stem()}, clipped)[1] == (
        "  all stems: suspect 0:03–0:04 (the song is clipped)"
    )


def test_lines_fit_narrow_terminals():
    (line,) = lines({"vocals": stem()}, suspect("vocals", 62, 65), suspect("vocals", 100, 104))
    assert all(len(part) <= 80 for part in wrapped(line, 4, 80).splitlines())


def test_no_report():
    assert report_lines({}) == []
