"""One question, one answer: every form of a report says the same sentence, and no older one."""

import html
import io
import re

import pytest
from rich.console import Console

from choose.api.compare_studies import summary_of
from choose.api.notebook import Decision as Shown
from choose.judge.goal import Rule
from choose.judge.verdict import judge
from choose.report import words
from choose.report.comparison_words import verdict as in_brief
from choose.report.terminal.pages import render_full
from choose.report.write import render_html, render_markdown
from choose.schema.decision import Decision, FamilyResult
from choose.types import Kind
from support import decisions
from support.simulated_studies import lora, majority, probe, prompt, retrieval, study, tfidf

WORLDS: dict[Kind, Decision] = {
    found.verdict.kind: found
    for found in (
        judge(study([majority(), tfidf(0.8), lora(0.9)], 2000, 3), Rule()),
        judge(study([majority(), tfidf(0.9), prompt(0.7)], 2000, 3), Rule()),
        judge(study([majority(), tfidf(0.8), lora(0.81), retrieval(0.7)], 1500, 3), Rule()),
        judge(study([majority(), probe(0.8), lora(0.84)], 150, 3), Rule()),
        judge(study([majority(), tfidf(0.8)], 400, 3), Rule()),
        judge(study([majority(0.7), tfidf(0.62), lora(0.6)], 1500, 3), Rule()),
        judge(study([majority(), tfidf(0.8), lora(0.85)], 800, 3), Rule(target=0.99)),
    )
}


def plain(text: str) -> str:
    """Return text without markup, line breaks, code spans and escapes."""
    text = html.unescape(re.sub(r"<[^>]+>", " ", text)).replace("\\", "").replace("`", "")
    return " ".join(text.split())


def forms(decision: Decision) -> dict[str, str]:
    shown = Shown.of(decision, None)
    out = io.StringIO()
    Console(file=out, width=100, force_terminal=True, color_system=None, _environ={}).print(
        render_full(decision, None)
    )
    page = render_html(decision, {})
    return {
        "str": plain(str(shown)),
        "repr": plain(repr(shown)),
        "terminal": plain(out.getvalue()),
        "markdown": plain(render_markdown(decision)),
        "page": plain(page),
        "title": plain(page[page.index("<h1") : page.index("</h1>")]),
        "brief": in_brief(summary_of(decision)),
    }


def test_the_worlds_have_several_kinds_of_verdict() -> None:
    assert len(WORLDS) >= 5


@pytest.mark.parametrize("kind", WORLDS)
def test_every_form_says_the_answer(kind: Kind) -> None:
    decision = WORLDS[kind]
    said = forms(decision)
    for form, text in said.items():
        assert words.answer(decision).rstrip(".") in text, form
    for form in ("markdown", "page"):
        for sentence in words.doubts(decision):
            assert plain(sentence) in said[form], form
    assert said["title"] == words.answer(decision)


def test_a_reference_is_never_what_to_use() -> None:
    """A copy of the input was what to use for now, where no model had answered."""
    found = decisions.alone()
    verdict = found.verdict.model_copy(update={"families": (FamilyResult(family="prompting"),)})
    said = words.answer(found.model_copy(update={"verdict": verdict}))
    assert "(best reference: " in said
    assert "use" not in said
