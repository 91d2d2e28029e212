"""Markdown: whole tables, text from data that nothing obeys, and which form an ending names."""

from pathlib import Path

import pytest

from choose.errors import StudyError
from choose.report.markdown import sentence
from choose.report.write import check_output, render_html, render_markdown, write
from choose.schema.decision import Decision
from choose.schema.diagnosis import Audit, LabelOverlap, NoiseBand, RelabelGain, Suspect
from choose.stats import Estimate
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


def test_the_time_for_a_word_grows_with_its_length() -> None:
    """A column name of 100,000 letters took minutes."""
    long = "t" * 1_000_000
    assert sentence(f"{long} {long}@b") == f"{long} `{long}@b`"


@pytest.mark.parametrize("render", [render_html, render_markdown], ids=["page", "Markdown"])
def test_hostile_labels_are_shown_and_not_obeyed(render) -> None:
    evil = decisions.HOSTILE
    audit = Audit(
        auditors=(evil,),
        rows=4,
        accuracy=Estimate(value=0.9),
        noise=NoiseBand(low=0.02, high=0.17),
        contradicted=1,
        suspected=1,
        suspects=(Suspect(id=evil, label=evil, suggested=evil, score=3.2, agree=2, answered=3),),
        overlaps=(LabelOverlap(a=evil, b=evil, doubted=2, rows=4),),
        gain=RelabelGain(candidate=evil, rows=1, gain=Estimate(value=0.1)),
    )
    said = render(decisions.decision().model_copy(update={"audit": audit}))
    assert said.count("evil") >= 5
    assert not set("\x1b\x07\x9b\u202e\udc80") & set(said)


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
