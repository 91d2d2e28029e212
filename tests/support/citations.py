"""Whether each sentence of a verdict cites a figure, and every figure occurs in the record."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from typing import Any

from choose.report import words
from choose.schema.decision import Decision

NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")

# What is written like a figure and is none: levels, units, flags, dates, lists of row ids.
NO_FIGURE = re.compile(
    r"95 % (CI|bound)|a 50 % chance|for 80 %|(next|per) \$100|--\w+ \d+|\d{4}-\d\d-\d\d"
    r"|of [\d,]+ billion|(?:over 99|under 1) %|\(([^()]* and (\d+ )?others|decision.json[^()]*)\)"
)

# Seconds are told in minutes and hours, shares in points, dollars for a thousand or a hundred.
SCALES = (1, 100, 1000, 1 / 60, 1 / 3600)


def uncited(decision: Decision, sentences: tuple[str, ...] = ()) -> list[tuple[str, list[str]]]:
    """Return the sentences with no figure, or with figures that the record does not hold.

    Those of the decision unless given.

    The answer, and what is said with it, need no figure; those that it has are in the record.
    """
    record = decision.model_dump(mode="json", by_alias=True)
    verdict = record.pop("verdict")
    chances = {key: verdict[key] for key in ("chance", "loss", "leads")}
    # Differences after fewer labels stand nowhere else.
    chances["fewer"] = [r["value"] for r in verdict["remarks"] if r["code"] == "fewer-labels"]
    known = set(_numbers(record)) | set(_numbers(chances))
    known |= {n.within - f.labels for f in decision.forecasts for n in (f.target, f.margin) if n}
    names = sorted(_names(decision), key=len, reverse=True)
    found = []
    answer = list(_answer(decision))
    said = sentences or (
        *map(partial(words.step_text, decision), decision.verdict.steps),
        *words.remarks(decision),
        *answer,
    )
    for sentence in said:
        text = sentence
        for name in names:
            text = text.replace(name, "")
        figures = [n.replace(",", "") for n in NUMBER.findall(NO_FIGURE.sub("", text))]
        strange = [figure for figure in figures if not _holds(known, figure)]
        if strange or not (figures or sentence in answer):
            found.append((sentence, strange))
    return found


def _answer(decision: Decision) -> Iterator[str]:
    yield from (words.headline(decision), *words.caveats(decision), *words.reading(decision))


def _names(decision: Decision) -> set[str]:
    models = {card.model for card in decision.scorecards if card.model}
    short = {re.split(r"[/:]", model.rstrip("/"))[-1].split(".Q4")[0] for model in models}
    return {c.candidate for c in decision.scorecards} | set(decision.dataset.labels) | short


def _numbers(node: Any) -> Iterator[float]:
    if isinstance(node, bool):
        return
    if isinstance(node, int | float):
        yield float(node)
    elif isinstance(node, str):  # the evidence of a gate, a finding about the data
        yield from (float(n.replace(",", "")) for n in NUMBER.findall(node))
    elif isinstance(node, dict):
        for value in node.values():
            yield from _numbers(value)
    elif isinstance(node, list):
        yield float(len(node))
        for value in node:
            yield from _numbers(value)


def _holds(known: set[float], figure: str) -> bool:
    decimals = len(figure.partition(".")[2])
    value, half = float(figure), 0.5 * 10**-decimals + 1e-9
    near = any(abs(abs(k) * scale - value) <= half for k in known for scale in SCALES)
    # Counts of rows to label are rounded up to two digits; certainty is never claimed.
    rough = not decimals and any(k <= value <= 1.1 * k for k in known if k >= 10)
    capped = value == 0.99 and any(0.99 <= k <= 1 for k in known)
    # An error is what is missing to 100.
    return near or rough or capped or any(abs(100 * (1 - k) - value) <= half for k in known)
