"""The answer in one line: "prompt, retrieve or fine-tune?" in at most twelve words."""

from __future__ import annotations

from choose.formatting import listed
from choose.judge.decision.rule import Case, deciding_difference
from choose.judge.decision.verdict_confidence import could_still_win
from choose.judge.decision.verdict_gates import contenders_credible
from choose.schema.decision import Kind
from choose.schema.score_names import amount

FIRST: dict[Kind, str] = {
    "collect-labels": "Label more first",
    "fix-labels": "Fix the labels first",
    "fix-documents": "Fix the documents first",
    "fix-retrieval": "Fix retrieval first",
}

# Shared rows of a comparison below which nobody should train by it while others wait.
FEW = 100

# The most words of the answer.
WORDS = 12


def answer(case: Case, kind: Kind) -> str:
    """Answer "prompt, retrieve or fine-tune?" in at most twelve words, about families."""
    family, do = case.family, _do(case)
    if kind == "nothing-compared":
        reached = amount(case.contenders.accuracies[case.name].value, case.noun)
        return f"{family.capitalize()} measured: {reached}; nothing else was compared."
    if case.contenders.only_guesses:
        return "Too early to tell: nothing that reads the text was measured."
    if kind == "none-works":
        target = case.contenders.rule.target
        if target is None or case.selection.reachable:
            return "None of these works yet."
        return f"None of these reaches {amount(target, case.noun)} yet."
    if kind in FIRST:
        first = FIRST[kind]
        if case.name in case.contenders.constants:
            return f"{first}; nothing works yet."
        return f"{first}; until then, {do[0].lower()}{do[1:]}."
    if kind == "too-close":
        return _bet(case) if family == "fine-tuning" else f"{do} for now; {_may_win(case)}."
    if len(case.contenders.compared) == 1:
        cheap = family == "baseline"
        what = f"cheap {case.words.baseline}s" if cheap else f"{case.words.called(family)} was"
        return f"Only {what} compared; the other families are open."
    do = do if kind == "adopt" else f"A cheap {case.words.baseline} is enough"
    if missing := [case.words.called(family) for family in could_still_win(case)]:
        said = f"{do} for now; {listed(missing)} {'is' if len(missing) == 1 else 'are'} open."
        return said if len(said.split()) <= WORDS else f"{do} for now; other families are open."
    strong_enough = kind == "adopt" or contenders_credible(case).status == "pass"
    return f"{do}{'' if strong_enough else ' for now'}."


def _bet(case: Case) -> str:
    """Say that training is likely worth it; "for now" would ask to train what may not be needed."""
    what = case.words.called("fine-tuning")
    if case.contenders.panel[case.name].info.reads:
        what = f"{what} with passages"
    if too_early(case, "too-close"):
        return f"Too early to bet on {what}; finish the study first."
    return f"Bet on {what}; {_may_win(case)}."


def too_early(case: Case, kind: Kind) -> bool:
    """Return whether training is only said to be worth it by some of the rows that are there."""
    if kind != "too-close" or case.family != "fine-tuning":
        return False
    rest = deciding_difference(case.contenders, case.selection)
    return rest is not None and rest.rows < min(FEW, len(case.contenders.panel.rows.targets))


def _may_win(case: Case) -> str:
    """Say which families are not ruled out, those that were not measured among them."""
    if case.selection.chosen:
        return "another family may reach the target"
    rivals = [n for n in case.selection.rivals if n not in case.contenders.constants]
    if not rivals:
        return "it may not beat plain guessing"
    ruled_in = (*map(case.contenders.family, rivals), *could_still_win(case))
    families = list(dict.fromkeys(ruled_in))
    if families == ["baseline"]:
        return f"{case.words.called('baseline')} may be enough"
    if len(families) > 2:
        return "any family may win"
    return f"{listed([case.words.called(family) for family in families])} may win"


def _do(case: Case) -> str:
    reads = case.contenders.panel[case.name].info.reads
    if case.family == "fine-tuning" and reads:
        return "Fine-tune a model that reads passages"
    if case.family == "retrieval" and any(one.info.reads for one in case.contenders.order):
        return "Retrieve passages" if reads else "Retrieve similar questions"
    return case.words.do(case.family)
