"""Describe records and texts, a line each: fields, values, copies; and what to do first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from choose.check.label_lines import joined_sentence, line, look
from choose.check.targets import OWN_FORM, TAKEN, Targets
from choose.errors import quoted, quoted_list, rows_named
from choose.formatting import per_100, plural
from choose.schema.check import FieldFacts, Line, Step, TargetFacts
from choose.schema.target_facts import SetFacts
from choose.tasks.label_sets import joined_labels

# A field that fewer rows, or a smaller share of the rows, have is nearly always empty.
FEW, RARE = 5, 0.01

# Above these shares of the rows a line has the status "look": of one target, and of copies.
ONE_TARGET, COPIED = 0.1, 0.02

# Characters from which on few models write a target whole, and fields that a line names.
LONG, NAMED = 2_000, 8

# Characters of a field's name.
LABEL = 28


def target_lines(targets: Targets) -> Iterator[Line]:
    """Yield the lines of records, of answers to questions, or of texts."""
    facts = targets.facts
    if facts.fields:
        yield _fields(targets)
        yield _types(targets)
        yield _in_text(targets)
    elif targets.answers is not None:
        yield from targets.answers.lines()
    elif targets.relevance is not None:
        yield from targets.relevance.lines()
    elif facts.sets is not None:
        yield _label_counts(facts, facts.sets)
        yield _set_sizes(facts, facts.sets)
    else:
        yield _copies(facts)
    yield _contradictions(facts)
    yield _repeated(facts)
    if facts.sets is None and facts.relevance is None:
        yield _lengths(facts)


def _label_counts(facts: TargetFacts, sets: SetFacts) -> Line:
    shown = ", ".join(
        f"{quoted(label)} {per_100(n / facts.rows)} %" for label, n in sets.counts[:NAMED]
    )
    says = f"{plural(len(sets.counts), 'label')}; rows with: {shown}{_others(sets.counts)}."
    rare = [label for label, n in sets.counts if n < FEW]
    if rare:
        says += f" Fewer than {FEW} rows: {quoted_list(rare, NAMED)}: too few to judge."
    joined = joined_labels([label for label, _ in sets.counts])
    says += joined_sentence(joined)
    if facts.unseen:
        says += f" Only in the test file: {quoted_list(facts.unseen, NAMED)}."
    for a, b in sets.always[:3]:
        says += f" {quoted(a)} is always with {quoted(b)}."
    return line("Labels", look(bool(rare or joined or facts.unseen)), says)


def _others(every: Sequence[object]) -> str:
    """Return how many more there are than a line names."""
    return f" and {plural(len(every) - NAMED, 'other')}" if len(every) > NAMED else ""


def _set_sizes(facts: TargetFacts, sets: SetFacts) -> Line:
    says = f"{sets.mean:.1f} labels a row on average, {sets.most} at most."
    if facts.empty:
        says += (
            f" {plural(facts.empty, 'row')} of {facts.rows:,} have none: an empty answer gets "
            "these right."
        )
    return line("Sets", "good", says)


def nearly_empty(facts: TargetFacts) -> list[FieldFacts]:
    """Return the fields that hardly any row has."""
    return [f for f in facts.fields if f.filled < max(FEW, RARE * facts.rows)]


def _fields(targets: Targets) -> Line:
    facts, shapes = targets.facts, targets.shapes
    shown = ", ".join(
        f"{quoted(f.name)} {per_100(f.filled / facts.rows)} %" for f in facts.fields[:NAMED]
    )
    says = f"{plural(len(facts.fields), 'field')}; filled: {shown}{_others(facts.fields)}."
    if facts.empty:
        says += (
            f" {plural(facts.empty, 'record')} of {facts.rows:,} are empty: always answering "
            f"nothing gets these right."
        )
    rare = nearly_empty(facts)
    if rare:
        says += f" Nearly always empty: {quoted_list([f.name for f in rare], NAMED)}."
    if facts.unseen:
        says += f" Only in the test file: {quoted_list(facts.unseen, NAMED)}."
    if shapes:
        says += f" Records of {len(shapes)} shapes, which share no field: {_shapes(targets)}."
    return line("Fields", look(bool(rare or facts.unseen or shapes)), says)


def _shapes(targets: Targets) -> str:
    """Return ``'a', 'b' (40 rows, such as row 1); 'c', 'd' (40 rows, such as row 2)``."""
    return "; ".join(
        f"{quoted_list(names, 4)} ({plural(len(ids), 'row')}, such as {rows_named(ids[:1])})"
        for names, ids in targets.shapes.items()
    )


def _types(targets: Targets) -> Line:
    stated = ", ".join(f"{quoted(f.name)} {f.type}" for f in targets.fields[:NAMED])
    says = f"Compared as: {stated}{_others(targets.fields)}."
    says += " [task.fields] in the study file states others."
    for name, ids in list(targets.slips.items())[:3]:
        usual = next(f.types[0][0] for f in targets.fields if f.name == name)
        says += f" {quoted(name)} is {usual} except in {rows_named(ids)}."
    mixed = [f for f in targets.fields if len(f.types) > 1 and f.name not in targets.slips]
    for field in mixed[:3]:
        kinds = ", ".join(f"{kind} in {plural(n, 'row')}" for kind, n in field.types)
        says += f" {quoted(field.name)} is of mixed type: {kinds}."
    return line("Types", look(bool(targets.slips or mixed)), says)


def _in_text(targets: Targets) -> Line:
    shown = ", ".join(
        f"{quoted(f.name)} {per_100(f.in_text or 0.0)} %" for f in targets.fields[:NAMED]
    )
    says = f"Values that occur in the text: {shown}{_others(targets.fields)}."
    known = [f for f in targets.fields if f not in nearly_empty(targets.facts)]
    own = [f.name for f in known if f.in_text is not None and f.in_text < OWN_FORM]
    if own:
        says += (
            f" {quoted_list(own, NAMED)}: written in another form than the text's, which a model "
            "must learn and no value copied from the text can match."
        )
    if suspects := targets.suspects:
        names = quoted_list(list(targets.invented), NAMED)
        says += (
            f" Where at least {per_100(TAKEN)} % do ({names}), {plural(len(suspects), 'row')} "
            f"hold another value: {rows_named(suspects)}."
        )
    return line("Values", look(bool(suspects)), says)


def _copies(facts: TargetFacts) -> Line:
    if not facts.copied:
        return line("Copies", "good", "No target is the text of its row.")
    return line(
        "Copies",
        look(facts.copied > COPIED * facts.rows),
        f"{plural(facts.copied, 'target')} of {facts.rows:,} are the text of their row.",
    )


def _contradictions(facts: TargetFacts) -> Line:
    if not facts.unlike:
        return line("Contradictions", "good", "No two like inputs have unlike targets.")
    rows = rows_named(row for pair in facts.unlike for row in (pair.row, pair.other))
    return line(
        "Contradictions",
        "look",
        f"{plural(len(facts.unlike), 'pair')} of rows with the same or nearly the same input have "
        f"unlike targets ({rows}): further input may tell them apart (--set fields=COLUMN), or "
        "one is wrong.",
    )


def _repeated(facts: TargetFacts) -> Line:
    says = f"{plural(facts.distinct, 'different target')} in {plural(facts.rows, 'row')}"
    if facts.commonest > 1:
        says += f"; the most common one that is not empty: {plural(facts.commonest, 'row')}"
    says += "."
    if facts.known is not None:
        says += f" {per_100(facts.known)} % of test targets that are not empty are known from "
        says += "training rows."
    return line("Repetition", look(facts.commonest > ONE_TARGET * facts.rows), says)


def _lengths(facts: TargetFacts) -> Line:
    says = f"The longest target has {facts.longest:,} characters."
    if facts.words is not None:
        says = (
            f"Median {plural(round(facts.words), 'word')}, 95th percentile {facts.words_95:,.0f}; "
        )
        says += f"the longest target has {facts.longest:,} characters."
    if facts.longest > LONG:
        says += " Few models write so much: such answers will be cut."
    return line("Target lengths", look(facts.longest > LONG), says)


def steps_of_targets(targets: Targets) -> Iterator[Step]:
    """Yield what costs score, with the share of the rows that are concerned."""
    yield from _fix_contradictions(targets)
    yield from _fix_shapes(targets)
    yield from _fix_types(targets)
    yield from _review_values(targets)
    if targets.answers is not None:
        yield from targets.answers.steps()
    if targets.relevance is not None:
        yield from targets.relevance.steps()
    yield from _replace_copies(targets)


def _fix_contradictions(targets: Targets) -> Iterator[Step]:
    pairs = targets.unlike
    if pairs:
        rows = [row for pair in pairs for row in (pair.row, pair.other)]
        yield Step(
            says=(
                f"{_agree(targets)} ({rows_named(rows)}), or name the column that tells them apart "
                "with --set fields=COLUMN."
            ),
            points=len(pairs) / len(targets.rows),
            question="which targets are wrong",
        )


def _agree(targets: Targets) -> str:
    pairs = plural(len(targets.unlike), "pair")
    if targets.relevance is not None:
        return f"Name the same relevant documents in {pairs} of like questions"
    if targets.answers is not None:
        return f"Accept the same answers, as a list, in {pairs} of like questions"
    return f"Make the targets of {pairs} of like rows agree"


def _fix_shapes(targets: Targets) -> Iterator[Step]:
    if targets.shapes:
        least = min(map(len, targets.shapes.values()))
        yield Step(
            says=(
                f"Name the fields alike in all records; these share none: {_shapes(targets)}. Or "
                "divide the file, if they are two tasks."
            ),
            points=least / len(targets.rows),
        )


def _fix_types(targets: Targets) -> Iterator[Step]:
    for name, ids in targets.slips.items():
        usual = next(f.types[0][0] for f in targets.fields if f.name == name)
        yield Step(
            says=(
                f"Write the field {quoted(name, LABEL)} as {usual} in {rows_named(ids)}, as in all "
                "other rows."
            ),
            points=len(ids) / len(targets.rows),
        )


def _review_values(targets: Targets) -> Iterator[Step]:
    if rows := targets.suspects:
        names = quoted_list(list(targets.invented), 5)
        yield Step(
            says=(
                f"Review {plural(len(rows), 'record')} with a value that does not occur in the "
                f"text, where nearly all others do ({names}): {rows_named(rows)}."
            ),
            points=len(rows) / len(targets.rows),
            question="which records are wrong",
        )


def _replace_copies(targets: Targets) -> Iterator[Step]:
    if rows := targets.copied:
        yield Step(
            says=(
                f"Replace the targets that are the text of their row ({len(rows):,}: "
                f"{rows_named(rows)}): they teach a model to repeat what it reads."
            ),
            points=len(rows) / len(targets.rows),
        )


def rare_fields(facts: TargetFacts) -> Iterator[Step]:
    """Yield the step for fields that hardly any row has."""
    if rare := nearly_empty(facts):
        yield Step(
            says=(
                f"Label more rows with {quoted_list([f.name for f in rare], 5)}, or leave these "
                "fields out: they are too rare to learn or to evaluate."
            ),
            points=0.0,
        )
