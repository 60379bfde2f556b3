import math

from partita.html import figure, html_table


def test_tables():
    html = html_table(
        ["in dB", "SDR"], [["<b>", "1"], ["b", "2"]], caption="a & b", notes=["<i>"], bold=[(1, 1)]
    )
    assert html.startswith("<div><div>a &amp; b</div>")
    assert html.endswith("<div><small>&lt;i&gt;</small></div></div>")
    assert ">&lt;b&gt;</td>" in html
    assert html.count("text-align:left") == 3
    assert html.count("text-align:right") == 3
    assert html.count("<b>") == 1
    assert "><b>2</b></td>" in html


def test_figures():
    assert [figure(value) for value in (1.234, -0.001, -5.0, math.nan, math.inf)] == [
        "1.23", "0.00", "−5.00", "–", "inf"
    ]  # fmt: skip
