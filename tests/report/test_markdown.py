"""The report's section on labels: what it says, and that text from data cannot harm a terminal."""

import re
from pathlib import Path

import pytest

from choose.errors import StudyError
from choose.report.markdown import sentence
from choose.report.words import covered_by
from choose.report.write import check_output, render_markdown, write
from choose.schema.base import Interval
from choose.schema.decision import Decision
from choose.schema.diagnosis import Audit, LabelOverlap, NoiseBand, RelabelGain, Suspect
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


@pytest.mark.parametrize(
    "text",
    ["<img src=x>", "[x](javascript:alert(1))", "`x`", "@everyone", "a|b", "![x](http://e)", "# x"],
)
def test_text_is_shown_and_not_followed(text: str) -> None:
    # What GitHub would link stands in a code span, where nothing is read as markup.
    escaped = re.sub(r"`[^`\n]*`", "", sentence(text))
    assert not {"<", "@"} & set(escaped)
    assert "](" not in escaped.replace("\\](", "")
    assert "\\|" in escaped or "|" not in text


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


def suspect(id="T012", label="billing", suggested="payouts"):
    return Suspect(id=id, label=label, suggested=suggested, score=3.2, agree=2, answered=3)


def found(**facts):
    fields = {
        "auditors": ("probe", "tfidf"),
        "rows": 602,
        "accuracy": Interval(value=0.857, low=0.827, high=0.883),
        "noise": NoiseBand(low=0.018, high=0.173),
        "ceiling": Interval(value=0.959, low=0.827, high=0.982),
        "contradicted": 86,
        "suspected": 28,
        "suspects": tuple(suspect(f"T{i:03}") for i in range(12)),
        "overlaps": (LabelOverlap(a="billing", b="payouts", doubted=12, rows=150),),
        "gain": RelabelGain(
            candidate="probe", rows=28, gain=Interval(value=0.019, low=0.01, high=0.038)
        ),
        **facts,
    }
    return Audit(**fields)


def shown(audit):
    decision = decisions.decision().model_copy(update={"audit": audit})
    return " ".join(render_markdown(decision).replace("\\", "").split())


def test_the_section_says_what_the_record_holds():
    said = shown(found())
    for part in (
        "Between 1.8 % and 17.3 % of the labels may be wrong.",
        "perfect answers would score 82.7 to 98.2 %",
        "billing and payouts are confused: 12 doubted rows of 150.",
        "the 28 most doubted rows would add about 1.9 points",
        "disagree with 86 labels; check these 28 first",
        "T009",
        "2 of 3",
    ):
        assert part in said
    assert "| T010 |" not in said  # ten at most


def test_intervals_of_single_and_of_several_runs_are_told_apart():
    """ "... and retraining on the same training pool; the choice of test rows, not retraining"."""
    once, often = (Interval(value=0.8, estimand=e) for e in ("artefact", "refits"))
    assert covered_by([once]) == "Intervals cover the choice of test rows, not retraining."
    assert covered_by([once, often]) == (
        "Intervals cover the choice of test rows, and after several runs retraining on the same "
        "training pool."
    )


def test_no_audit_no_section():
    assert "most doubted labels" not in shown(None)


def test_hostile_text_is_shown_and_not_obeyed():
    evil = decisions.HOSTILE
    said = shown(
        found(
            suspects=(suspect(evil, evil, evil),),
            overlaps=(LabelOverlap(a=evil, b=evil, doubted=2, rows=4),),
            auditors=(evil,),
            gain=RelabelGain(candidate=evil, rows=1, gain=Interval(value=0.1)),
        )
    )
    assert not set("\x1b\x07\x9b\u202e\udc80") & set(said)
