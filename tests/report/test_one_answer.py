"""One question, one answer: every form of a report says the same sentence, and no older one."""

import html
import io
import re
from typing import get_args

import pytest
from rich.console import Console

from choose.api.compare_studies import summary_of
from choose.api.notebook import Decision as Shown
from choose.report import words
from choose.report.terminal.pages import render_full
from choose.report.write import render_html, render_markdown
from choose.schema.decision import Decision, FamilyResult
from choose.types import Kind
from support import decisions


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
        "brief": summary_of(decision).answer,
    }


@pytest.mark.parametrize("kind", get_args(Kind))
def test_every_form_says_the_answer(kind: Kind) -> None:
    decision = decisions.decision(kind)
    said = forms(decision)
    for form, text in said.items():
        assert words.answer(decision).rstrip(".") in text, form
    for form in ("markdown", "page"):
        for sentence in (*words.doubts(decision), *words.caveats(decision)):
            assert plain(sentence) in said[form], form
    assert said["title"] == words.answer(decision)


def test_a_reference_is_never_what_to_use() -> None:
    """A copy of the input was what to use for now, where no model had answered."""
    families = (FamilyResult(family="prompting"),)
    said = words.answer(decisions.changed(decisions.alone(), families=families))
    assert ". The best reference is " in said
    assert "use" not in said
