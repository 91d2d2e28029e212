"""Screens by kind of verdict and task, and every sentence by its code, as they were approved.

``APPROVE=1 pytest tests/report/test_approved.py`` writes them anew; read the difference.
"""

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import get_args

import pytest

from choose.api.notebook_views import printed
from choose.report import words
from choose.report.blocks import labels
from choose.report.markdown import markdown_page
from choose.report.terminal.pages import render
from choose.report.write import render_markdown
from choose.schema.base import Interval
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
    StepKind,
)
from choose.schema.diagnosis import Audit, LabelOverlap, NoiseBand, RelabelGain, Suspect
from choose.types import Kind
from support import decisions

APPROVED = Path(__file__).parent / "approved"

SCREENS: dict[str, Callable[[], Decision]] = {
    **{kind: partial(decisions.decision, kind) for kind in get_args(Kind)},
    "many-rows-left": decisions.answered,
    "one-family": decisions.alone,
    "documents": decisions.reading,
    "endpoints": decisions.served,
}

CODES: dict[StepKind, tuple[StepCode, ...]] = {
    "check-labels": ("conflicts", "doubted"),
    "fix-documents": ("documents",),
    "fix-retrieval": ("retrieval",),
    "fix-format": ("cut", "unreadable"),
    "evaluate-rest": ("begin", "begin-paid", "finish", "finish-paid", "finish-rows"),
    "label-more": ("labels-for-gain", "labels-for-target", "separate", "still-rising", "too-few"),
    "add-candidate": ("add", "add-baseline"),
    "stronger-model": ("stronger",),
    "more-runs": ("repeat", "repeat-late", "repeat-paid"),
    "metric": ("rare-label",),
    "cascade": ("takeover",),
}

AUDIT = Audit(
    auditors=("tfidf", "probe"),
    rows=600,
    accuracy=Interval(value=0.84),
    noise=NoiseBand(low=0.01, high=0.09),
    suspected=1,
    suspects=(Suspect(id="T009", label="a", suggested="b", score=2.0, agree=2, answered=3),),
)
DOUBTED = AUDIT.model_copy(
    update={
        "contradicted": 86,
        "suspected": 12,
        "suspects": tuple(
            Suspect(id=f"T{i:03}", label="a", suggested="b", score=3.2, agree=2, answered=3)
            for i in range(12)
        ),
        "overlaps": (LabelOverlap(a="a", b="b", doubted=12, rows=150),),
        "gain": RelabelGain(
            candidate="probe", rows=28, gain=Interval(value=0.019, low=0.01, high=0.038)
        ),
    }
)
LEAD = Interval(value=0.041, low=0.012, high=0.07)


def approve(name: str, text: str) -> None:
    file = APPROVED / f"{name}.txt"
    if os.environ.get("APPROVE"):
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")


def test_the_labels_to_check_are_those_that_were_approved() -> None:
    audited = decisions.decision().model_copy(update={"audit": DOUBTED})
    approve("labels", markdown_page(labels(audited, {})))


@pytest.mark.parametrize("name", SCREENS)
def test_screens_are_those_that_were_approved(name: str) -> None:
    decision = SCREENS[name]()
    page = render_markdown(decision) if name in ("many-rows-left", "documents", "endpoints") else ""
    approve(name, f"{printed(render(decision))}\n{page and chr(10)}{page}")


def test_every_code_has_the_sentence_that_was_approved() -> None:
    assert {code for codes in CODES.values() for code in codes} == {*get_args(StepCode)}
    assert {*CODES} == {*get_args(StepKind)}
    found = {"tfidf": 65, "probe": 71}
    rare = (RareLabel(label="spam", rows=79, share=0.13, answered=79, found=found),)
    base = decisions.answered()
    verdict = base.verdict.model_copy(update={"rare": rare})
    facts = {"verdict": verdict, "audit": AUDIT}
    base = base.model_copy(update={**facts, "loss_splits": (decisions.loss_split("tfidf"),)})
    approve("words", "\n".join(f"{code}: {said}" for code, said in _sentences(base)) + "\n")


def _sentences(base: Decision) -> Iterator[tuple[str, str]]:
    def told(**facts: object) -> Decision:
        return base.model_copy(update={"verdict": base.verdict.model_copy(update=facts)})

    names, labels = ("tfidf", "lora"), Interval(value=700, low=400, high=1500)
    for kind, codes in CODES.items():
        for code in codes:
            minutes = None if code.endswith("-paid") else 60
            step = Step(
                kind=kind, code=code, names=names, rows={"lora": 240}, count=12, total=90,
                share=0.85, labels=labels, gained=LEAD, minutes=minutes, usd=30,
            )  # fmt: skip
            yield f"{kind}, {code}", words.step_text(base, step)
    for code in get_args(RemarkCode):
        remark = Remark(code=code, names=names, what="rouge-l", share=0.8, value=LEAD, rows=400)
        yield code, " ".join(words.remarks(told(remarks=(remark,))))
    for code in get_args(CaveatCode):
        names = ("prompting", base.gates[0].name) if code == "check-failed" else ("prompting",)
        caveat = Caveat(code=code, names=names, rows=12, whole=90, shares=(0.4, 0.1))
        yield code, " ".join(words.caveats(told(caveats=(caveat,))))
    for code in get_args(GateCode):
        gate = Gate(
            name="x", status="fail", code=code, names=("tfidf", "lora"), count=12, total=90,
            share=0.8, limit=0.02, value=LEAD,
        )  # fmt: skip
        yield code, words.evidence(base, gate)
