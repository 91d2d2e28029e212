"""Which prompt or model of the named family: what others reach, and whose the chance is."""

import pytest

from choose.report import words
from choose.schema.base import Interval
from choose.schema.decision import Decision
from choose.schema.standings import FamilyResult, Standing
from support import decisions


def prompted(low: float, high: float, chance: float = 0.995) -> Decision:
    """Return a decision that names prompt-big; prompt-small answered 100 rows for a 17th."""
    base = decisions.decision("adopt")
    score = Interval(value=0.8)
    gap = Interval(value=(low + high) / 2, low=low, high=high)
    scores = (round(0.78 + gap.value, 3), 0.78)
    facts = {"family": "prompting", "accuracy": score}
    standings = (
        Standing(candidate="prompt-big", chosen=True, usd_per_1k=15.0, rows=516, **facts),
        Standing(
            candidate="prompt-small", usd_per_1k=0.9, rows=100, common=100, difference=gap,
            compared=scores, **facts,
        ),
        Standing(candidate="tfidf", family="baseline", difference=Interval(value=-0.16)),
    )  # fmt: skip
    names = ("prompt-small", "prompt-big")
    families = (
        FamilyResult(family="prompting", best="prompt-big", members=names),
        FamilyResult(family="baseline", best="tfidf"),
    )
    changed = {
        "use_meanwhile": "prompt-big", "usable": True, "unmeasured": (),
        "recommended": "prompt-big", "families": families, "leads": {},
        "chance": {"prompting": chance, "baseline": 1 - chance},
    }  # fmt: skip
    verdict = base.verdict.model_copy(update=changed)
    cards = (*base.scorecards, decisions.model("prompt-big", "prompting", 0.8, 300.0))
    changed = {"standings": standings, "verdict": verdict, "scorecards": cards}
    return base.model_copy(update=changed)


def test_the_cheaper_tie_is_named_and_the_chance_is_of_the_family() -> None:
    decision = prompted(-0.1, 0.06)
    assert words.how_sure(decision) == "over 99 % sure of the family"
    assert next(words.doubts(decision)) == (
        "Within prompting, the choice is open: prompt-small 76 % against 78 % on 100 rows at $0.90 "
        "instead of $15.00 for 1,000."
    )


def test_a_member_that_is_worse_for_certain_leaves_the_choice_settled() -> None:
    decision = prompted(-0.2, -0.04)
    assert words.how_sure(decision) == "over 99 % sure"
    assert next(words.doubts(decision)).startswith("Within prompting, the choice is settled: ")


@pytest.mark.parametrize(("chance", "said"), [(0.96, False), (0.85, True)])
def test_what_is_far_behind_is_not_said_to_do_as_well(chance: float, said: bool) -> None:
    told = " ".join(words.doubts(prompted(-0.2, -0.04, chance)))
    assert ("may do as well for less" in told) is said
