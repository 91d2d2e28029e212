"""Sections on answers that are texts: figures beside the score, wrong values, reading, rows."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.text import Text

from choose.formatting import DASH, clean, in_percent, percent, plural
from choose.report.decision_text import words_in
from choose.report.reading_errors_text import (
    drill_note,
    drill_table,
    error_notes,
    error_table,
    wrong_rows,
)
from choose.report.reading_text import (
    LossStep,
    TextTable,
    loss_steps,
    reading_notes,
    reading_tables,
    splits_of,
)
from choose.report.screen_text import literal, shorten
from choose.report.terminal.candidate_table import NAME, CandidateRows
from choose.report.terminal.layout import Column, note, pairs, section, split_table
from choose.report.text_answers import answer_parts, metric_heads, part_words, text_notes
from choose.schema.decision import Decision
from choose.schema.score_names import NAMES
from choose.schema.text_scores import ComparedRow, GivenAnswer

# Rows, suspect values and fields that are shown, and characters of a text.
ROWS, SUSPECTS, FIELDS, LONGEST, VALUE = 8, 12, 12, 600, 32


def other_metrics(decision: Decision, width: int) -> Iterator[RenderableType]:
    """Yield the other metrics of each candidate, and its answers against the chosen one's."""
    rows = CandidateRows(decision, lambda card: card.text is not None)
    if not rows.cards:
        return
    standing = {s.candidate: s for s in decision.standings}
    columns, heads = [rows.names()], dict(metric_heads(decision))
    length = " Length: characters of the answers over those of the right ones."
    for head, figure in heads.items():
        columns.append(rows.column(head, lambda card, figure=figure: figure(card)))  # type: ignore[misc]
    columns += [
        rows.column("% rows\nbetter", lambda card: percent(standing[card.candidate].better)),
        rows.column("% rows\nworse", lambda card: percent(standing[card.candidate].worse)),
    ]
    yield section(
        "Other metrics",
        *split_table(columns, width),
        note(
            "Better, worse: rows whose answer scores higher or lower than the chosen candidate's."
            + length * ("length\nratio" in heads)
        ),
        *(note(sentence) for sentence in text_notes(decision)),
    )


def fields(decision: Decision, width: int) -> Iterator[RenderableType]:
    """Yield precision and recall by field or label of the chosen candidate."""
    pick = decision.verdict.recommended or decision.verdict.use_meanwhile
    card = next((c for c in decision.scorecards if c.candidate == pick), None)
    found = card.text.fields[:FIELDS] if card is not None and card.text is not None else ()
    if not found:
        return
    words = part_words(decision)
    named = [literal(shorten(clean(f.field), VALUE)) for f in found]
    columns = [
        Column(words.field, named, figures=False),
        Column(
            "values" if words.field == "field" else "rows",
            [literal(f"{f.support:,}") for f in found],
        ),
        Column("precision", [literal(percent(f.precision)) for f in found]),
        Column("recall", [literal(percent(f.recall)) for f in found]),
    ]
    name = shorten(clean(pick), NAME)
    yield section(f"{words.field.capitalize()}s: {name}", *split_table(columns, width))


def wrong_values(decision: Decision, width: int) -> Iterator[RenderableType]:
    """Yield the kinds of wrong values, out of fold, and right values that may be wrong."""
    found = decision.answer_errors
    if found is None:
        return
    kinds, words = found.kinds, part_words(decision)
    columns = [
        Column("kind", [literal(kind.name) for kind in kinds], figures=False),
        Column(f"{words.value}s", [literal(f"{kind.count:,}") for kind in kinds]),
        Column("%", [literal(percent(kind.share)) for kind in kinds]),
        Column("most in", [_value(kind.field) for kind in kinds], figures=False),
        Column("meaning", [literal(words.meaning.get(k.name, "")) for k in kinds], figures=False),
    ]
    name = shorten(clean(found.candidate), NAME)
    said = (
        f"{found.wrong:,} of {plural(found.rows, 'row')} have a wrong {words.value}, out of fold."
    )
    yield section(f"Wrong {words.value}s of {name}", *split_table(columns, width), note(said))


def suspect_values(decision: Decision, width: int) -> Iterator[RenderableType]:
    """Yield right values that independent candidates contradict alike."""
    found = decision.answer_errors
    if found is None or not found.suspects:
        return
    listed, words = found.suspects[:SUSPECTS], part_words(decision)
    columns = [
        Column("row", [_value(s.id) for s in listed], figures=False),
        Column(words.field, [_value(s.field) for s in listed], figures=False),
        Column("given", [_value(s.given) for s in listed], figures=False),
        Column("instead", [_value(s.suggested) for s in listed], figures=False),
        Column("candidates", [literal(str(len(s.candidates))) for s in listed]),
    ]
    yield section(
        "Right values to check",
        *split_table(columns, width),
        note(
            f"{plural(found.suspected, words.value)} {words.checked}. Only a person can tell "
            "which is right."
        ),
    )


def _value(text: str | None) -> Text:
    return literal(DASH if text is None else shorten(clean(text), VALUE))


# Columns of the drawn steps from 0 to 100.
STEPS = 18


def what_is_lost(decision: Decision, width: int) -> Iterator[RenderableType]:
    """Yield what candidates that read documents lose to what, by what they were given to read."""
    splits = splits_of(decision)
    for place, table in enumerate(reading_tables(decision)):
        columns = _reading_columns(table)
        if place == 0:
            drawn = [literal(_drawn_step(step)) for step in loss_steps(splits[0])]
            columns.insert(1, Column("0" + "100".rjust(STEPS), drawn, figures=False))
        yield section(table.titled, *split_table(columns, width))
    if splits:
        yield section("About these figures", *(note(said) for said in reading_notes(decision)))


def why_wrong(decision: Decision, width: int) -> Iterator[RenderableType]:
    """Yield why the best candidate that reads is wrong, with rows to read."""
    table = error_table(decision)
    if table is None:
        return
    notes = (note(said) for said in error_notes(decision))
    yield section(table.titled, *split_table(_reading_columns(table), width), *notes)
    rows = [
        part
        for row in wrong_rows(decision)
        for part in (
            literal(f"Row {shorten(row.id, VALUE)}: {row.error}", "dim"),
            pairs((shorten(name, NAME), literal(text)) for name, text in row.parts),
            Text(),
        )
    ]
    if rows:
        yield section("Rows with wrong answers", *rows[:-1])


def changed_documents(decision: Decision, width: int) -> Iterator[RenderableType]:
    """Yield what candidates answer after facts in the documents changed, with a sentence."""
    if (drill := decision.document_drill) is not None:
        table = drill_table(drill)
        columns = split_table(_reading_columns(table), width)
        yield section(table.title, literal(clean(drill.says)), *columns, note(drill_note(drill)))


def _reading_columns(table: TextTable) -> list[Column]:
    return [
        Column(
            head.replace(" ", "\n", 1),
            [literal(cell if head == "meaning" else shorten(cell, NAME)) for cell in cells],
            figures=place > 0 and head != "meaning",
        )
        for place, (head, *cells) in enumerate(zip(table.heads, *table.rows, strict=True))
    ]


def _drawn_step(step: LossStep) -> str:
    """Draw a step: a line for what is reached or a loss that is shown, else its ends alone."""
    ends = sorted(round(STEPS * min(max(end, 0.0), 1.0)) for end in (step.start, step.end))
    line, (left, right) = " " * max(ends[1] - ends[0] - 1, 0), ("┊", "┊")
    if step.shown or not step.is_loss:
        line, left, right = line.replace(" ", "─"), "├", "┤"
    return " " * ends[0] + (f"{left}{line}{right}" if ends[1] > ends[0] else left)


def side_by_side(decision: Decision, width: int) -> Iterator[RenderableType]:
    """Yield rows on which candidates differ: the input, the right answer and every answer."""
    rows = decision.side_by_side
    if not rows:
        return
    more = len(rows) - ROWS
    rest = [note(f"{more:,} more in decision.json.")] if more > 0 else []
    shown = [part for row in rows[:ROWS] for part in _row(decision, row)]
    said = "Against the right answer: {+said and not right+}, [-right and not said-]."
    marks = [] if words_in(decision).ranks else [note(said)]
    yield section("Rows side by side", *shown, *marks, *rest)


def _row(decision: Decision, row: ComparedRow) -> Iterator[RenderableType]:
    lines: list[tuple[str | Text, str | Text]] = []
    if row.text is not None:
        lines.append(("input", literal(_short(row.text))))
    lines.append(("right", literal(_short(row.target), "bold")))
    if row.accepted:
        lines.append(("also right", literal(_short("; ".join(row.accepted)))))
    lines += [(shorten(clean(a.candidate), NAME), _answer(decision, row, a)) for a in row.answers]
    yield literal(f"Row {shorten(clean(row.id), VALUE)}", "dim")
    yield pairs(lines)
    yield Text()


def _answer(decision: Decision, row: ComparedRow, answer: GivenAnswer) -> Text:
    if answer.output is None:
        said = f": {_short(answer.raw)}" if answer.raw else ""
        return literal(f"no usable answer{said}", "red")
    text = Text()
    for word, kind in answer_parts(decision, _short(row.target), _short(answer.output)):
        style = {"added": "red", "missing": "dim"}.get(kind, "")
        marked = {"added": f"{{+{word}+}}", "missing": f"[-{word}-]"}.get(kind, word)
        text.append(marked, style)
    return text.append(f"  ({_score(decision, answer.score)})", "dim")


def _score(decision: Decision, value: float) -> str:
    metric = (decision.goal.get("measure") or {}).get("metric", "")
    name = clean(NAMES.get(metric, metric))
    return f"{name} {value:.2f}" if metric else in_percent(value)


def _short(text: str) -> str:
    return shorten(clean(text), LONGEST)
