"""Which prompt or model of the named family: what others reach, and whose the chance is."""

import pytest

from choose.report import words
from choose.schema.base import Interval
from choose.schema.decision import Decision, FamilyResult
from choose.schema.diagnosis import ErrorOverlap
from choose.schema.scorecard import Cost, Scorecard
from support import decisions


def prompted(low: float, high: float, chance: float = 0.995) -> Decision:
    """Return a decision that names prompt-big; prompt-small answered 100 rows for a 17th."""
    base = decisions.decision("adopt")
    gap = Interval(value=(low + high) / 2, low=low, high=high)
    scores = (round(0.78 + gap.value, 3), 0.78)
    facts = {"strategy": "prompt", "family": "prompting", "accuracy": Interval(value=0.8)}
    cards = (
        Scorecard(
            candidate="prompt-big", chosen=True, cost=Cost(usd_per_1k=15.0), rows=516, **facts
        ),
        Scorecard(
            candidate="prompt-small", cost=Cost(usd_per_1k=0.9), rows=100, common=100,
            difference=gap, compared=scores, **facts,
        ),
        decisions.cheap("tfidf", 0.64, 0.06, difference=Interval(value=-0.16)),
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
    return base.model_copy(update={"verdict": verdict, "scorecards": cards})


def test_the_cheaper_tie_is_named_and_the_chance_is_of_the_family() -> None:
    decision = prompted(-0.1, 0.06)
    assert words.how_sure(decision) == "over 99 % sure of the family"
    assert next(words.doubts(decision)) == (
        "Within prompting, the choice is open: prompt-small 76 % at $0.90 for 1,000 against 78 % "
        "on 100 rows."
    )


def test_a_member_that_is_worse_for_certain_leaves_the_choice_settled() -> None:
    decision = prompted(-0.2, -0.04)
    assert words.how_sure(decision) == "over 99 % sure"
    assert next(words.doubts(decision)).startswith("Within prompting, the choice is settled: ")


@pytest.mark.parametrize(("chance", "said"), [(0.96, False), (0.85, True)])
def test_what_is_far_behind_is_not_said_to_do_as_well(chance: float, said: bool) -> None:
    told = " ".join(words.doubts(prompted(-0.2, -0.04, chance)))
    assert ("may do as well for less" in told) is said


@pytest.mark.parametrize(
    ("low", "said"),
    [(0.1, ", but tfidf is 19.0 points worse."), (-0.1, "months."), (None, "months.")],
)
def test_labels_of_what_is_worse_are_not_just_paid_back(low: float | None, said: str) -> None:
    found = decisions.served()
    lost = None if low is None else Interval(value=0.19, low=low, high=0.3)
    payback = found.payback.model_copy(update={"lost": lost})
    assert words.payback(found.model_copy(update={"payback": payback})).endswith(said)


def test_shared_errors_speak_of_agreement_where_a_model_is_taken_for_right() -> None:
    found = decisions.decision()
    agreed = found.model_copy(update={"goal": {**found.goal, "agreement": "gpt-4o"}})
    alike = ErrorOverlap(
        candidates=("a", "b"), rows=100, wrong_in_all=7, oracle=Interval(value=0.4)
    )
    agreed = agreed.model_copy(update={"overlap": alike})
    said = " ".join(words.shared_errors(agreed))
    assert "Both candidates are against gpt-4o on 7 of 100 rows" in said
    assert not {"right", "wrong"} & {*said.replace(".", "").split()}
