"""The page: foreign text stays text, pictures are inside, nothing is fetched."""

from pathlib import Path

import pytest

from data import markdown
from data.reports import charts, page
from data.reports.page import Section

HOSTILE = [
    "<script>alert(1)</script>",
    "![x](http://example.org/a.png)",
    "[click](javascript:alert(1))",
    "a|b\n\n# c",
    "`x` **b**",
    "\\|<b>",
]


def test_foreign_text_is_shown_as_text(tmp_path: Path) -> None:
    body = markdown.markdown_table(["said"], [[page.quote_text(text)] for text in HOSTILE])
    page.write_page(tmp_path, "<i>title</i>", [Section("<u>s</u>", body)])
    made = (tmp_path / "report.html").read_text()
    for forbidden in (
        "<script",
        "<img",
        'href="javascript',
        "<strong>",
        "<code>",
        "<i>",
        "<u>",
        "<b>",
        "<h1>c",
    ):
        assert forbidden not in made, forbidden
    assert made.count("<tr>") == len(HOSTILE) + 1
    for shown in (
        "&lt;script&gt;alert(1)&lt;/script&gt;",
        "![x](http://example.org/a.png)",
        "a|b / # c",
        "`x` **b**",
    ):
        assert shown in made, shown


def test_a_cell_is_cut_off() -> None:
    assert page.quote_text("x" * 1_000_000, 10) == "xxxxxxxxxx ..."


def test_pictures_are_inside_and_sections_fold(tmp_path: Path) -> None:
    charts.bars_chart([("a", [("m", 0.5, 0.4, 0.6)])], {"m"}, tmp_path / "one.png")
    page.write_page(
        tmp_path, "t", [Section("Chart", "![a chart](one.png)"), Section("Errors", "text", folded=True)]
    )
    made = (tmp_path / "report.html").read_text()
    assert 'src="data:image/png;base64,iVBOR' in made
    assert "one.png" not in made
    assert '<details id="s1"><summary>Errors</summary>' in made
    assert "default-src 'none'" in made
    assert (
        tmp_path / "report.md"
    ).read_text() == "# t\n\n## Chart\n\n![a chart](one.png)\n\n## Errors\n\ntext\n"


@pytest.mark.parametrize("value", ["a|b", "a\\|b"])
def test_a_bar_in_a_cell_does_not_end_it(value: str) -> None:
    assert markdown.markdown_table(["x"], [[value]]).splitlines()[-1] == "| a\\|b |"
