"""Sections of the decision page: learning curves, differences, errors, labels."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType

from choose.formatting import (
    DASH,
    clean,
    difference,
    p_value,
    percent,
    percent_interval,
    plural,
    span,
)
from choose.report.candidate_order import differing_line, pair_name, rows_in, with_rows
from choose.report.decision_text import (
    LABEL_WIDTH,
    MEANING,
    chosen,
    covered_by,
    forecast_lines,
    label_sentences,
    shared_errors,
    suspects_note,
    words_in,
)
from choose.report.screen_text import literal, shorten
from choose.report.terminal.candidate_table import NAME, CandidateRows
from choose.report.terminal.layout import Column, bullets, note, section, split_table
from choose.schema.decision import Decision, Pair
from choose.schema.diagnosis import ErrorClass, Failures, Suspect
from choose.schema.scorecard import LabelRecord, Scorecard

# Most columns of a learning curve, rows of weakest labels and doubted labels.
SIZES = 6
WEAKEST = 5
SUSPECTS = 10

# Rows that two candidates answer differently.
DIFFERING = 12

# Characters of a label and of a method, the longest of which takes 47.
LABEL = 40
METHOD = 48


def curves(decision: Decision, width: int) -> Iterator[RenderableType]:
    """Yield accuracy by number of training labels, and how many are needed."""
    rows = CandidateRows(decision, lambda card: len(card.curve) > 1)
    sizes = sorted({point.labels for card in rows.cards for point in card.curve})
    word = words_in(decision)
    if len(sizes) < 2:
        return
    if len(sizes) > SIZES:
        sizes = [sizes[round(i * (len(sizes) - 1) / (SIZES - 1))] for i in range(SIZES)]
    columns = [
        rows.column(f"{size:,}\n{word.label}s", lambda card, size=size: _at(rows, card, size))  # type: ignore[misc]
        for size in sizes
    ]
    yield section(
        f"{word.title} in % by number of training {word.label}s",
        *split_table([rows.names(), *columns], width),
        *(note(text) for text in _rows_of_curves(rows)),
        bullets(forecast_lines(decision)),
    )


def _rows_of_curves(rows: CandidateRows) -> Iterator[str]:
    """Say on how many rows the curves are measured, where it is not on all."""
    usual, total = _usual_rows(rows), rows.decision.dataset.test_rows
    if usual is not None and (count := rows_in(usual)) < total:
        yield f"On {count:,} of {total:,} test rows, those answered after training on every size."


def _usual_rows(rows: CandidateRows) -> str | None:
    sets = [card.curve[0].row_set for card in rows.cards if card.curve[0].row_set]
    return max(sets, key=lambda s: (sets.count(s), s), default=None)


def _at(rows: CandidateRows, card: Scorecard, size: int) -> str:
    if (point := next((p for p in card.curve if p.labels == size), None)) is None:
        return DASH
    return with_rows(rows.decision, percent(point.value), point.row_set, _usual_rows(rows))


def differences(decision: Decision, width: int) -> Iterator[RenderableType]:
    """Yield the planned paired differences, corrected together, and count the others."""
    declared = [pair for pair in decision.pairs if pair.declared]
    others = len(decision.pairs) - len(declared)
    parts: list[RenderableType] = []
    if declared:
        parts += split_table(_differences(decision, declared), width)
        covered = covered_by(pair.difference for pair in declared)
        parts.append(
            note(
                f"Points of {words_in(decision).score} on the same rows. Which comparisons are "
                "made was fixed before the run; “best” counts the choice of the member on these "
                "rows. P (Holm) is corrected for all of them; the verdict is by the intervals, as "
                f"it takes a family that wins all its comparisons. {covered}"
            )
        )
    if others:
        parts.append(note(f"{plural(others, 'other pair')}, exploratory: in decision.json."))
    if parts:
        yield section("Differences", *parts)


def _differences(decision: Decision, pairs: list[Pair]) -> list[Column]:
    names = [literal(pair_name(p, decision, NAME)) for p in pairs]
    return [
        Column("pair", names, figures=False),
        Column("difference (95 % CI)", [literal(difference(p.difference)) for p in pairs]),
        Column("p (Holm)", [literal(p_value(p.p_holm)) for p in pairs]),
        Column("p", [literal(p_value(p.p)) for p in pairs]),
        Column("rows", [literal(f"{p.rows:,}") for p in pairs]),
        Column("method", [literal(shorten(clean(p.method), METHOD)) for p in pairs], figures=False),
    ]


def differing(decision: Decision, width: int) -> Iterator[RenderableType]:
    """Yield rows that the chosen candidate and its rival answer differently."""
    found = decision.disagreement
    if found is None or not found.listed:
        return
    step = -(-len(found.listed) // DIFFERING)
    rows = found.listed[::step]
    heads = ("label", f"{clean(found.chosen)} says", f"{clean(found.rival)} says")
    answers = zip(*((row.label, row.chosen, row.rival) for row in rows), strict=True)
    columns = [Column("row", [literal(shorten(clean(r.id), LABEL)) for r in rows], figures=False)]
    columns += [
        Column(shorten(head, LABEL), [literal(shorten(clean(a or DASH), LABEL)) for a in given],
               figures=False)
        for head, given in zip(heads, answers, strict=True)
    ]  # fmt: skip
    more = found.differing - len(rows)
    rest = [note(f"{more:,} more; the HTML report shows texts too.")] if more else []
    said = literal(differing_line(decision))
    title = f"Rows where {clean(found.chosen)} and {clean(found.rival)} differ"
    yield section(title, said, *split_table(columns, width), *rest)


def weakest(decision: Decision, width: int) -> Iterator[RenderableType]:
    """Yield the labels that the chosen candidate finds least often."""
    name = chosen(decision.verdict)
    card = next((card for card in decision.scorecards if card.candidate == name), None)
    recalls = (
        [(row.recall, row) for row in card.per_class if row.recall is not None] if card else []
    )
    if len(recalls) < 2 or all(recall == 1 for recall, _ in recalls):
        return
    rows: list[LabelRecord] = [
        row for _, row in sorted(recalls, key=lambda pair: pair[0])[:WEAKEST]
    ]
    columns = [
        Column("label", [literal(shorten(clean(row.label), LABEL)) for row in rows], figures=False),
        Column("% recalls\n(recall)", [literal(percent(row.recall)) for row in rows]),
        Column("% right\n(precision)", [literal(percent(row.precision)) for row in rows]),
        Column("rows", [literal(f"{row.support:,}") for row in rows]),
    ]
    yield section(f"Weakest labels of {shorten(clean(name), NAME)}", *split_table(columns, width))


def failures(decision: Decision, width: int) -> Iterator[RenderableType]:
    """Yield the kinds of errors of the analysed candidate, and how many training can fix."""
    failed = decision.failures
    if failed is None or not failed.errors:
        return
    kinds = failed.classes
    columns = [
        Column("kind", [literal(kind.name) for kind in kinds], figures=False),
        Column("errors", [literal(_count(kind.count)) for kind in kinds]),
        Column("% of\nerrors", [literal(_share(kind)) for kind in kinds]),
        Column("95 %\nCI", [literal(span(kind.share)) for kind in kinds]),
        Column("fixed by\ntraining", [literal(_count(kind.fixed)) for kind in kinds]),
        Column("meaning", [literal(MEANING.get(kind.name, "")) for kind in kinds], figures=False),
    ]
    name = shorten(clean(failed.candidate), NAME)
    silent = (
        [note(f"{DASH}: these answers cannot tell.")]
        if any(kind.count is None for kind in kinds)
        else []
    )
    on = f"Errors on {plural(failed.rows, 'row')}, each predicted by a model not trained on it."
    yield section(
        f"Errors of {name}", *split_table(columns, width), note(on), *silent, *_fixable(failed)
    )


def shared(decision: Decision, width: int) -> Iterator[RenderableType]:
    """Yield which errors candidates share, and what a cascade of two would score."""
    overlap = decision.overlap
    if overlap is None:
        return
    parts: list[RenderableType] = [bullets(shared_errors(overlap))]
    if overlap.cascade is not None:
        parts.append(
            note("The confidence threshold was chosen on other rows than those it is measured on.")
        )
    yield section("Errors in common", *parts)


def _fixable(failed: Failures) -> Iterator[RenderableType]:
    if failed.fixable is None or failed.reachable is None:
        yield note("What training can fix is unknown: it takes a prompted and a trained candidate.")
        return
    by = shorten(clean(failed.supervised), NAME)
    yield note(
        f"Fixed by training: {by}, which is trained on the labels, is right. Beyond chance, "
        f"training can fix {percent_interval(failed.fixable)} of the errors, up to "
        f"{percent_interval(failed.reachable)} of the rows."
    )


def _share(kind: ErrorClass) -> str:
    return DASH if kind.share is None else percent(kind.share.value)


def _count(count: int | None) -> str:
    return DASH if count is None else f"{count:,}"


def labels(decision: Decision, width: int) -> Iterator[RenderableType]:
    """Yield the share of wrong labels, confused labels, agreement and the most doubted rows."""
    audit = decision.audit
    if audit is None:
        return
    parts: list[RenderableType] = [bullets(label_sentences(audit))]
    if audit.suspects:
        listed = audit.suspects[:SUSPECTS]
        agree = [literal(f"{s.agree} of {s.answered}") for s in listed]
        columns = [*suspect_columns(listed), Column("candidates\nthat agree", agree)]
        parts += [*split_table(columns, width), note(suspects_note(audit))]
    yield section("Labels to check", *parts)


def suspect_columns(suspects: tuple[Suspect, ...]) -> list[Column]:
    """Return doubted rows with the label as given and the one suggested."""

    def cells(values: Iterator[str]) -> list[RenderableType]:
        return [literal(shorten(clean(value), LABEL_WIDTH)) for value in values]

    return [
        Column("row", cells(s.id for s in suspects), figures=False),
        Column("given label", cells(s.label for s in suspects), figures=False),
        Column("suggested label", cells(s.suggested for s in suspects), figures=False),
    ]
