"""Screens by kind of verdict and task, and every sentence by its code, as they were approved.

``APPROVE=1 pytest tests/report/test_approved.py`` writes them anew; read the difference.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import get_args

import pytest

from choose.api.notebook import printed
from choose.judge.evidence import Evidence
from choose.judge.goal import Rule
from choose.report import words
from choose.report.blocks import labels
from choose.report.markdown import markdown_page
from choose.report.terminal.pages import render
from choose.report.write import render_markdown
from choose.schema.decision import (
    Caveat,
    CaveatCode,
    Decision,
    Gate,
    GateCode,
    RareLabel,
    Remark,
    RemarkCode,
    Step,
    StepCode,
)
from choose.schema.diagnosis import ErrorOverlap
from choose.stats import Estimate
from choose.types import Kind
from support import decisions
from support.decisions import audited, changed, judged
from support.simulated_studies import candidate, lora, probe, prompt, retrieval, tfidf

APPROVED = Path(__file__).parent / "approved"
DEMO = Path(__file__).parents[2] / "docs" / "generate" / "demo.json"


def demo() -> Decision:
    """Return the record of a real run, whose names are long and whose rows differ."""
    return Decision.model_validate_json(DEMO.read_text(encoding="utf-8"))


def priced() -> Decision:
    base, found = demo(), []
    for place, card in enumerate(base.scorecards):
        cost = card.cost.model_copy(update={"usd_per_1k": 0.012 * (place + 1)})
        found.append(card.model_copy(update={"cost": cost}))
    goal = {**base.goal, "volume": 10_000}
    return base.model_copy(update={"scorecards": tuple(found), "goal": goal})


SCREENS: dict[str, Callable[[], Decision]] = {
    **{kind: partial(decisions.decision, kind) for kind in get_args(Kind)},
    "many-rows-left": decisions.answered,
    "one-family": decisions.alone,
    "documents": decisions.reading,
    "part-of-passages": decisions.partly_searched,
    "endpoints": decisions.served,
    "demo": demo,
    "demo-priced": priced,
}

LEAD = Estimate(value=0.041, low=0.012, high=0.07)


def approve(name: str, text: str) -> None:
    file = APPROVED / f"{name}.txt"
    if os.environ.get("APPROVE"):
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")


def test_the_labels_to_check_are_those_that_were_approved() -> None:
    approve("labels", markdown_page(labels(audited(), {})))


@pytest.mark.parametrize("name", SCREENS)
def test_screens_are_those_that_were_approved(name: str) -> None:
    decision = SCREENS[name]()
    assert name not in get_args(Kind) or decision.verdict.kind == name
    page = render_markdown(decision) if name in ("many-rows-left", "documents", "endpoints") else ""
    approve(name, f"{printed(render(decision))}\n{page and chr(10)}{page}")


def test_every_code_has_the_sentence_that_was_approved() -> None:
    found = {"tfidf": 65, "probe": 71}
    rare = (RareLabel(label="spam", rows=79, share=0.13, answered=79, found=found, missed=True),)
    base = decisions.answered()
    facts = {"audit": audited().audit, "loss_splits": (decisions.loss_split("tfidf"),)}
    base = changed(base, rare=rare).model_copy(update=facts)
    approve("words", "\n".join(f"{code}: {said}" for code, said in _sentences(base)) + "\n")


def _sentences(base: Decision) -> Iterator[tuple[str, str]]:
    names = ("tfidf", "lora")
    for code in get_args(StepCode):
        minutes = None if code.endswith("-paid") else 60
        step = Step(
            kind="more-runs", code=code, names=names, rows={"lora": 240}, count=12, total=90,
            share=0.85, gained=LEAD, labels=40, minutes=minutes, usd=30,
        )  # fmt: skip
        yield code, " ".join(words.sentences_of(base, step))
    for code in get_args(RemarkCode):
        remark = Remark(code=code, names=names, what="rouge-l", share=0.8, value=LEAD, rows=400)
        yield code, " ".join(words.remarks(changed(base, remarks=(remark,))))
    for code in get_args(CaveatCode):
        names = ("prompting", base.gates[-1].name) if code == "check-failed" else ("prompting",)
        caveat = Caveat(code=code, names=names, rows=12, whole=90, shares=(0.4, 0.1))
        yield code, " ".join(words.caveats(changed(base, caveats=(caveat,))))
    for code in get_args(GateCode):
        gate = Gate(
            name="x", status="fail", code=code, names=("tfidf", "lora"), count=12, total=90,
            share=0.8, limit=0.02, value=LEAD,
        )  # fmt: skip
        yield code, words.evidence(base, gate)


def prompted(small: float) -> Decision:
    """Return a decision that names prompt-big; prompt-small costs a 17th."""
    dollars = {"prompt-big": 15.0, "prompt-small": 0.9}

    def priced(seen: Evidence) -> Evidence:
        infos = (replace(one, usd_per_1k=dollars.get(one.name)) for one in seen.candidates)
        return replace(seen, candidates=tuple(infos))

    return judged(
        tfidf(0.64),
        candidate("prompt-small", "prompting", small, 20.0, model="Qwen3-8B"),
        candidate("prompt-big", "prompting", 0.8, 30.0, model="Qwen3-32B"),
        rows=300,
        change=priced,
    )


def _situations() -> Iterator[tuple[str, Decision]]:
    others = (prompt(0.6), retrieval(0.7))
    for accuracy, rows in product((0.78, 0.80, 0.82, 0.84), (150, 400, 1500)):
        name = f"79 against {100 * accuracy:.0f}, {rows} rows"
        yield name, judged(tfidf(0.79), *others, lora(accuracy), rows=rows)
    yield "done", judged(probe(0.996), *others, lora(0.9), rows=2000)
    for target in (None, 0.3):
        goal = Rule(target=target)
        low = (tfidf(0.48), prompt(0.3), retrieval(0.35), lora(0.47))
        yield f"a low score, target {target}", judged(*low, rows=600, goal=goal)
    yield "a cheaper member is as good", prompted(0.79)
    yield "a member is worse", prompted(0.66)


def test_answers_in_every_situation_are_those_that_were_approved() -> None:
    told = [
        f"{name}: {words.headline(decision)} {words.low_score(decision)}".rstrip()
        for name, decision in _situations()
    ]
    served = decisions.served()
    for low in (0.1, -0.1, None):
        lost = None if low is None else Estimate(value=0.19, low=low, high=0.3)
        payback = served.payback.model_copy(update={"lost": lost})
        told.append(words.payback(served.model_copy(update={"payback": payback})))
    alike = ErrorOverlap(
        candidates=("a", "b"), rows=100, wrong_in_all=7, oracle=Estimate(value=0.4)
    )
    for teacher in (None, "gpt-4o"):
        goal = {"overlap": alike, "goal": {**served.goal, "agreement": teacher}}
        told += words.shared_errors(served.model_copy(update=goal))
    once, often = (Estimate(value=0.8, estimand=code) for code in ("artefact", "refits"))
    told += [words.covered_by([once]), words.covered_by([once, often])]
    parts = ("the comparison", "added noise")
    told += words.sentences_of(served, Step(kind="evaluate-rest", code="finish", names=parts))
    approve("answers", "\n".join(told) + "\n")


@pytest.mark.parametrize(
    ("stated", "asked"),
    [
        ({"volume": 9.0}, "--usd-per-hour (machine)"),
        ({"usd_per_hour": 1.0}, "--volume 10000/month"),
        ({}, "--volume 10000/month and --usd-per-hour (machine)"),
    ],
)
def test_a_payback_asks_for_the_prices_that_are_not_stated(stated: dict, asked: str) -> None:
    served = decisions.served()
    unknown = served.payback.model_copy(update={"api_usd": None})
    goal = {**served.goal, "volume": None, "usd_per_hour": None, **stated}
    found = served.model_copy(update={"payback": unknown, "goal": goal})
    assert words.payback(found) == f"For dollars a month, state {asked}."


@pytest.mark.parametrize(
    ("metric", "title"),
    [("accuracy", "Accuracy"), ("field-f1", "Field F1"), ("chrf", "chrF"), ("ndcg@10", "nDCG@10")],
)
def test_titles_leave_names_as_they_are_written(metric: str, title: str) -> None:
    assert words.words_of(metric).title == title
