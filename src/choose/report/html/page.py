"""Blocks as one self-contained HTML page: no script, request or font."""

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from choose.formatting import clean, plural
from choose.report.blocks import Answer, Block, Heading
from choose.report.html.drawings import draw_bar, draw_chart

# Characters of a text on the page, at most; the record has all of it.
LONGEST = 1200

SIGNS = {"pass": "✓", "good": "✓", "look": "!", "fail": "✗", "unknown": "?"}

# The sections and parts that the contents lead to, which stay in sight.
CONTENTS = {
    "decision": "Decision",
    "see": "See",
    "reading": "Reading",
    "labels": "Labels",
    "answers": "Answers",
    "money": "Money",
    "evidence": "For reviewers",
    "method": "Method",
    "again": "Reproduce",
}


def html_page(blocks: Sequence[Block]) -> str:
    """Return blocks, the first of which is the answer, as a page; text is escaped."""
    known = {"decision", *(block.id for block in blocks if isinstance(block, Heading))}
    title = next(block.data for block in blocks if isinstance(block, Answer))
    contents = [(id, name) for id, name in CONTENTS.items() if id in known]
    template = environment().get_template("page.html.j2")
    return template.render(title=title, blocks=blocks, contents=contents, signs=SIGNS)


def html_fragment(blocks: Sequence[Block]) -> str:
    """Return blocks as HTML within a page of others, such as a notebook; text is escaped."""
    macros: Any = environment().get_template("blocks.html.j2").make_module({"signs": SIGNS})
    return "".join(macros.show(type(block).__name__, block) for block in blocks)


@cache
def environment() -> Environment:
    """Return an environment that escapes everything it prints."""
    environment = Environment(
        loader=PackageLoader("choose.report.html"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # Text of data and models is made one harmless line before it is escaped.
        finalize=_harmless,
    )
    filters = (lines, glued, plural, anchor, draw_bar, draw_chart)
    environment.filters.update({function.__name__: function for function in filters})
    environment.filters["kind"] = lambda block: type(block).__name__
    return environment


def _harmless(value: Any) -> Any:
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    text = clean(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def lines(text: str) -> Markup:
    """Return a text of several lines, each one cleaned and escaped."""
    return Markup("\n").join(escape(clean(line)) for line in text.split("\n"))


def glued(text: str) -> Markup:
    """Return a text, escaped, that breaks no line before a per cent sign."""
    return escape(clean(text)).replace(" %", Markup("&nbsp;%"))


def anchor(caption: str) -> str:
    """Return an id for a table from its caption."""
    return "table-" + "-".join(re.findall(r"[a-z0-9]+", caption.lower())[:8])
