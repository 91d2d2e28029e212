"""What the page lists: money, time and data of each candidate, and rows for a person to read."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

from choose.formatting import (
    DASH,
    clean,
    dollars,
    duration,
    listed,
    number,
    percent,
    plural,
    span,
)
from choose.report.candidate_order import contending, differing_line, standings, titles
from choose.report.decision_text import PERSONAL
from choose.schema.decision import Decision
from choose.schema.diagnosis import DifferingRow
from choose.schema.scorecard import Scorecard

# Rows of the labels to check that are shown at once; the others are folded.
SHOWN = 5

# Characters of the texts that are shown at once.
BRIEF = 140

# Doubted rows on the page, ids to copy, and rows that every candidate gets wrong, at most.
DOUBTED, COPIED, MISSED = 50, 500, 15

# What to write into the study file for dollars to be shown.
PRICES = """[costs]
usd_per_machine_hour = 0.50    # what your machine costs
volume_per_month = 10000       # answers you need
value_per_right_answer = 0.20  # what a right answer is worth to you
"""

COST_HEADS = [
    "candidate",
    "training",
    "1,000 answers",
    "$ per 1,000",
    "$ to train",
    "$ a year",
    "texts go to",
]


def cost_rows(decision: Decision) -> list[list[str]]:
    """Return a row under `COST_HEADS` for each contender, and for the best of each other family."""
    cards = {card.candidate: card for card in decision.scorecards}
    named, near = titles(decision), set(contending(decision))
    shown, families = [], set()
    for standing in standings(decision):
        card = cards[standing.candidate]
        if card.accuracy and (standing.candidate in near or standing.family not in families):
            shown.append(card)
        families.add(standing.family)
    return [[named[card.candidate], *_costs(card)] for card in shown]


def _costs(card: Scorecard) -> list[str]:
    cost, ms = card.cost, card.cost.ms_per_item
    return [
        DASH if cost.fit_seconds is None else duration(cost.fit_seconds),
        DASH if ms is None else duration(ms),
        DASH if cost.usd_per_1k is None else dollars(cost.usd_per_1k),
        DASH if cost.training_usd is None else dollars(cost.training_usd),
        DASH if cost.total_usd is None else dollars(cost.total_usd),
        where(card),
    ]


def where(card: Scorecard) -> str:
    """Return the host that reads the texts of a candidate, or that they stay on the machine."""
    if card.service is not None:
        return clean(card.service.behind.rpartition(" at ")[2])
    if (card.model or "").startswith("endpoint:"):
        return f"the endpoint {clean(card.model or '').removeprefix('endpoint:')}"
    return "this machine"


def data_risk(decision: Decision) -> str:
    """Say which candidates send texts away, and how many rows seem to hold personal data."""
    cards = [card for card in decision.scorecards if card.accuracy]
    hosts: dict[str, list[str]] = {}
    for card in cards:
        hosts.setdefault(where(card), []).append(clean(card.candidate))
    away = {host: names for host, names in hosts.items() if host != "this machine"}
    told = [
        f"{listed(names)} {'sends' if len(names) == 1 else 'send'} every text to {host}."
        for host, names in away.items()
    ]
    if not away:
        told = ["All candidates ran on this machine; no text left it."]
    found = decision.dataset.personal
    if found is not None:
        told.append(
            f"{plural(found, 'row') if found else 'No row'} of {decision.dataset.rows:,} "
            f"{'may hold' if found else 'seems to hold'} personal data "
            "(addresses, numbers, keys; names are not searched for)."
        )
    return " ".join(told)


# Words that a figure may hold: ``83.0 to 90.1``, ``2 of 3``.
_LETTERS = re.compile(r"\b(?!(?:to|of)\b)[^\W\d_]+")


class MeasuredTable(NamedTuple):
    """The measured part of a table, which columns hold figures, and the names of the rest."""

    heads: list[str]
    rows: list[list[object]]
    figures: list[bool]
    missing: list[str]


def measured(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> MeasuredTable:
    """Remove columns and rows of dashes, except for the first column, which names the rows.

    Without any measurement nothing is listed as missing: the section says so itself.
    """
    places = [i for i in range(1, len(heads)) if any(row[i] != DASH for row in rows)]
    known = [row for row in rows if any(row[i] != DASH for i in places)]
    if not known:
        return MeasuredTable([], [], [], [])
    missing = [str(head) for i, head in enumerate(heads) if i and i not in places]
    missing += [str(row[0]) for row in rows if row not in known]
    return MeasuredTable(
        [heads[i] for i in (0, *places)],
        [[row[i] for i in (0, *places)] for row in known],
        [False, *(all(_is_figure(row[i]) for row in known) for i in places)],
        missing,
    )


def _is_figure(cell: object) -> bool:
    """Return whether a cell holds a figure, a range or a dash, which are right-aligned."""
    text = str(cell)
    return text == DASH or (any(map(str.isdigit, text)) and not _LETTERS.search(text))


def anchor(caption: str) -> str:
    """Return an id for a table from its caption, which never comes from data."""
    return "table-" + "-".join(re.findall(r"[a-z0-9]+", caption.lower())[:8])


@dataclass(frozen=True)
class LabelRows:
    """Rows whose label to check: cells under `LABEL_HEADS`, and the ids to copy.

    `first` rows are shown, `rest` is folded, up to `DOUBTED` in all; `missed` are the rows that
    every candidate gets wrong without being doubted; `ids` are those of the doubted rows.
    """

    first: list[list[str]]
    rest: list[list[str]]
    missed: list[list[str]]
    ids: str


LABEL_HEADS = ["row", "given label", "suggested label", "agree", "text"]


def label_rows(decision: Decision, texts: Mapping[str, str]) -> LabelRows:
    """Merge the doubted labels with the rows that every candidate gets wrong."""
    audit, overlap = decision.audit, decision.overlap
    doubted = audit.doubted if audit else ()
    wrong = {row.id: row for row in overlap.doubtful} if overlap else {}
    first = [
        [
            row.id,
            row.label,
            row.suggested,
            f"{row.agree} of {row.answered}",
            text_of(decision, texts, row.id),
        ]
        for row in doubted[:DOUBTED]
    ]
    known = {row.id for row in doubted}
    most = len(overlap.candidates) if overlap else 0
    missed = [
        [
            row.id,
            row.label,
            row.instead or DASH,
            f"{row.agree} of {most}",
            text_of(decision, texts, row.id),
        ]
        for row in wrong.values()
        if row.id not in known
    ]
    ids = " ".join(clean(row.id) for row in doubted[:COPIED])
    return LabelRows(first[:SHOWN], first[SHOWN:], missed[:MISSED], ids)


def text_of(decision: Decision, texts: Mapping[str, str], id: str) -> str:
    """Return the text of a row, if it was stored and seems to hold no personal data."""
    return PERSONAL if id in decision.personal else texts.get(id, DASH)


@dataclass(frozen=True)
class Differing:
    """The rows on which two candidates differ: a caption and cells for each kind."""

    summary: str
    heads: list[str]
    kinds: list[tuple[str, list[list[str]]]]
    note: str


def differing(decision: Decision, texts: Mapping[str, str]) -> Differing | None:
    """Return the rows that the chosen candidate and its rival answer differently."""
    found = decision.disagreement
    if found is None or not found.differing:
        return None
    chosen, rival = clean(found.chosen), clean(found.rival)
    kinds = {
        f"Only {chosen} is right": found.only_chosen_right,
        f"Only {rival} is right": found.only_rival_right,
        "Both are wrong": found.differing - found.only_chosen_right - found.only_rival_right,
    }
    names, counts = list(kinds), list(kinds.values())
    cells = [
        (
            f"{names[kind]}: {plural(counts[kind], 'row')}",
            [
                [
                    row.id,
                    row.label,
                    row.chosen or "no usable answer",
                    row.rival or "no usable answer",
                    text_of(decision, texts, row.id),
                ]
                for row in rows
            ],
        )
        for kind, rows in groupby(found.listed, key=_kind)
    ]
    few = len(found.listed) < found.differing
    return Differing(
        summary=differing_line(decision),
        heads=["row", "label", f"{chosen} says", f"{rival} says", "text"],
        kinds=cells,
        note=f"{len(found.listed)} of {found.differing:,} are listed, a part of each kind."
        if few
        else "",
    )


def _kind(row: DifferingRow) -> int:
    return 0 if row.chosen == row.label else 1 if row.rival == row.label else 2


RARE_HEADS = ["rare label", "candidate", "rows", "found", "% found", "95 % CI", "precision, %"]


def rare_rows(decision: Decision) -> list[list[str]]:
    """Return a row of cells under `RARE_HEADS` for each rare label and candidate."""
    return [
        [
            clean(rare.label),
            clean(figure.candidate),
            f"{figure.rows:,}",
            number(figure.found),
            percent(figure.recall.value),
            span(figure.recall),
            percent(figure.precision),
        ]
        for rare in decision.verdict.rare
        for figure in rare.figures
    ]


def answered_line(decision: Decision) -> str:
    """Return how many test rows each candidate answered: ``602 by tfidf; 121 by lora``."""
    return _grouped({card.candidate: card.rows for card in decision.scorecards if card.accuracy})


def runs_line(decision: Decision) -> str:
    """Return how often each candidate was trained: ``3 by lora; 1 by tfidf and probe``."""
    cards = [card for card in decision.scorecards if card.accuracy]
    return _grouped({card.candidate: card.repetitions for card in cards})


def _grouped(counts: Mapping[str, int]) -> str:
    by_count: dict[int, list[str]] = {}
    for name, count in counts.items():
        by_count.setdefault(count, []).append(clean(name))
    parts: Sequence[str] = [
        f"{count:,} by {listed(names)}" for count, names in sorted(by_count.items(), reverse=True)
    ]
    return "; ".join(parts)
