"""Say what to do first about targets that are records or texts."""

from __future__ import annotations

from collections.abc import Iterator

from choose.check.target_lines import nearly_empty
from choose.check.targets import Targets
from choose.errors import quoted, quoted_list, rows_named
from choose.formatting import plural
from choose.schema.check import Step, TargetFacts

# Characters of a field's name.
LABEL = 28


def steps_of_targets(targets: Targets) -> Iterator[Step]:
    """Yield what costs score, with the share of the rows that are concerned."""
    yield from _fix_contradictions(targets)
    yield from _fix_types(targets)
    yield from _review_values(targets)
    yield from _replace_copies(targets)


def _fix_contradictions(targets: Targets) -> Iterator[Step]:
    pairs = targets.unlike
    if pairs:
        rows = [row for pair in pairs for row in (pair.row, pair.other)]
        yield Step(
            says=(
                f"Make the targets of {plural(len(pairs), 'pair')} of like rows agree "
                f"({rows_named(rows)}), or name the column that tells them apart with --field."
            ),
            points=len(pairs) / len(targets.rows),
            question="which targets are wrong",
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
                f"Review {plural(len(rows), 'record')} with a value that does not stand in the "
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
