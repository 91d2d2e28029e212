"""What models that read documents lose, to what, and as documents change, in sentences."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from choose.corpus import LOOKED
from choose.errors import rows_named
from choose.formatting import (
    in_percent,
    measured,
    percent_interval,
    plural,
    signed_points,
)
from choose.judge.decision.rule import Case
from choose.judge.decision.verdict_kind import (
    MATTERS,
    documents_limit,
    retrieval_next,
    retrieval_part,
    target_met,
)
from choose.schema.base import Interval
from choose.schema.reading_documents import (
    SURELY,
    DocumentDrill,
    DrillOutcome,
    Gap,
    GapName,
    LossSplit,
    Retrieved,
    best_first,
)
from choose.schema.standings import Step

# Labels that are doubted are spoken of if they surely are this share of the rows or more.
DOUBTED = 0.02

_LOSES: dict[GapName, str] = {
    "reading": "reading",
    "retrieval": "retrieval",
    "distraction": "the other passages that are read beside the right one",
}

_READER, _MORE = "a stronger or tuned reader", "a stronger model or more labelled questions"

_DO: dict[GapName, str] = {
    "reading": f"{_READER}, not a better index",
    "retrieval": "a better index or better documents, not another reader",
    "distraction": "fewer passages, or a reader that was tuned among others",
}


def losses_of(case: Case) -> tuple[str, ...]:
    """Return what the candidate that the verdict names, or the next best, loses to what.

    A baseline that copies from a passage has nothing without one: that is no finding.
    """
    families = {c.info.name: c.info.family for c in case.contenders.panel.candidates}
    models = [s for s in case.splits if families.get(s.candidate) != "baseline"]
    splits = [s for s in case.splits if s.candidate == case.name] or models
    tuned = case.contenders.families.get("fine-tuning", ())
    reads = case.contenders.panel[case.name].info.reads
    return loss_sentences(splits, case.name, tuned, reads, case.long_answers is not None)


def loss_sentences(
    splits: Sequence[LossSplit],
    candidate: str,
    tuned: Collection[str] = (),
    reads: bool = False,
    long: bool = False,
) -> tuple[str, ...]:
    """Return what retrieval brings and what is missing now, together; nothing without a split.

    The split of another candidate says why it is not that of `candidate`, which `reads` or not.
    Where right answers are `long`, other words for the same are a part of what reading loses.
    """
    split = next(iter(best_first(splits, candidate)), None)
    if split is None:
        return ()
    who = split.candidate
    if who != candidate:
        why = "is not tested enough for this yet" if reads else "reads no passages"
        who = f"{who} ({candidate} {why})"
    said = " ".join(filter(None, (_knowledge(split, who), _form(split), _missing(split))))
    said = said.replace(_READER, _MORE) if split.candidate in tuned else said
    said += " Right answers are long: other words for the same count as misread." if long else ""
    return tuple(filter(None, (said, _ceiling(split))))


def _form(split: LossSplit) -> str:
    """Say that format is what would cost most, where it surely is."""
    form, before = split.format, split.as_written
    if form is None or before is None or form.largest < SURELY or not _above_0(form.loss):
        return ""
    return (
        f"Format would cost it most ({_points(form)}), but needs no training: shortened answers "
        f"score {in_percent(split.retrieved.value)}, as written {in_percent(before.value)}."
    )


def _ceiling(split: LossSplit) -> str:
    """Say what may be reached at most, where labels surely are doubted."""
    if split.ceiling is None or (split.ceiling.high or 1.0) > 1 - DOUBTED:
        return ""
    return (
        f"Even a perfect reader may score only {percent_interval(split.ceiling)}: independent "
        "candidates give the same other answer to the remaining rows, whose labels may be wrong."
    )


def _knowledge(split: LossSplit, who: str) -> str:
    without, found, gold = (
        in_percent(interval.value).removesuffix(" %")
        for interval in (split.nothing, split.retrieved, split.gold)
    )
    low, high = split.knowledge.low, split.knowledge.high
    on = f" on {plural(split.rows, 'row')}"
    if low is not None and low > 0 and split.brought is not None and not _above_0(split.brought):
        return (
            f"The right passage would bring the knowledge: {who} scores {gold} with it, {without} "
            f"without{on}; what it retrieves is not shown to ({found})."
        )
    if low is not None and low > 0:
        # Where most is reached without one, as by the form of long answers, knowledge is too much.
        what, brought = "bring the knowledge", split.brought
        if brought is not None and split.nothing.value > brought.value:
            what = f"add {measured(brought.value)}"
        return (
            f"Passages {what}: {who} scores {found} with them, {without} "
            f"without{on} ({gold} with the right passage)."
        )
    if high is not None and high < 0:
        return (
            f"Passages mislead {who}: it scores {without} without one and {gold} with "
            f"the right one{on}."
        )
    return (
        f"Passages are not shown to help {who}: it scores {without} without one and "
        f"{gold} with the right one{on}."
    )


def _missing(split: LossSplit) -> str:
    first, second = split.gaps[:2]
    if not first.loss.value > 0:
        return f"It loses nothing by retrieval or reading, on {plural(split.rows, 'row')}."
    if first.largest < SURELY or not _above_0(first.loss):
        return (
            f"What it loses most by is open: {_LOSES[first.name]} ({_points(first)}) or "
            f"{_LOSES[second.name]} ({_points(second)}), on {split.rows} rows."
        )
    other = next(gap for gap in split.gaps if gap.name in ("reading", "retrieval") and gap != first)
    if other.name == "retrieval" and (part := retrieval_part(split)) >= MATTERS:
        if retrieval_next(split):
            return _retrieval_first(split, part)
        return (
            f"It loses most in {_LOSES[first.name]} ({_points(first)}), and retrieval matters too "
            f"({_points(other)}): {in_percent(part)} of what it reaches with the right passage is "
            "lost where another one is found."
        )
    most = "What it loses most by" if first.name == "distraction" else "What is missing now"
    lost, hits = f"{most} is {_LOSES[first.name]} ({_points(first)}), not ", split.found
    if other.name == "retrieval" and hits and (hits.any.high or 1.0) < 1 - MATTERS / 2:
        return (
            f"{lost}yet retrieval ({_points(other)}): {_DO[first.name].split(', not')[0]} first, "
            "then the index, which finds the evidence of only "
            f"{in_percent(hits.any.value)} of {plural(hits.rows, 'row')}."
        )
    return f"{lost}{_LOSES[other.name]} ({_points(other)}): {_do(first.name, hits)}."


def _retrieval_first(split: LossSplit, part: float) -> str:
    """Say that retrieval is what can be mended, though a perfect reader would gain more."""
    retrieval, reading, found = split.gap("retrieval"), split.gap("reading"), split.found
    why = f", {in_percent(part)} of what the right passage reaches)"
    if found and (found.any.high or 1.0) < 1 - MATTERS / 2:
        rows = f"{in_percent(found.any.value)} of {plural(found.rows, 'row')}"
        limits = "which limits every reader of the same passages"
        why = f"): it reads the evidence of only {rows}, {limits}"
    beside = f", which takes {_READER}"  # no other candidate was given the right passage
    if (gain := split.reader_gain) is not None and (gain.low or 0.0) > 0:
        more = signed_points(gain.value)
        beside = f", but the best other reader, {split.best_reader}, gains only {more}"
    elif gain is not None:
        beside = ", but no other candidate is shown to read better"
    return (
        f"What can be won without a better model is retrieval ({_points(retrieval)}{why}. Reading "
        f"loses more ({_points(reading)}){beside}."
    )


def _do(name: GapName, found: Retrieved | None) -> str:
    """Say what helps; for retrieval by where the evidence is that was not read."""
    if name != "retrieval" or found is None or not found.missed or found.low is None:
        return _DO[name]
    low, missed = len(found.low), len(found.missed)
    if 2 * low >= missed:
        what, rows, where = "better ranks", low, f"ranked too low, among the first {LOOKED}"
    else:
        what, rows, where = "better documents", missed - low, f"not among the first {LOOKED}"
    return f"{what}, not another reader (evidence of {rows:,} of {missed:,} missed rows is {where})"


def documents_steps(case: Case, check: str) -> Iterator[Step]:
    """Yield what to do first where documents or retrieval limit; `check` is a command."""
    limit = documents_limit(case)
    split = next(iter(best_first(case.splits, case.name)), None)
    if limit == "fix-documents":
        yield Step(
            kind=limit,
            text="Write or find the documents with the answers to "
            f"{rows_named(case.unanswered, 8)}: the check lists every question whose answer occurs "
            "in none.",
            question="whether what is asked can be answered at all",
            command=check,
        )
    first = limit == "fix-retrieval"
    if split is not None and (first or (retrieval_next(split) and not target_met(case))):
        whose = f", as measured with {split.candidate}" if split.candidate != case.name else ""
        yield Step(
            kind="fix-retrieval",
            text=f"Improve retrieval{' before reading' if first else whose}: other lengths of "
            "passages (words), more of them (k), titles that say what a page is about, or an "
            f"encoder of your domain (--encoder).{_missed(split.found)}",
            question="how much of what the right passage gives can be reached",
            value=split.gap("retrieval").loss,
        )


def _missed(found: Retrieved | None) -> str:
    """Name rows whose evidence was not read, and say what helps these."""
    if found is None or not found.missed:
        return ""
    if found.low is None:
        return f" It misses the evidence of {rows_named(found.missed, 8)}."
    rest, said = [id for id in found.missed if id not in {*found.low}], ""
    if found.low:
        said = (
            f" Better ranks (retriever) or more passages help with "
            f"{rows_named(found.low, 8)}, whose evidence is among the first {LOOKED} found."
        )
    if rest:
        said += (
            f" Other wording or documents help with {rows_named(rest, 8)}, whose evidence is not."
        )
    return said


def with_sentence(drill: DocumentDrill) -> DocumentDrill:
    """Return the effect of changed documents on answers, with a sentence on it."""
    best, other = _named(drill)
    before, after = (in_percent(score.value) for score in (best.clean, best.updated))
    said = (
        f"After {plural(drill.facts, 'fact')} changed in the documents, {best.candidate} scores "
        f"{after.removesuffix(' %')} on {plural(drill.rows, 'question')} about them "
        f"({before.removesuffix(' %')} before), without retraining, and gives the old answer to "
        f"{in_percent(best.stale.value)}"
    )
    if other is not None:
        said += f"; {other.candidate} gives it to {in_percent(other.stale.value)}"
    return drill.model_copy(update={"says": f"{said}."})


def _named(drill: DocumentDrill) -> tuple[DrillOutcome, DrillOutcome | None]:
    """Return the best candidate that reads, and the other one that gives the most old answers.

    It is no baseline if there is another.
    """
    others = [outcome for outcome in drill.outcomes if not outcome.reads]
    others = [outcome for outcome in others if outcome.family != "baseline"] or others
    most = max(others, key=lambda o: o.stale.value, default=None)
    return drill.outcomes[0], most


def _above_0(interval: Interval) -> bool:
    return interval.low is not None and interval.low > 0


def _points(gap: Gap) -> str:
    return signed_points(-gap.loss.value)
