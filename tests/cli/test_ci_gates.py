"""--expect and --fail-under."""

import json
from pathlib import Path

from choose.cli.ci_gates import expect, not_under
from choose.conformance import pool
from support import decisions
from support.studies import write_csv

QUICK = ("-s", "tfidf", "--set", "seeds=1", "--set", "noise=0", "--out", "st")


def test_a_verdict_a_family_or_a_candidate_can_be_expected() -> None:
    decision = decisions.decision("adopt")
    named, family = decision.verdict.recommended, decision.verdict.family
    assert named
    assert family
    for wanted in ("adopt", named, family, f"too-close,{named}", f" {family} , none-works"):
        assert expect(decision, wanted).met, wanted
    for wanted in ("too-close", "majority", "baseline", "none-works,fix-labels"):
        assert not expect(decision, wanted).met, wanted
    unmet = expect(decision, "none-works,fix-labels")
    assert unmet.expected == "none-works or fix-labels"
    assert unmet.found == f"adopt: {named} ({family})"


def test_what_is_used_meanwhile_is_no_recommendation() -> None:
    decision = decisions.decision("too-close")
    assert decision.verdict.recommended is None
    found = expect(decision, decision.verdict.use_meanwhile)
    assert not found.met
    assert f"use {decision.verdict.use_meanwhile} meanwhile" in found.found
    assert expect(decision, "too-close").met


def test_the_estimate_of_the_candidate_to_use_is_what_may_not_be_under() -> None:
    for decision in (decisions.decision("adopt"), decisions.decision("too-close")):
        pick = decision.verdict.recommended or decision.verdict.use_meanwhile
        card = next(c for c in decision.scorecards if c.candidate == pick)
        assert card.accuracy.low is not None
        assert not_under(decision, card.accuracy.value).met
        assert not_under(decision, card.accuracy.low).met
        over = not_under(decision, card.accuracy.value + 0.001)
        assert not over.met
        assert pick in over.found
    assert not not_under(decisions.changed(decisions.decision("adopt"), usable=False), 0.0).met
    assert not not_under(decisions.decision("adopt", scorecards=()), 0.0).met


def test_exit_code_3_and_one_line(choose, tmp_path: Path) -> None:
    data = write_csv(tmp_path / "words.csv", [(e.text, e.target) for e in pool(seed=3, rows=600)])
    gates = ("--expect", "fine-tuning", "--fail-under", "0.5")
    result = choose("compare", data, *QUICK, *gates, "--json")
    assert result.code == 3
    assert json.loads(result.out)["schema"] == 1
    *_, last, page = result.err.strip().splitlines()
    assert last.startswith("Error: Expected fine-tuning, ")
    assert page == "Report: st/report.html"
    assert choose("report", "st", "--expect", "baseline-is-enough", "--fail-under", "0.5").code == 0
    assert choose("report", "st", "--fail-under", "50%").code == 0
    under = choose("report", "st", "--fail-under", "1.0", "--expect", "none-works")
    assert under.code == 3
    assert "Expected none-works" in under.err
    assert choose("report", "st", "--expect", "tfdif").code == 2
    # Everything is right, so nothing that was not asked about could lead by the margin.
    assert choose("report", "st", "--min-chance", "0.9").code == 0
    assert choose("report", "st", "--min-chance", "2").code == 2


def test_a_wrong_gate_is_refused_before_anything_runs(refused, data: Path) -> None:
    for flags, says in (
        (("--expect", "tfdif"), "tfidf"),
        (
            ("--fail-under", "85"),
            "--fail-under '85' cannot be used: it is a share of 1: write 0.85",
        ),
        (("--fail-under", "much"), "write a share such as 0.85, or 85%."),
        (("--min-chance", "1.5"), "--min-chance '1.5' cannot be used: it is a share of 1: write"),
        (("--min-chance", "nan"), "write a share such as 0.85, or 85%."),
    ):
        assert says in refused("compare", data, *QUICK, *flags)
    assert not Path("st").exists()
