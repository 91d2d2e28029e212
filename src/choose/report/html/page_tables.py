"""What the page lists: money, time and data of each candidate, and rows for a person to read."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

from choose.formatting import (
    DASH,
    MINUS,
    clean,
    difference,
    dollars,
    duration,
    figure,
    listed,
    milliseconds,
    percent,
    plural,
    points,
)
from choose.report import study_comparison_text as words
from choose.report.candidate_order import contending, differing_line, out_of, standings, titles
from choose.report.decision_text import PERSONAL, quantity, score_head
from choose.report.html.drawings import bar
from choose.report.words import (
    apart,
    beyond_limits,
    compared_on,
    only_references,
    recall_of,
    won_and_lost,
)
from choose.schema.base import Interval
from choose.schema.decision import Decision, PromptText
from choose.schema.diagnosis import DifferingRow
from choose.schema.scorecard import Scorecard
from choose.schema.standings import Standing
from choose.schema.study_changes import Versus

# Rows of the labels to check that are shown at once; the others are folded.
SHOWN = 5

# Characters of the texts that are shown at once.
BRIEF = 140

# Doubted rows on the page, ids to copy, and rows that every candidate gets wrong, at most.
DOUBTED, COPIED, MISSED = 50, 500, 15

# Points to each side of zero that the bars span at least, and at most.
LEAST, MOST = 5.0, 35.0

# What shows dollars: the answers you need, what the machine costs, what a right answer is worth.
PRICES = (
    "choose continue STUDY --volume 10000/month --usd-per-hour 0.50 "
    "--set value_per_right_answer=0.20"
)


@dataclass(frozen=True)
class StandingsTable:
    """The table that is the chart: a bar and cells for each candidate that shares rows."""

    heads: list[str]
    rows: list[list[str]]
    mark: str
    caption: str


def standings_table(decision: Decision) -> StandingsTable:
    """Return every candidate against the chosen one on common rows; the bar is the last cell."""
    named = titles(decision)
    placed = [s for s in standings(decision) if s.chosen or s.difference is not None]
    near = set(contending(decision))
    low, high = _span([s.difference for s in placed if s.candidate in near and s.difference])
    margin = quantity(decision.goal, "margin") or 0.0
    pick, whole = next(((s.candidate, s.common) for s in placed if s.chosen), ("", 0))
    rows = [
        [
            named[s.candidate],
            *_standing_cells(decision, s),
            bar(s.difference, (low, high), margin, hollow=s.common < whole),
        ]
        for s in placed
    ]
    ends = f"{low:+.0f} to {high:+.0f}".replace("-", MINUS)
    others = [clean(s.candidate) for s in standings(decision) if s not in placed]
    told = (
        f"Bars: points against {clean(pick)} on the same rows with the likely range (95 %), from "
        f"{ends}.",
        f"Shaded: less than the margin of {points(margin)}." if margin else "",
        compared_on(decision, [s.candidate for s in placed]),
        beyond_limits(decision),
        "Hollow: compared on fewer rows." if any(s.common < whole for s in placed) else "",
        f"Not measured or not compared: {listed(others)}." if others else "",
    )
    rare = decision.verdict.rare[:1]
    return StandingsTable(
        heads=[
            *("candidate", score_head(decision.goal), "rows", "difference", "won:lost"),
            "shared rows",
            f"“{clean(rare[0].label)}” found" if rare else "",
            *("ms per answer", "$ per 1,000", "state", ""),
        ],
        rows=rows,
        mark=named.get(pick, ""),
        caption=" ".join(filter(None, told)),
    )


def _standing_cells(decision: Decision, standing: Standing) -> list[str]:
    total, gap = decision.dataset.test_rows, standing.difference
    state = "open"
    if standing.beyond:
        state = "beyond a limit"
    elif standing.chosen:
        state = "use" if decision.verdict.recommended else "use for now"
        state = state if decision.verdict.usable else "not usable"
        state = "reference" if only_references(decision) else state
    elif gap and gap.high is not None and gap.high < 0:
        state = "behind"
    elif gap and gap.low is not None and gap.low > 0:
        state = "ahead"
    far = apart(decision, standing)
    ms, unlike = standing.ms_per_answer, any(s.common != s.rows for s in decision.standings)
    return [
        (percent(standing.accuracy.value) if standing.accuracy else DASH) + "*" * far,
        out_of(standing.rows, total),
        DASH if standing.chosen else difference(gap),
        won_and_lost(standing) or DASH,
        out_of(standing.common, total) if unlike and not standing.chosen else DASH,
        recall_of(decision, standing.candidate) or DASH,
        DASH if ms is None else milliseconds(ms).removesuffix(" ms"),
        figure(standing.usd_per_1k),
        state,
    ]


def _span(gaps: Sequence[Interval]) -> tuple[float, float]:
    """Return the points that bars span: these differences with their ranges, and zero."""
    lows = [100 * (gap.value if gap.low is None else gap.low) for gap in gaps]
    highs = [100 * (gap.value if gap.high is None else gap.high) for gap in gaps]
    return max(min([*lows, -LEAST]), -MOST), min(max([*highs, LEAST]), MOST)


def shifts_table(versus: Versus) -> StandingsTable:
    """Return the change of each candidate from one study to another; the bar is the last cell."""
    ends = _span([shift.difference for shift in versus.shifts])
    return StandingsTable(
        heads=[*words.COMPARISON_HEADS, ""],
        rows=[
            [
                *words.cells(s),
                "" if s.same_fits else bar(s.difference, ends, versus.margin, hollow=False),
            ]
            for s in versus.shifts
        ],
        mark="",
        caption=(
            "Bars: right of the line is better now, left of it worse. A range that contains zero "
            "shows no change; one inside the shaded band shows that no change matters."
        ),
    )


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
    if found is None or not found.listed:
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


# Labels of a matrix, at most; of more, so many pairs that are taken for each other.
MATRIX, CONFUSED = 12, 20


def confusion_table(decision: Decision) -> tuple[list[str], list[list[str]]]:
    """Return heads and rows: each label by what was answered, or the pairs confused most often."""
    counts = {(one.label, one.answer): one.rows for one in decision.confusion}
    labels = decision.dataset.labels
    if len(labels) <= MATRIX:
        answers = [*labels, *([None] if any(answer is None for _, answer in counts) else [])]
        heads = ["label", *(NO_LABEL if a is None else f"as {clean(a)}" for a in answers)]
        cells = [[f"{counts.get((label, a), 0):,}" for a in answers] for label in labels]
        return heads, [[clean(label), *row] for label, row in zip(labels, cells, strict=True)]
    wrong = sorted((pair for pair in counts if pair[0] != pair[1]), key=lambda p: -counts[p])
    return ["label", "answered", "rows"], [
        [clean(label), NO_LABEL if answer is None else clean(answer), f"{counts[label, answer]:,}"]
        for label, answer in wrong[:CONFUSED]
    ]


def reply_rows(decision: Decision, texts: Mapping[str, str]) -> list[list[str]]:
    """Return rows that the best prompted candidate gets wrong, under `REPLY_HEADS`."""
    return [
        [
            row.id,
            row.target,
            NO_LABEL if answer.output is None else answer.output,
            DASH if answer.raw is None else answer.raw,
            text_of(decision, texts, row.id),
        ]
        for row in decision.side_by_side
        for answer in row.answers
    ]


def prompts_used(decision: Decision) -> list[PromptText]:
    """Return the prompts of candidates that answered, and of their other settings that did."""
    cards = [card for card in decision.scorecards if card.accuracy]
    used = {(card.candidate, "") for card in cards}
    used |= {(card.candidate, point.setting) for card in cards for point in card.settings}
    prompts = decision.method.prompts if decision.method else ()
    return [one for one in prompts if (one.candidate, one.setting) in used]


REPLY_HEADS = ["row", "label", "answer", "reply", "text"]
NO_LABEL = "no label"
