"""Markdown: whole tables, text from data that nothing obeys, and which form an ending names."""

from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from choose.errors import StudyError
from choose.report.markdown import sentence
from choose.report.write import check_output, render_markdown, write
from choose.schema.decision import Decision
from support import decisions


def test_every_row_of_a_table_has_as_many_cells_as_its_head() -> None:
    for decision in (decisions.decision(), decisions.hostile(), decisions.reading()):
        lines = render_markdown(decision).splitlines()
        widths = [line.replace("\\|", "").count("|") for line in lines]
        rows = [place for place, line in enumerate(lines) if line.startswith("| ")]
        assert len(rows) > 10
        for place in rows:
            if lines[place - 1].startswith("| "):
                assert widths[place] == widths[place - 1], lines[place]


def test_backticks_of_a_path_are_quoted_where_its_command_is_pasted() -> None:
    """They became apostrophes, and the shell ran what stood between them."""
    page = render_markdown(decisions.decision(), store=Path("a`$(cmd)`"))
    tokens = [one for block in MarkdownIt("commonmark").parse(page) for one in block.children or ()]
    commands = [one.content for one in tokens if one.type == "code_inline"]
    assert "choose report 'a`$(cmd)`' -o report.html" in commands


def test_the_time_for_a_word_grows_with_its_length() -> None:
    """A column name of 100,000 letters took minutes."""
    long = "t" * 1_000_000
    assert sentence(f"{long} {long}@b") == f"{long} `{long}@b`"


@pytest.mark.parametrize("ending", [".html", ".md", ".json"])
def test_the_ending_names_the_form(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"r{ending}"
    write("decision", decisions.decision(), path)
    text = path.read_text(encoding="utf-8")
    if ending == ".json":
        assert Decision.model_validate_json(text) == decisions.decision()
    else:
        assert "cheap baseline" in text


def test_an_unknown_ending_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"Allowed: \.html, \.md, \.json"):
        check_output("decision", tmp_path / "report.pdf")
    folder = tmp_path / "x.html"
    folder.mkdir()
    with pytest.raises(StudyError, match="folder"):
        check_output("decision", folder)
