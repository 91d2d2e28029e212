"""Whether each sentence of a verdict cites a figure, and every figure occurs in the record."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from choose.formatting import MINUS
from choose.report.words import answer, caveats, headline
from choose.schema.decision import Decision

NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")

# What is written like a figure and is none: levels, units, flags, dates, lists of row ids.
NO_FIGURE = re.compile(
    r"95 % (CI|bound)|a 50 % chance|for 80 %|(next|per) \$100|--\w+ \d+|\d{4}-\d\d-\d\d"
    r"|of [\d,]+ billion|(?:over 99|under 1) %|\(([^()]* and (\d+ )?others|decision.json[^()]*)\)"
)

# Seconds are told in minutes and hours, shares in points, dollars for a thousand or a hundred.
SCALES = (1, 100, 1000, 1 / 60, 1 / 3600)


# Ways to write figures and intervals that reports do not use: a size of fewer decimals than its
# bounds, a probability as a fraction, a hyphen for a minus.
OTHER_NOTATION = re.compile(
    rf"(?<![\d.,])\d+ points?(?: higher than \S+)? \([+{MINUS}0-9][^)]*\.\d"
    r"|(?<![\d.,])\d+ % \(\d+\.\d"
    r"|probability (?:is |of )?[01]?\.\d|(?<=[ (])-\d+\.\d"
)


def in_other_notation(record: Any) -> list[str]:
    """Return the texts of a record in which a figure is not in the notation of reports."""
    if isinstance(record, str):
        return [record] if OTHER_NOTATION.search(record) else []
    parts = record.values() if isinstance(record, dict) else record
    parts = parts if isinstance(record, dict | list) else ()
    return [text for part in parts for text in in_other_notation(part)]


def uncited(decision: Decision) -> list[tuple[str, list[str]]]:
    """Return the sentences with no figure, or with figures that the record does not hold.

    The answer, and what is said with it, need no figure; those that it has are in the record.
    """
    record = decision.model_dump(mode="json", by_alias=True)
    verdict = record.pop("verdict")
    chances = {key: verdict[key] for key in ("chance", "loss", "leads")}
    known = set(_numbers(record)) | set(_numbers(chances))
    known |= {n.within - f.labels for f in decision.forecasts for n in (f.target, f.margin) if n}
    names = sorted(_names(decision), key=len, reverse=True)
    found = []
    said = [*_sentences(verdict), *(answer := list(_answer(decision)))]
    for sentence in said:
        text = sentence
        for name in names:
            text = text.replace(name, "")
        figures = [n.replace(",", "") for n in NUMBER.findall(NO_FIGURE.sub("", text))]
        strange = [figure for figure in figures if not _holds(known, figure)]
        if strange or not (figures or sentence in answer):
            found.append((sentence, strange))
    return found


def _sentences(verdict: dict[str, Any]) -> Iterator[str]:
    yield from (*verdict["reasons"], *verdict["flips"], *verdict["next"])
    yield from (rejected["why"] for rejected in verdict["rejected"])


def _answer(decision: Decision) -> Iterator[str]:
    yield from (headline(decision), *caveats(decision), *decision.verdict.reading)


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


CI = rf"\(([+{MINUS}]?[\d.]+) to ([+{MINUS}]?[\d.]+)\)"
AHEAD = re.compile(rf"^(\S+) scores ([\d.]+) points? higher than (\S+) {CI}")
BEHIND = re.compile(rf"^(\S+) {MINUS} (\S+): ({MINUS}[\d.]+) points {CI}")
RIGHT = re.compile(r"^(\S+): ([\d.]+) % right(?: \([\d.]+ to [\d.]+\))?, on ([\d,]+) rows?")
USE = re.compile(r"[Uu]se [^:]*?\(?([\w-]+)\)?(?: for now)?: ([\d.]+) % right")


def misattributed(decision: Decision) -> list[str]:
    """Return the sentences about one or two candidates whose figures are not theirs."""
    pairs = {}
    for pair in decision.pairs:
        gap = pair.difference
        pairs[pair.a, pair.b] = (gap.value, gap.low, gap.high)
        pairs[pair.b, pair.a] = (-gap.value, -gap.high, -gap.low)
    cards = {card.candidate: card for card in decision.scorecards}
    verdict = decision.verdict
    said = [*verdict.reasons, *(rejected.why for rejected in verdict.rejected)]
    found = []
    for sentence in said:
        if match := AHEAD.match(sentence):
            a, value, b, low, high = match.groups()
            if not all(map(_told, pairs[a, b], (value, low, high))):
                found.append(sentence)
        if match := BEHIND.match(sentence):
            a, b, value, low, high = match.groups()
            if not all(map(_told, pairs[a, b], (value, low, high))):
                found.append(sentence)
        if match := RIGHT.match(sentence):
            card = cards[match[1]]
            assert card.accuracy is not None
            rows = int(match[3].replace(",", ""))
            if not _told(card.accuracy.value, match[2]) or rows != card.rows:
                found.append(sentence)
    if match := USE.search(answer(decision)):
        card = cards[match[1]]
        assert card.accuracy is not None
        if not _told(card.accuracy.value, match[2]):
            found.append(answer(decision))
    return found


def _told(share: float, figure: str) -> bool:
    half = 0.5 * 10 ** -len(figure.partition(".")[2]) + 1e-6
    return abs(100 * share - float(figure.replace(MINUS, "-"))) <= half
