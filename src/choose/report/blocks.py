"""What a report shows: a decision, or a comparison of two studies, as a list of blocks.

Renderers (`html.page`, `markdown`, `terminal.full_report`) know blocks and nothing of decisions.
Text in a block comes as it was found: each renderer makes it harmless.
"""

import re
import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from choose.formatting import (
    DASH,
    MINUS,
    difference,
    dollars,
    duration,
    figure,
    in_percent,
    listed,
    milliseconds,
    p_value,
    percent,
    plural,
    plus_minus,
    points,
    short_model,
    short_models,
    span,
)
from choose.report import check_words, words
from choose.report.words import shorten
from choose.schema.base import Command
from choose.schema.candidate_scorecard import (
    CurvePoint,
    GivenAnswer,
    Scorecard,
    Service,
    TextFigures,
)
from choose.schema.check import Check
from choose.schema.decision import POSSIBLE, Decision, FamilyResult, Versus
from choose.schema.diagnosis import LossSplit, best_first
from choose.stats import Estimate
from choose.tasks.metrics import metric_of

Tone = Literal[
    "", "because", "doubt", "warning", "aside", "note", "caption", "fail", "more"
]  # fmt: skip

# How commands are written: typed, or called in Python.
Say = Callable[[Command], Sequence[str]]


@dataclass(frozen=True)
class Answer:
    """The head of a page: the question, the data and its size, the answer, and how sure it is."""

    question: str
    data: str
    size: str
    text: str
    sure: str = ""
    mood: words.Mood = ""


@dataclass(frozen=True)
class Heading:
    """A title: level 2 with an id opens a section, 3 a part of it that a page folds.

    `finding` is what a folded part says, in a line.
    """

    text: str
    id: str = ""
    level: int = 2
    finding: str = ""


@dataclass(frozen=True)
class Paragraph:
    """A text, and how it is meant."""

    text: str
    tone: Tone = ""


@dataclass(frozen=True)
class Bullets:
    """Sentences, of which a page shows the first few at once."""

    items: Sequence[str]
    shown: int = 99


class Todo(NamedTuple):
    """Something to do, said in the first sentence, and the parts of its command, if it has one."""

    sentences: Sequence[str]
    command: Sequence[str] = ()

    @property
    def text(self) -> str:
        return " ".join(self.sentences)


@dataclass(frozen=True)
class Steps:
    """What to do next."""

    items: Sequence[Todo]


class Fact(NamedTuple):
    """A named fact; a check has a status, ``pass``, ``good``, ``fail``, ``look`` or ``unknown``."""

    name: str
    text: str
    status: str = ""


@dataclass(frozen=True)
class Facts:
    """Named facts, one below the other."""

    items: Sequence[Fact]


class Bar(NamedTuple):
    """A difference as a share against zero and a margin, on an axis from `low` to `high` points.

    A hollow mark rests on fewer rows.
    """

    gap: Estimate | None
    low: float
    high: float
    margin: float
    hollow: bool = False


@dataclass(frozen=True)
class Table:
    """Cells under heads; the first column names the rows, and the row `mark` stands out.

    Attributes:
        wide: whether the last column is text, so that a phone reads a row downwards.
        shown: rows that are shown at once.
        bars: one beside each row, or none.
        drawn: how to read the bars.
        sign: what a terminal puts before the row that stands out.
        spare: columns that a narrow terminal may lack, the last one first.
    """

    caption: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    mark: str = ""
    wide: bool = False
    shown: int | None = None
    bars: Sequence[Bar | None] = ()
    drawn: str = ""
    sign: str = ""
    spare: Sequence[str] = ()

    @property
    def figures(self) -> list[bool]:
        """Return by column whether it holds figures, ranges or dashes, which align right."""
        columns = list(zip(*self.rows, strict=True))
        return [place > 0 and all(map(is_figure, cells)) for place, cells in enumerate(columns)]


@dataclass(frozen=True)
class Chart:
    """Scores by name against numbers of labels, which have a logarithmic axis."""

    lines: Mapping[str, Sequence[CurvePoint]]
    below: str
    beside: str
    caption: str

    @property
    def ticks(self) -> list[int]:
        return sorted({point.labels for line in self.lines.values() for point in line})

    @property
    def as_table(self) -> Table:
        scores = {name: {at.labels: at.value for at in line} for name, line in self.lines.items()}
        rows = [[name, *(percent(own.get(x)) for x in self.ticks)] for name, own in scores.items()]
        heads = ["candidate", *(f"{x:,}" for x in self.ticks)]
        return Table(f"{self.beside} by {self.below}", heads, rows)


@dataclass(frozen=True)
class Listing:
    """A text of several lines to copy; one with a title is folded on a page."""

    text: str
    title: str = ""


Block = Answer | Heading | Paragraph | Bullets | Steps | Facts | Table | Chart | Listing

# Words that a figure may hold: ``83.0 to 90.1``, ``2 of 3``, ``85 vs 94``, ``81.0 (all)``.
_LETTERS = re.compile(r"\b(?!(?:to|of|vs|under|all|s|min|h)\b)[^\W\d_]+")


def is_figure(cell: str) -> bool:
    """Return whether a cell holds a figure, a range, a dash or nothing."""
    return cell in (DASH, "") or (any(map(str.isdigit, cell)) and not _LETTERS.search(cell))


def table(caption: str, rows: Iterable[Mapping[str, str]], **how: Any) -> Iterator[Block]:
    """Yield a table of rows as cells by head, without columns and rows that were not measured.

    Without any measurement nothing is yielded. `how` are other fields of the table.
    """
    every = list(rows)
    first, *heads = dict.fromkeys(head for row in every for head in row) or ("",)
    kept = [head for head in heads if any(row.get(head, DASH) != DASH for row in every)]
    known = [row for row in every if any(row.get(head, DASH) != DASH for head in kept)]
    if not known:
        return
    columns = [first, *kept]
    cells = [[row.get(head, DASH) for head in columns] for row in known]
    yield Table(caption, columns, cells, **how)


def part(
    title: str, *blocks: Iterable[Block], id: str = "", level: int = 3, finding: str = ""
) -> Iterator[Block]:
    """Yield blocks under a title; nothing without any."""
    if inside := [block for some in blocks for block in some]:
        yield Heading(title, id, level, finding)
        yield from inside


def bullets(sentences: Iterable[str], shown: int = 99) -> Iterator[Block]:
    if items := list(sentences):
        yield Bullets(items, shown)


def paragraphs(texts: Iterable[str], tone: Tone = "") -> Iterator[Block]:
    yield from (Paragraph(text, tone) for text in texts if text)


def decision_blocks(
    decision: Decision,
    texts: Mapping[str, str] | None = None,
    store: Path | None = None,
    newest: bool = False,
) -> list[Block]:
    """Return what a report shows of a decision.

    `texts` are those of rows by id, where they were stored; commands name the folder of the study,
    `store`, which the `newest` one does not need.
    """
    stored = texts or {}

    def say(command: Command) -> Sequence[str]:
        return words.parts_of(words.typed_here(command, store, newest))

    seen = differing_rows(decision, stored), prompts(decision)
    other_answers = part("Answers", part_by_part(decision), id="answers", level=2)
    return [
        *answer(decision),
        *candidates(decision),
        *next_steps(decision, say),
        *part("What reading loses", bullets(words.reading(decision)), level=2),
        *part("What else matters", bullets(words.what_else(decision), 3), level=2),
        *part("See for yourself", *seen, id="see", level=2),
        *reading_losses(decision),
        *(labels(decision, stored) if decision.dataset.labels else other_answers),
        *money(decision, say),
        Heading("For reviewers", "evidence"),
        *learning_curve(decision),
        *scores(decision),
        *comparisons(decision),
        *task_changes(decision),
        *changed_documents(decision),
        *method(decision),
        *reproduce(decision, store),
    ]


# The answer and what to do, the first section.

# Columns of a name in a table of families, and in a drawing.
NAME = 20


def screen_blocks(decision: Decision, say: Say = words.parts_of) -> list[Block]:
    """Return what the first screen shows, of which a terminal cuts what does not fit."""
    failed = [(card.candidate, error) for card in decision.scorecards for error in card.errors[:1]]
    more = f" ({len(failed) - 1:,} other candidates failed too)" * (len(failed) > 1)
    beside = (words.payback(decision), words.ending(decision), words.takeover(decision))
    return [
        *answer(decision),
        *families(decision),
        *(
            Paragraph(shorten(f"{name} failed{more}: {words.failed(error)}", 160), "fail")
            for name, error in failed[:1]
        ),
        *paragraphs((*beside, *[*words.reading(decision)][:1]), "aside"),
        *(next_steps(decision, say) if decision.verdict.steps or words.low_score(decision) else ()),
    ]


def answer(decision: Decision) -> Iterator[Block]:
    """Yield the answer, what could change it, and what could be misleading."""
    data, asked = decision.dataset, words.words_in(decision).question
    size = plural(data.rows, "labelled row")
    size += f", {plural(data.test_rows, 'test row')}" * (data.test_rows < data.rows)
    size += f", {plural(len(data.labels), 'label')}" if data.labels else ""
    sure, mood = words.how_sure(decision), words.MOODS.get(decision.verdict.kind, "wait")
    yield Answer(f"{asked} for", data.name, size, words.answer(decision), sure, mood)
    yield from paragraphs(words.doubts(decision), "because")
    yield from paragraphs((*words.missed_labels(decision), *words.caveats(decision)), "doubt")


def families(decision: Decision) -> Iterator[Block]:
    """Yield the families, each by its member to use; those that were not measured come last.

    Where none is usable, the reference that none beats is the first row.
    """
    verdict, known = decision.verdict, {one.candidate: one for one in decision.scorecards}
    found = verdict.families
    if not verdict.usable:
        floors = [card.candidate for card in words.references(decision)[:1]]
        found = (*(FamilyResult(family="reference", best=floor) for floor in floors), *found)
    shown = [(one.family, known[one.best]) for one in found if one.best in known]
    if not shown:
        return
    first, total = shown[0][1], decision.dataset.test_rows
    head, whole = f"rows of {total:,}", all(card.rows == total for _, card in shown)
    apart = words.apart(decision) and len(shown) > 1
    pool = words.part_read(decision, (card for _, card in shown))
    rows = [_family_row(decision, family, card, apart=apart, pool=pool) for family, card in shown]
    rows += [
        {"family": family, head: "0", "chance": chance_cell(decision, verdict.chance.get(family))}
        for family in verdict.unmeasured
    ]
    rest = 1 - sum(verdict.chance.values())
    if decision.chance is not None and rest >= POSSIBLE:
        rows.append({"family": "none beats guessing", "chance": chance_cell(decision, rest)})
    # A figure of one candidate alone compares nothing.
    rare = [_found_head(one.label) for one in verdict.rare[:1]]
    alone = [found for found in rare if sum(found in row for row in rows) < 2]
    rows = [{name: cell for name, cell in row.items() if name not in alone} for row in rows]
    use = verdict.usable and first.chosen and not first.beyond
    sign = ("▶" if verdict.recommended else "▷") if use else ""
    spare = ["won:lost", "ms per answer", "$ a month", "$ per 1,000", *rare, _alone(decision)]
    spare.insert(4 if whole else 0 if pool else 1, head)
    yield from table("", rows, mark=rows[0]["family"] if use else "", sign=sign, spare=spare)
    compared = words.compared_on(decision, pool) if apart else ""
    yield from paragraphs((compared, words.beyond_limits(decision)), "note")
    if shown[1:]:
        cells = (cell for row in rows for cell in row.values())
        signs = words.glossary(decision, (card for _, card in shown), cells)
        yield from paragraphs((signs,), "caption")


def _family_row(
    decision: Decision, family: str, card: Scorecard, *, apart: bool, pool: int
) -> dict[str, str]:
    member, own = shorten(card.candidate, NAME), _place(decision, card, apart=apart, pool=pool)
    if (gap := card.difference) and not card.chosen:
        own[f"against {decision.named}"] = plus_minus(gap)
    del own["state"]
    named = {"family": family if member == family else f"{family}: {member}"}
    head, rows = f"rows of {decision.dataset.test_rows:,}", own["rows"].partition(" ")[0]
    found = {head if key == "rows" else key: cell for key, cell in (own | {"rows": rows}).items()}
    score, first = score_cell(card.accuracy), percent((card.compared or (None,))[0])
    # The chosen one's score of all its rows stands in the first column, as any that is the same.
    another = apart and not (pool or card.chosen or score == first)
    return named | found | {_alone(decision): f"{score} ({card.rows:,})" if another else DASH}


def candidates(decision: Decision) -> Iterator[Block]:
    """Yield every candidate against the chosen one on common rows: the table that is the chart."""
    named, near = titles(decision), set(contending(decision))
    placed = [s for s in decision.scorecards if s.chosen or s.difference is not None]
    low, high = bar_ends(s.difference for s in placed if s.candidate in near)
    margin = decision.goal.get("margin") or 0.0
    pick, whole = next(((s.candidate, s.common) for s in placed if s.chosen), ("", 0))
    caption = "All candidates, on the rows that each shares with the chosen one"
    apart, pool = words.apart(decision), words.part_read(decision, placed)
    rows = [
        {"candidate": named[card.candidate], **_place(decision, card, apart=apart, pool=pool)}
        for card in placed
    ]
    if pool:  # the money's table has it, and bars need the room
        rows = [{name: cell for name, cell in row.items() if name[:3] != "ms "} for row in rows]
    bars = [Bar(s.difference, low, high, margin, s.common < whole) for s in placed]
    ends = f"{low:+.0f} to {high:+.0f}".replace("-", MINUS)
    drawn = (
        f"Bars: points against {pick} on the same rows with their 95 % range, from {ends}."
        + f" Shaded: less than the margin of {points(margin)}." * (margin > 0)
        + " Hollow: compared on fewer rows." * any(bar.hollow for bar in bars)
    )
    yield from table(caption, rows, mark=named.get(pick, ""), wide=True, bars=bars, drawn=drawn)
    others = listed([s.candidate for s in decision.scorecards if s not in placed])
    compared = words.compared_on(decision, pool)
    left = f"Not measured or not compared: {others}." if others else ""
    odds, rest = decision.verdict.chance, decision.verdict.unmeasured
    new = [f"{name} ({chance_cell(decision, odds.get(name))} chance)" for name in rest]
    left += f" Not measured: {listed(new)}." * (bool(new) and bool(decision.chance))
    yield from paragraphs((compared, words.beyond_limits(decision), left), "note")


# Points to each side of zero that bars span at least, and at most.
LEAST, MOST = 5.0, 35.0


def bar_ends(gaps: Iterable[Estimate | None]) -> tuple[float, float]:
    """Return the points that bars span: these differences with their ranges, and zero."""
    ends = [100 * end for gap in gaps if gap for end in (gap.value, gap.low, gap.high) if end]
    return max(min([*ends, -LEAST]), -MOST), min(max([*ends, LEAST]), MOST)


def _place(decision: Decision, card: Scorecard, *, apart: bool, pool: int) -> dict[str, str]:
    """Return a candidate's score, costs and difference to the chosen one, by the head of a column.

    Where scores are not of the same rows (`apart`), its own and that of the chosen one on common
    rows stand there; where some learned from a part of a `pool`, its own, with its training rows.
    Dollars are those of a month where the study states how many it takes.
    """
    total, ms, volume = decision.dataset.test_rows, card.cost.ms_per_item, decision.goal["volume"]
    best = {family.best: family.family for family in decision.verdict.families}
    chance = decision.verdict.chance.get(best.get(card.candidate, ""))
    usd, score = card.cost.usd_per_1k, score_cell(card.accuracy)
    price = {"$ per 1,000": figure(usd)}
    if volume:
        price = {"$ a month": figure(usd and usd * volume / 1000)}
    both, head = [percent(one, 0) for one in card.compared or ()], words.score_head(decision.goal)
    found = {
        _found_head(rare.label): in_percent(rare.found[card.candidate] / rare.answered)
        for rare in decision.verdict.rare[:1]
        if card.candidate in rare.found
    }
    own = {head: score}
    if pool:
        read = "" if card.learned is None else f" ({card.learned:,})"
        read = " (all)" if (card.learned or 0) >= words.ALL_READ * pool else read
        own = {f"{'own ' * apart}{head} (trained on, of {pool:,})": f"{score}{read}"}
    return {
        **({f"{head} vs {decision.named}": " vs ".join(both) or score} if apart else own),
        "chance": chance_cell(decision, chance),
        f"against {decision.named}": DASH if card.chosen else difference(card.difference),
        "won:lost": DASH if card.won is None else f"{card.won:,}:{card.lost:,}",
        "rows": out_of(card.rows if card.chosen else card.common or card.rows, total),
        **found,
        "ms per answer": DASH if ms is None else milliseconds(ms).removesuffix(" ms"),
        **price,
        **(own if apart and pool else {}),
        "state": _state(decision, card),
    }


def _found_head(label: str) -> str:
    return f"“{shorten(label, NAME)}” found"


def _alone(decision: Decision) -> str:
    return f"{words.score_head(decision.goal)} (own rows)"


def _state(decision: Decision, card: Scorecard) -> str:
    verdict, gap = decision.verdict, card.difference
    if card.beyond:
        return "beyond a limit"
    if card.chosen:
        own = "use" if verdict.recommended else "use for now" if verdict.usable else "not usable"
        return "reference" if words.only_references(decision) else own
    members = [one.members for one in verdict.families if one.family == card.family]
    if any(names and card.candidate not in names for names in members):
        return "reference"
    if gap and gap.high is not None and gap.high < 0:
        return "behind"
    return "ahead" if gap and gap.low is not None and gap.low > 0 else "open"


def next_steps(decision: Decision, say: Say) -> Iterator[Block]:
    yield Heading("Do next")
    steps = [
        Todo(words.sentences_of(decision, step), say(step.command) if step.command else ())
        for step in decision.verdict.steps
    ]
    target = Command(verb="compare", study="STUDY", options={"target": "80%"})
    steps += [Todo([low], say(target)) for low in [words.low_score(decision)] if low]
    yield Steps(steps) if steps else Paragraph("No open question that this study could answer.")


# Candidates as every section orders, names and marks them.

# Points behind the chosen candidate from which on a candidate is an arrow at the edge of the chart.
BEHIND = 15.0


def ranked(decision: Decision) -> list[Scorecard]:
    """Return the candidates, the nearest to the chosen one first; those without a score last."""
    return sorted(decision.scorecards, key=lambda card: card.accuracy is None)


def readers(decision: Decision) -> list[Scorecard]:
    """Return the candidates whose answers depend on the rows, the best first.

    What finds one label at most says nothing of noise, typos or new labels.
    """
    found = {c.candidate: sum(bool(row.recall) for row in c.per_class) for c in decision.scorecards}
    return [c for c in ranked(decision) if not c.per_class or found[c.candidate] > 1]


def titles(decision: Decision) -> dict[str, str]:
    """Return the readable name of each candidate: ``words + logistic regression (tfidf)``."""
    found = {c.candidate: c.title or short_model(c.model or "") for c in decision.scorecards}
    return {n: f"{title} ({n})" if title not in ("", n) else n for n, title in found.items()}


def contending(decision: Decision) -> list[str]:
    """Return the chosen candidate and those less than `BEHIND` points behind it, the best first.

    If none is that close, the closest one is shown instead.
    """
    placed = [s for s in decision.scorecards if s.chosen or s.difference is not None]
    ahead = {s.candidate: 100 * s.difference.value if s.difference else 0.0 for s in placed}
    near = [s.candidate for s in placed if s.chosen or ahead[s.candidate] > -BEHIND]
    return near if len(near) > 1 else [s.candidate for s in placed[:2]]


def out_of(count: int, total: int) -> str:
    """Return ``602``, or ``121 of 602`` where that is not all."""
    return f"{count:,} of {total:,}" if count < total else f"{count:,}"


def of_rows(estimate: Estimate | None, decision: Decision, rows: int = 0) -> str:
    """Return how many rows a figure rests on: ``602``, or ``121 of 602`` if these are not all.

    `rows` is the number where the figure does not say which rows these are.
    """
    if estimate and estimate.row_set:
        rows = _rows_in(estimate.row_set)
    return out_of(rows, decision.dataset.test_rows) if rows else DASH


def _rows_in(row_set: str) -> int:
    """Return the number of rows behind a figure, which the record names with a checksum of them."""
    return int(row_set.partition(":")[0])


def score_cell(score: Estimate | None) -> str:
    return percent(score.value if score else None)


def chance_cell(decision: Decision, chance: float | None) -> str:
    """Return a chance as in a table: ``88 %``, ``>99 %``."""
    if chance is None or decision.chance is None:
        return DASH
    return ">99 %" if chance > 0.99 else "<1 %" if chance < 0.01 else f"{100 * chance:.0f} %"


# Rows to look at.

# Rows of a table with texts that are shown at once; doubted rows, rows that every candidate gets
# wrong, and pairs of labels that are taken for each other, at most.
SHOWN, DOUBTED, MISSED, CONFUSED = 5, 50, 10, 20

# Characters of a row's text; the record has all of it.
LONGEST = 300

NO_ANSWER = "no usable answer"


def text_of(decision: Decision, texts: Mapping[str, str], id: str) -> str:
    text = texts.get(id, DASH)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def differing_rows(decision: Decision, texts: Mapping[str, str]) -> Iterator[Block]:
    rows = (
        {
            "row": row.id,
            "right": "; ".join((row.target, *row.accepted)),
            **{f"{given.candidate} says": _said(decision, given) for given in row.answers},
            "text": text_of(decision, texts, row.id),
        }
        for row in decision.side_by_side
    )
    yield from table("Rows that candidates answer differently", rows, wide=True, shown=SHOWN)


def _said(decision: Decision, given: GivenAnswer) -> str:
    if given.output is None:
        return f"{NO_ANSWER}: {given.raw}" if given.raw else NO_ANSWER
    return given.output + ("" if decision.dataset.labels else f" ({given.score:.2f})")


def prompts(decision: Decision) -> Iterator[Block]:
    cards = [card for card in decision.scorecards if card.accuracy]
    used = {(c.candidate, s) for c in cards for s in ["", *(p.setting for p in c.settings)]}
    told = [
        Listing(one.text, ", ".join(filter(None, (one.candidate, one.setting))))
        for one in (decision.method.prompts if decision.method else ())
        if (one.candidate, one.setting) in used
    ]
    note = "Angle brackets mark what differs from row to row. Other candidates use no prompt."
    finding = "What each candidate says to its model."
    closing = [Paragraph(note, "note")] if told else []
    yield from part("Prompts", told, closing, id="prompts", finding=finding)


def labels(decision: Decision, texts: Mapping[str, str]) -> Iterator[Block]:
    audit = decision.audit
    yield Heading("Labels to check", "labels")
    if audit and audit.doubted:
        note = "Only a person can tell a wrong label from a hard row."
        yield Paragraph(f"{words.suspects_note(audit)} {note}")
        rows = (
            {
                "row": row.id,
                "given label": row.label,
                "suggested label": row.suggested,
                "agree": f"{row.agree} of {row.answered}",
                "text": text_of(decision, texts, row.id),
            }
            for row in audit.doubted[:DOUBTED]
        )
        yield from table("The most doubted labels", rows, wide=True, shown=SHOWN)
    else:
        yield Paragraph(words.silent(audit) or "No label is doubted.")
    yield from missed_by_all(decision, texts)
    audited = list(words.label_sentences(audit)) if audit and not audit.weak else []
    title, finding = "How many labels are wrong", "".join(audited[:1])
    yield from part(title, bullets(audited), id="audit", finding=finding)
    yield from part_by_part(decision)


def missed_by_all(decision: Decision, texts: Mapping[str, str]) -> Iterator[Block]:
    """Yield the errors that candidates share; what most answer is no suggestion."""
    if (overlap := decision.overlap) is None:
        return
    shared = list(words.shared_errors(decision))
    doubted = {row.id for row in decision.audit.doubted} if decision.audit else set()
    rows = [
        {
            "row": row.id,
            "given label": row.label,
            "most answer": row.instead or DASH,
            "agree": f"{row.agree} of {len(overlap.candidates)}",
            "text": text_of(decision, texts, row.id),
        }
        for row in overlap.doubtful
        if row.id not in doubted
    ]
    missed = table("Wrong in all, and not among the doubted labels", rows[:MISSED], wide=True)
    title = "Rows that every candidate gets wrong"
    yield from part(title, bullets(shared), missed, id="missed", finding=shared[0])


def part_by_part(decision: Decision) -> Iterator[Block]:
    """Yield precision and recall of each label, or field, and which labels are confused."""
    pick, part_of = decision.card, words.words_in(decision).new
    if pick is None or pick.rows < words.FEW:
        return
    known = {
        c.candidate: {row.name: row for row in (c.text.fields if c.text else c.per_class)}
        for c in (pick, *(c for c in readers(decision) if c.candidate != pick.candidate))
    }
    rows = (
        {
            part_of: row.name,
            "rows": f"{row.support:,}",
            **{
                name: f"{percent(parts[row.name].precision, 0)} / "
                f"{percent(parts[row.name].recall, 0)}"
                for name, parts in known.items()
                if row.name in parts
            },
        }
        for row in sorted(known[pick.candidate].values(), key=lambda row: -row.support)
    )
    caption = (
        f"Precision / recall in %: answers with the {part_of} that are right, and rows of the "
        f"{part_of} that are found, of the rows that each candidate answered"
    )
    wrong = [one for one in decision.confusion if one.label != one.answer]
    pairs = (
        {"label": one.label, "answered": one.answer or NO_ANSWER, "rows": f"{one.rows:,}"}
        for one in sorted(wrong, key=lambda one: -one.rows)[:CONFUSED]
    )
    confused = table(f"What {pick.candidate} takes for another label", pairs)
    title = f"{part_of.capitalize()} by {part_of}"
    yield from part(title, table(caption, rows), confused, id="classes")


# Money and curves.

# What shows dollars: the answers you need, and what the machine costs.
PRICES = Command(
    verb="compare", study="STUDY", options={"volume": "10000/month", "usd-per-hour": "0.50"}
)


def money(decision: Decision, say: Say) -> Iterator[Block]:
    yield Heading("Money, time and data", "money")
    yield Paragraph(words.data_risk(decision))
    named, learned = titles(decision), words.words_in(decision).labels
    rows = (
        {
            "candidate": named[card.candidate],
            "training": DASH if cost.fit_seconds is None else duration(cost.fit_seconds),
            "1,000 answers": DASH if cost.ms_per_item is None else duration(cost.ms_per_item),
            "$ per 1,000": dollars(cost.usd_per_1k),
            "$ to train": dollars(cost.training_usd),
            "$ a year": dollars(cost.total_usd),
            **({"indexing": duration(cost.index_seconds)} if cost.index_seconds else {}),
            "MB on disk": figure(cost.artefact_mb),
            "tokens in": figure(cost.tokens_in),
            "tokens out": figure(cost.tokens_out),
            **_served(card.service),
            "texts go to": words.where(card),
        }
        for card in ranked(decision)
        if card.accuracy and (cost := card.cost)
    )
    caption = f"Training on these {learned}, and 1,000 answers, on the machine of this study"
    yield from table(caption, rows, mark=named.get(decision.named, ""))
    yield from paragraphs((words.payback(decision), words.breakevens(decision)))
    yield from paragraphs(words.about_costs(decision), "note")
    if not words.priced(decision):
        yield Steps([Todo(["Add prices to see dollars; stored answers are reused."], say(PRICES))])


def _served(service: Service | None) -> dict[str, str]:  # without queueing
    if service is None:
        return {}
    return {
        "seconds, median": figure(service.latency_p50),
        "seconds, 95th percentile": figure(service.latency_p95),
        "% unusable": percent(service.unusable),
    }


def learning_curve(decision: Decision) -> Iterator[Block]:
    near, word = contending(decision), words.words_in(decision)
    cards = [c for c in readers(decision) if c.accuracy and c.candidate in near and c.curve[1:]]
    if cards:
        still = f"A line that still rises at its right end means that more {word.labels} help."
        on = rows_noted(decision, {c.curve[-1].row_set for c in cards})
        yield Chart(
            lines={shorten(c.candidate, NAME): c.curve for c in cards},
            below=f"training {word.label}s",
            beside=f"{word.score} in %",
            caption=f"{on} {still}".strip(),
        )


def rows_noted(decision: Decision, sets: Iterable[str | None]) -> str:
    """Say on how many test rows figures rest, by their sets of rows; empty if on all of them."""
    total, counts = decision.dataset.test_rows, sorted({_rows_in(rows) for rows in sets if rows})
    if not counts or counts == [total]:
        return ""
    few = " to ".join(f"{count:,}" for count in sorted({counts[0], counts[-1]}))
    return f"On {few} of {total:,} test rows."


# Evidence for reviewers.


def scores(decision: Decision) -> Iterator[Block]:
    cards, named, verdict = ranked(decision), titles(decision), decision.verdict
    models = short_models(card.model for card in decision.scorecards)
    rows = (
        {
            "candidate": named[card.candidate],
            words.score_head(decision.goal): score_cell(card.accuracy),
            "95 % CI": span(card.accuracy),
            "family": card.family,
            "model": models[card.model],
            "macro F1": percent(card.macro_f1),
            **_of_texts(card.text),
            "rows": of_rows(card.accuracy, decision, card.rows),
            "runs": str(card.repetitions or DASH),
            "% usable": percent(card.format_valid),
            **{f"sd of {name}": percent(sd) for name, sd in card.variance if name != "test_rows"},
        }
        for card in cards
    )
    caption = (
        f"{words.words_in(decision).title} of each candidate, and its standard deviation (sd) from "
        "each source of variance alone"
    )
    role = "recommended" if verdict.recommended else "to use for now"
    note = f"The highlighted row is {role}. " if decision.verdict.usable else ""
    note += f"{DASH}: not measured, never zero. {words.covered_by(card.accuracy for card in cards)}"
    yield Heading("All candidates", "candidates", 3)
    yield from table(caption, rows, mark=named.get(decision.named, ""))
    yield Paragraph(note.strip(), "note")
    for card in cards:
        for error in card.errors:
            yield Paragraph(f"{card.candidate} failed: {words.failed(error)}", "fail")


def _of_texts(text: TextFigures | None) -> dict[str, str]:
    if text is None:
        return {}
    return {
        **{f"% {metric_of(name).name}": score_cell(found) for name, found in text.metrics.items()},
        "micro F1": percent(text.micro_f1),
        "macro F1": percent(text.macro_f1),
    }


def comparisons(decision: Decision) -> Iterator[Block]:
    planned = [pair for pair in decision.pairs if pair.p_holm is not None]
    rows = (
        {
            "pair": f" {MINUS} ".join(shorten(side, 60) for side in (pair.a, pair.b)),
            "difference (95 % CI)": difference(pair.difference),
            "p (Holm)": p_value(pair.p_holm),
            "rows": of_rows(pair.difference, decision, pair.rows),
        }
        for pair in planned
    )
    caption = f"In points of {words.words_in(decision).score}; decision.json has the other pairs"
    found = f"{plural(len(planned), 'planned comparison')}, corrected for their number."
    yield from part("Pairs on the same rows", table(caption, rows), id="differences", finding=found)


def change(loss: Estimate | None) -> str:
    """Return a loss as a change with its interval, in points: a loss is negative."""
    return difference(loss.negated() if loss else None)


def changed_documents(decision: Decision) -> Iterator[Block]:
    if (drill := decision.document_drill) is None:
        return
    said = words.after_changes(drill)
    rows = (
        {
            "candidate": one.candidate,
            "score before": percent(one.clean.value),
            "score after": with_span(one.updated),
            "% old fact": with_span(one.stale),
        }
        for one in drill.outcomes
    )
    yield Heading("When documents change", "documents", 3, said)
    yield Paragraph(said)
    yield from table("Facts that change in the documents", rows)


def task_changes(decision: Decision) -> Iterator[Block]:
    """Yield what wrong labels, other texts, later rows, another source and a new label change."""
    word = words.words_in(decision)
    rows = (
        {
            "candidate": card.candidate,
            "rows": _changed_rows(decision, card),
            **{f"{percent(p.rate, 0)} % wrong {word.target}s": change(p.loss) for p in card.noise},
            **{view.view: difference(view.change) for view in card.stability.views},
            "later rows": change(card.stability.temporal_drop),
            "other sources": change(card.stability.source_loss),
            "worst source": "".join(
                f"{worst.source}: {change(worst.loss)}" for worst in card.stability.sources[:1]
            )
            or DASH,
        }
        for card in readers(decision)
    )
    caption = (
        f"Points by which {word.score} changes, each against the same rows (95 % CI): with wrong "
        f"{word.target}s in training, on perturbed texts, on rows later than those trained on, and "
        "on sources that no training row is from"
    )
    parts = (table(caption, rows), new_classes(decision))
    yield from part("When labels, texts or the task change", *parts, id="change")


def _changed_rows(decision: Decision, card: Scorecard) -> str:
    """Return on how many rows the figures of a line of the table above are."""
    own = card.stability
    losses = [*(point.loss for point in card.noise), own.temporal_drop, own.source_loss]
    found = [*((loss, 0) for loss in losses), *((view.change, view.rows) for view in own.views)]
    told = dict.fromkeys(of_rows(loss, decision, rows) for loss, rows in found)
    return " / ".join(rows for rows in told if rows != DASH) or DASH


def new_classes(decision: Decision) -> Iterator[Block]:
    """Yield what a label or field does that was withheld, then added with a few examples."""
    added = [(c, new) for c in readers(decision) if (new := c.stability.new_class)]
    labelled = bool(decision.dataset.labels)
    found = "% found" if labelled else words.score_head(decision.goal)
    others = f"change on {'other labels' if labelled else 'rows without it'}, points"
    rows = (
        {
            "candidate": card.candidate,
            "examples added": str(point.examples),
            f"{found} (95 % CI)": with_span(point.recall),
            others: change(point.loss),
            "rows": of_rows(point.loss, decision),
        }
        for card, new in added
        for point in new.points
    )
    names = ", ".join(dict.fromkeys(new.label for _, new in added))
    what = words.words_in(decision).new
    yield from table(f"A {what} ({names}) that was withheld, then added with a few examples", rows)


# Labels that the method names.
NAMED = 40


def method(decision: Decision) -> Iterator[Block]:
    counts = Counter(gate.status for gate in decision.gates)
    found = ", ".join(f"{count} {name}" for name, count in counts.most_common())
    gates = [Fact(g.name, words.evidence(decision, g), g.status) for g in decision.gates]
    if gates:
        yield from part("Checks", [Facts(gates)], id="checks", finding=found)
    yield Heading("Method", "method", 3, f"{words.division_line(decision.dataset)}.")
    yield Facts([Fact(name, text) for name, text in _facts(decision) if text])
    yield from part("Left out", bullets(map(words.left_out_line, decision.left_out)), level=4)
    yield from part("About the data", bullets(decision.dataset.findings), level=4)
    yield from part("Notes from training", bullets(words.fit_notes(decision)), level=4)


def _facts(decision: Decision) -> Iterator[tuple[str, str]]:
    data, more = decision.dataset, len(decision.dataset.labels) - NAMED
    models = short_models(card.model for card in decision.scorecards)
    rows = f"{data.name}: {plural(data.rows, 'row')}"
    yield "Data", f"{rows}; {words.division_line(data)}; fingerprint {data.fingerprint}"
    yield "Labels", ", ".join(data.labels[:NAMED]) + (f" and {more} more" if more > 0 else "")
    yield "Goal", words.goal_line(decision.goal)
    named = (f"{short}: {spec}" for spec, short in models.items() if spec)
    yield "Models", "; ".join(named) or "none"
    versions = [f"choose {decision.choose}", f"rule {decision.rule}"]
    versions += [f"{key} {value}" for key, value in decision.machine.items()]
    yield "Versions", ", ".join(versions)


def reproduce(decision: Decision, store: Path | None) -> Iterator[Block]:
    found = "From the stored answers or from the data, with the commands to copy."
    folder = store or Path("STUDY")
    report = shlex.join(("choose", "report", str(folder)))
    compare = shlex.join(("choose", "compare", "-c", str(folder / "study.toml")))
    yield Heading("Reproduce", "again", 3, found)
    yield Steps(
        [
            Todo(["Report from the stored answers; no model runs."], (report, "-o report.html")),
            Todo(["Compare again, from the data."], (compare, "--out again")),
            Todo(["See what differs, in pairs on the same rows."], (report, "again")),
        ]
    )
    if decision.method and decision.method.settings:
        yield Listing(decision.method.settings, "The settings: study.toml")
    yield Paragraph(
        f"Install choose {decision.choose} from a checkout or wheel: no package index has it. "
        "study.toml holds no local folder, no password. A slower machine may finish fewer trials.",
        "note",
    )


# Answers that are texts, and what models that read documents lose.


def with_span(interval: Estimate | None) -> str:
    if interval is None:
        return DASH
    return f"{percent(interval.value)} ({span(interval)})".removesuffix(f" ({DASH})")


def reading_losses(decision: Decision) -> Iterator[Block]:
    """Yield what is lost to what, and the scores by what is read with how often it was found."""
    splits, mark = best_first(decision.loss_splits, decision.named), decision.named
    if not splits:
        return
    conditions = (
        {
            "candidate": split.candidate,
            "as retrieved": with_span(split.retrieved),
            "no passage": with_span(split.nothing),
            "right passage": with_span(split.gold),
            "right and others": with_span(split.among_others),
            "evidence found": with_span(split.found),
            "rows": f"{split.rows:,}",
            "documents": f"{split.documents:,}",
        }
        for split in splits
    )
    yield Heading("Reading: what is lost, and to what", "reading")
    yield from table("Points that each candidate loses", map(_losses, splits), mark=mark)
    caption = f"Scores by what is read ({words.score_head(decision.goal)}, 95 % CI)"
    yield from table(caption, conditions, mark=mark)
    yield Paragraph(words.READING_NOTE, "note")


def _losses(split: LossSplit) -> dict[str, str]:
    """Return what a candidate loses by cause: 0.0 is measured, a dash is one passage only."""
    losses = {gap.name: gap.loss for gap in split.gaps}
    largest = split.gaps[0]
    return {
        "candidate": split.candidate,
        **{f"{said} (95 % CI)": difference(losses.get(n)) for n, said in words.GAPS.items()},
        "largest": f"{words.GAPS[largest.name]} {percent(largest.largest, 0)} %",
    }


# Two studies.


def comparison_blocks(versus: Versus) -> list[Block]:
    before, after = versus.before.name, versus.after.name
    prints = f"{versus.before.fingerprint} and {versus.after.fingerprint}"
    return [
        Answer(
            question=f"What changed from {before} to",
            data=after,
            size=f"{plural(versus.rows.common, 'common row')}, "
            f"{plural(len(versus.shifts), 'candidate')}",
            text=words.what_changed(versus),
        ),
        Paragraph(f"Before: {versus.before.headline}", "because"),
        Paragraph(f"Now: {versus.after.headline}", "because"),
        Heading("Candidates on the common rows", "candidates"),
        *shifts(versus),
        Heading("Which rows are compared", "rows"),
        Bullets(list(words.common_rows(versus))),
        Heading("What changed in the study", "changes"),
        *changes(versus),
        Paragraph(f"Data: {prints}. Reproduce: choose report FIRST SECOND", "note"),
    ]


def shifts(versus: Versus) -> Iterator[Block]:
    low, high = bar_ends(shift.difference for shift in versus.shifts)
    title = words.words_of(versus.metric).title
    caption = f"{title} in % before and now, on the test rows of both studies"
    bars = [
        None if shift.same_fits else Bar(shift.difference, low, high, versus.margin)
        for shift in versus.shifts
    ]
    drawn = (
        "Bars: right of the line is better now, left of it worse. A range that contains zero shows "
        "no change; one inside the shaded band shows that no change matters."
    )
    cells = map(words.shift_cells, versus.shifts)
    yield from table(caption, cells, wide=True, bars=bars, drawn=drawn)
    yield Paragraph(words.about_shifts(versus), "note")


def changes(versus: Versus) -> Iterator[Block]:
    rows = (
        {"what": one.what, "before": _cut(one.before), "now": _cut(one.after)}
        for one in versus.changes
    )
    caption = "Data, settings, prices, models, prompts and versions that differ"
    yield from table(caption, rows, wide=True)
    if not versus.changes:
        yield Paragraph("Nothing: data, settings, models, prompts and versions are the same.")


# An audit of labelled rows.


def check_blocks(
    check: Check, issues: str = "-o issues.csv", say: Callable[[Command], str] = words.typed
) -> list[Block]:
    """Return what a report shows of an audit: what to do first, then a line for each check.

    `issues` is what lists all rows that need a look; `say` writes commands as the reader types
    them.
    """
    size = f"{plural(check.rows, 'row')}, {check.answers}; {words.DIVISIONS[check.division]}"
    # Findings come first; otherwise the order stays.
    lines = sorted(check.lines, key=lambda line: ("look", "good", "unknown").index(line.status))
    facts = [
        Fact(check_words.topic(line), check_words.line(check, line, say), line.status)
        for line in lines
    ]
    doubted = (
        {"row": row.id, "given label": row.label, "suggested label": row.suggested}
        for row in (check.audit.doubted if check.audit else ())
    )
    closing = words.LIMITS.format("target" if check.targets else "label")
    if check.issues:
        count = len({one.row for one in check.issues})
        rows = plural(count, "row") if count > 1 else "row"
        closing += f" To list the {rows} with issues: {issues}."
    closing += f" Took {duration(check.seconds)}; no model was loaded."
    steps = [Todo([check_words.step(check, step, say)]) for step in check.first]
    return [
        Answer("", check.name, size, check_words.headline(check)),
        *(Paragraph(left, "warning") for left in check.dropped),
        *part("Do first", [Steps(steps)] if steps else (), level=2),
        Heading("Checks"),
        Facts(facts),
        *part("Labels to check first", table("", doubted, shown=SHOWN), level=2),
        Paragraph(closing, "note"),
    ]


def _cut(value: str | None) -> str:
    return DASH if value is None else shorten(value, LONGEST)
