"""--expect, --fail-under, the JUnit file and the job summary."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest

from choose.cli.ci_gates import check_share, check_words, expect, not_under
from choose.errors import StudyError
from choose.report.markdown import render_markdown
from choose.report.write import render_junit
from choose.schema.decision import Decision, Gate
from choose.schema.plan import LeftOut
from support import decisions
from support.studies import write_csv

QUICK = ("-s", "tfidf", "--seeds", "1", "--sizes", "1", "--noise", "0", "--out", "st")


def adopted() -> Decision:
    """Lora, fine-tuning, adopted."""
    return decisions.decision("adopt")


def undecided() -> Decision:
    return decisions.decision("too-close")


def test_a_verdict_a_family_or_a_candidate_can_be_expected() -> None:
    decision = adopted()
    named, family = decision.verdict.recommended, decision.verdict.family
    assert named
    assert family
    for wanted in ("adopt", named, family, f"too-close,{named}", f" {family} , none-works"):
        assert expect(decision, wanted).met, wanted
    for wanted in ("too-close", "majority", "baseline", "none-works,fix-labels"):
        assert not expect(decision, wanted).met, wanted
    sentence = expect(decision, "none-works,fix-labels").sentence
    assert sentence == f"Expected none-works or fix-labels, found adopt: {named} ({family})."


def test_what_is_used_meanwhile_is_no_recommendation() -> None:
    decision = undecided()
    assert decision.verdict.recommended is None
    found = expect(decision, decision.verdict.use_meanwhile)
    assert not found.met
    assert f"use {decision.verdict.use_meanwhile} meanwhile" in found.sentence
    assert expect(decision, "too-close").met


def test_the_estimate_of_the_candidate_to_use_is_what_may_not_be_under() -> None:
    for decision in (adopted(), undecided()):
        pick = decision.verdict.recommended or decision.verdict.use_meanwhile
        card = next(c for c in decision.scorecards if c.candidate == pick)
        assert card.accuracy is not None
        assert card.accuracy.low is not None
        assert not_under(decision, card.accuracy.value).met
        assert not_under(decision, card.accuracy.low).met
        over = not_under(decision, card.accuracy.value + 0.001)
        assert not over.met
        assert pick in over.found
    unmeasured = adopted().model_copy(update={"scorecards": ()})
    assert not not_under(unmeasured, 0.0).met


@pytest.mark.parametrize("least", [-0.1, 1.1, 85, float("nan")])
def test_an_accuracy_is_a_share(least: float) -> None:
    with pytest.raises(StudyError, match="share"):
        check_share(least)


def test_what_can_never_be_met_is_refused() -> None:
    check_words(["adopt", "fine-tuning,mine"], ["mine"])
    with pytest.raises(StudyError, match="'baseline'"):
        check_words(["adopt,basline"], ["mine"])


def suites(decision: Decision, *checks: object) -> dict[str, list[Xml.Element]]:
    root = Xml.fromstring(render_junit(decision, checks))  # type: ignore[arg-type]
    assert root.tag == "testsuites"
    return {s.attrib["name"]: list(s) for s in root}


def test_junit_has_a_case_for_each_expectation_and_each_check() -> None:
    decision = adopted()
    found = suites(decision, expect(decision, "adopt"), not_under(decision, 1.0))
    met, unmet = found["choose expectations"]
    assert (met.attrib["name"], len(met)) == ("expect adopt", 0)
    assert unmet.find("failure").attrib["message"].startswith("Expected an accuracy")  # type: ignore[union-attr]
    cases = {case.attrib["name"]: case for case in found["choose checks"]}
    assert set(cases) == {gate.name for gate in decision.gates}
    for gate in decision.gates:
        assert (cases[gate.name].find("skipped") is None) == (gate.status == "pass")
        assert cases[gate.name].find("failure") is None
    root = Xml.fromstring(render_junit(decision, [not_under(decision, 1.0)]))
    assert (root.attrib["failures"], root.attrib["tests"]) == ("1", str(1 + len(decision.gates)))


def test_hostile_text_stays_text_in_junit() -> None:
    hostile = f"{decisions.HOSTILE} <script>&amp;]]>\x00\ufffe\"'"
    gates = tuple(
        Gate(name=hostile, status=status, evidence=hostile) for status in ("pass", "fail")
    )
    decision = adopted().model_copy(update={"gates": gates})
    text = render_junit(decision, [expect(decision, hostile)])
    cases = suites(decision, expect(decision, hostile))["choose checks"]
    assert len(cases) == 2
    assert "<script>" in cases[0].attrib["name"]
    assert not {"\x1b", "\x00", "\x07", "\u202e", "\ufffe"} & set(text)


def test_markdown_says_what_the_build_expected() -> None:
    decision = adopted()
    text = render_markdown(decision, [expect(decision, "adopt"), not_under(decision, 1.0)])
    assert "- met: Expected adopt" in text
    assert "- NOT MET: Expected an accuracy" in text
    assert "What the build expected" not in render_markdown(decision)


def test_exit_code_3_and_one_line(choose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    data = write_csv(tmp_path / "words.csv")
    summary = tmp_path / "summary.md"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    result = choose(
        "compare",
        data,
        *QUICK,
        "--expect",
        "fine-tuning",
        "--fail-under",
        "0.5",
        "--json",
        "-o",
        "junit.xml",
        "--github-summary",
    )
    assert result.code == 3
    assert json.loads(result.out)["schema"] == 1
    *_, last, page = result.err.strip().splitlines()
    assert last.startswith("Error: Expected fine-tuning, ")
    assert page == "Report: st/report.html"
    failures = Xml.parse("junit.xml").getroot().attrib["failures"]
    assert failures == "1"
    written = summary.read_text(encoding="utf-8")
    assert written.startswith("before\n")
    assert "NOT MET: Expected fine" in written
    again = choose("report", "st", "--expect", "nothing-compared", "--fail-under", "0.5")
    assert again.code == 0
    assert choose("report", "st", "--fail-under", "50%").code == 0
    under = choose("report", "st", "--fail-under", "1.0", "--expect", "none-works")
    assert under.code == 3
    assert "Expected none-works" in under.err
    assert choose("report", "st", "--expect", "tfdif").code == 2
    assert len(written) == len(summary.read_text(encoding="utf-8"))
    monkeypatch.delenv("GITHUB_STEP_SUMMARY")
    assert "is not set" in choose("report", "st", "--github-summary").err


def test_a_wrong_gate_is_refused_before_anything_runs(choose, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    data = write_csv(tmp_path / "words.csv")
    for flags, says in (
        (("--expect", "tfdif"), "tfidf"),
        (("--fail-under", "85"), "write 0.85 or 85%. It is held against the study's metric"),
        (("--fail-under", "much"), "it must be a share such as 0.85, or 85%"),
        (("--fail-under", "nan"), "it must be a share such as 0.85, or 85%"),
    ):
        result = choose("compare", data, *QUICK, *flags)
        assert result.code == 2
        assert says in " ".join(result.err.split())
        assert len(result.err.strip().splitlines()) == 1
    assert not Path("st").exists()


def test_a_summary_larger_than_github_shows_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from choose.cli.ci_gates import SUMMARY_LIMIT, summarise

    place = tmp_path / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(place))
    summarise(adopted().model_copy(update={"left_out": (LeftOut(text="ü" * 100),) * 9_000}), ())
    assert 0.9 * SUMMARY_LIMIT < place.stat().st_size < SUMMARY_LIMIT + 100
    assert "Cut:" in place.read_text(encoding="utf-8")[-60:]
