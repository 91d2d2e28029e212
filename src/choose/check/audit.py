"""Audit a labelled set: read it, compute the facts, describe them."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.metadata import version
from itertools import pairwise
from time import perf_counter

from choose.check.label_lines import (
    balance,
    conflicts,
    line,
    look,
    order,
    overlap,
    time,
    wrong_labels,
)
from choose.check.measurements import Facts, sample_of
from choose.check.target_lines import target_lines
from choose.check.what_to_fix import issues_of, rows_of_margin, steps_of
from choose.data.dataset import Rows, Tables, dataset_from, read_rows
from choose.data.duplicates import count_conflicts
from choose.data.examples import dropped_rows
from choose.data.findings import sorted_input
from choose.data.languages import SAMPLE, encoder_warning, foreign
from choose.data.personal_data import KINDS, hints_of
from choose.errors import quoted_list
from choose.formatting import per_100, plural, points
from choose.judge.goal import margin_or_usual
from choose.schema.check import Check, Languages, Line, Repeats
from choose.schema.diagnosis import Audit
from choose.schema.plan import DetectableGains
from choose.study.config import Study
from choose.tasks.kinds import KINDS as TASKS
from choose.types import Dataset

# Rows of the labelled set that are read; of more, a random sample is checked.
MOST_ROWS = 200_000


def check_set(
    study: Study,
    tables: Tables | None = None,
    audits: Callable[[Dataset], tuple[str, Audit] | None] | None = None,
) -> tuple[Check, dict[str, str]]:
    """Audit a study's labelled set; also return the text of each row, which the record omits.

    `tables` replace the files of the study. `audits` finds a finished study of the rows
    and its audit of the labels.

    Raises:
        DataError: if the rows cannot be read, used or split.
    """
    start = perf_counter()
    rows = _sampled(read_rows(study.data, tables, study.task.kind))
    dataset = dataset_from(rows, study.data, study.task, study.goal.metric)
    facts = Facts(
        rows,
        dataset,
        margin_or_usual(study.goal.margin),
        study.goal.metric,
        compare_command(study),
        audits(dataset) if audits else None,
    )
    return _record(facts, start), {e.id: e.text for e in facts.all}


def _sampled(rows: Rows) -> Rows:
    """Return rows, or where there are more a sample of `MOST_ROWS` of the pool, and say so."""
    if len(rows.pool) <= MOST_ROWS:
        return rows
    pool = list(sample_of(rows.pool, MOST_ROWS))
    said = f"Checked: a random sample of {MOST_ROWS:,} of {plural(len(rows.pool), 'row')}."
    return replace(rows, pool=pool, notes=(said, *rows.notes))


def compare_command(study: Study) -> str:
    """Return the command that compares on the rows of a study, with the columns it names."""
    data, usual = study.data, Study().data
    words = ["choose", "compare", str(data.path) if data.path is not None else "DATA"]
    columns = ("text_column", "label_column", "evidence_column")
    for flag in ("test", *columns, "documents"):
        value = getattr(data, flag)
        if value is not None and value != getattr(usual, flag):
            words += [f"--{flag.replace('_', '-')}", str(value)]
    return shlex.join(words)


def _record(facts: Facts, start: float) -> Check:
    dataset, (within, across) = facts.dataset, facts.duplicate_counts
    labelled = bool(dataset.task.labels)
    read = len(facts.rows.pool) + len(facts.rows.test or ())
    steps = steps_of(facts)
    return Check(
        choose=version("choose-llm"),
        name=dataset.name,
        fingerprint=dataset.fingerprint,
        rows=len(facts.all),
        left_out=read - len(facts.all),
        kind=dataset.task.kind,
        test_rows=len(dataset.asked),
        division=dataset.division,
        headline=_headline(facts.reach, sum(step.first for step in steps)),
        first=steps,
        lines=lines_of(facts),
        reach=facts.reach,
        balance=facts.balance if labelled else None,
        within=within,
        across=across,
        conflicts=count_conflicts(facts.conflicts) if labelled else None,
        targets=None if labelled else facts.targets.facts,
        audit=facts.audit if labelled else None,
        audited_in=facts.study[0] if facts.study else None,
        lengths=facts.lengths,
        languages=facts.languages,
        drift=facts.drift,
        personal=hints_of(facts.personal),
        findings=dataset.findings,
        issues=issues_of(facts),
        seconds=perf_counter() - start,
    )


def _headline(reach: DetectableGains, steps: int) -> str:
    """Say whether something needs fixing first, then what these rows can tell."""
    rows = plural(reach.rows, "test row")
    first = f"Fix {plural(steps, 'thing')} first." if steps else "Nothing needs fixing first."
    if reach.usual is None:
        return f"{first} {rows} are too few to compare candidates."
    if reach.usual <= reach.margin:
        return f"{first} {rows} can tell differences of {points(reach.margin)}, your margin."
    return f"{first} {rows} can tell differences of {points(reach.usual)} or more."


# A line has the status "look" above these shares of the rows: repeated, and too long.
REPEATED = 0.02
NEARLY_REPEATED = 0.2
LONG = 0.02

# Languages of fewer rows are summed up: a few short texts are identified wrongly.
NAMED = 0.005


def lines_of(facts: Facts) -> tuple[Line, ...]:
    """Return one line a topic, the most frequent problems first."""
    asked, texts = facts.dataset.asked, len(facts.all)
    dated = sum(e.timestamp is not None for e in facts.all)
    if facts.dataset.task.labels:
        noun = "label"
        targets = [wrong_labels(facts), overlap(facts), conflicts(facts)]
        labels = [balance(facts), order(facts)]
    else:
        of = facts.targets
        noun = "field" if of.fields else "relevance" if of.relevance else "length"
        targets, labels = [*target_lines(of)], []
    lines = (
        _size(facts.reach, len(asked), facts.dataset.division),
        *targets,
        _test_file(facts),
        _duplicates(facts),
        *labels,
        time(facts.drift, dated, texts, noun),
        _languages(facts.languages, texts),
        _lengths(facts),
        _personal_data(facts.personal),
        _rows(facts),
        _reading(facts.rows.notes),
    )
    return tuple(found for found in lines if found is not None)


def _size(reach: DetectableGains, test_rows: int, division: str) -> Line:
    how = "cross-validation" if division == "cross-fit" else "held out"
    if reach.independent < 0.98 * test_rows:
        how += f"; worth {reach.independent:,.0f} independent rows"
    detects = (
        f"can detect differences of {points(reach.usual)} or more"
        if reach.usual
        else "are too few to compare candidates"
    )
    return line(
        "Size",
        look(reach.usual is None or reach.usual > reach.margin),
        f"{plural(test_rows, 'test row')} ({how}) {detects}. Your {rows_of_margin(reach)}.",
    )


def _test_file(facts: Facts) -> Line | None:
    if facts.test is None:
        return None
    _, repeats = facts.duplicate_counts
    assert repeats is not None
    groups = {e.group for e in facts.pool} - {None}
    grouped = sum(e.group in groups for e in facts.test)
    shared = f" Test rows in the same group as a training row: {grouped:,}." if grouped else ""
    if not repeats.all:
        return line("Test file", look(grouped > 0), f"No test row repeats a training row.{shared}")
    return line(
        "Test file",
        look(repeats.all + grouped > REPEATED * len(facts.test)),
        f"{repeats.all:,} of {plural(len(facts.test), 'test row')} repeat training rows "
        f"({_likeness(repeats)}). choose excludes these training rows; accuracies measured on "
        f"this file elsewhere are optimistic.{shared}",
    )


def _duplicates(facts: Facts) -> Line:
    repeats, _ = facts.duplicate_counts
    if not repeats.all:
        return line("Duplicates", "good", "No text repeats another.")
    data = facts.dataset
    # The largest cluster that a split keeps together; see `data.splits`.
    largest = len(data.examples) // (len(data.folds) if data.division == "cross-fit" else 2)
    too_large = facts.test is None and repeats.chain > largest
    chain = (
        f" {plural(repeats.chain, 'row')} form one chain of near-duplicates (a template?), too "
        "many to keep together: accuracies are optimistic."
        if too_large
        else ""
    )
    return line(
        "Duplicates",
        look(
            too_large
            or repeats.exact + repeats.normalised > REPEATED * len(facts.all)
            or repeats.all > NEARLY_REPEATED * len(facts.all)
        ),
        f"Rows that repeat another row: {repeats.all:,} of {len(facts.all):,} "
        f"({_likeness(repeats)}). Repeated rows are never split between training and test.{chain}",
    )


def _likeness(repeats: Repeats) -> str:
    kinds = (
        (repeats.exact, "exactly"),
        (repeats.normalised, "except for case and punctuation"),
        (repeats.near, "nearly"),
    )
    return ", ".join(f"{count:,} {how}" for count, how in kinds if count)


def _languages(languages: Languages, rows: int) -> Line:
    named = [x for x in languages.found if x.rows >= max(NAMED * rows, 2)]
    others = sum(x.rows for x in languages.found) - sum(x.rows for x in named)
    parts = [(x.name, x.rows) for x in named]
    parts += [("other languages", others), ("too short to tell", languages.unknown)]
    shares = ", ".join(f"{name} {per_100(n / rows)} %" for name, n in parts if n)
    sample = f" Estimated from a sample of {plural(SAMPLE, 'text')}." if rows > SAMPLE else ""
    unread = foreign(languages)
    warning = f" {encoder_warning(unread)}" if unread else ""
    status = look(len(named) > 1 or bool(unread))
    return line("Languages", status, f"Texts: {shares}.{sample}{warning}")


def _lengths(facts: Facts) -> Line:
    lengths = facts.lengths
    if facts.languages.unspaced:
        says = f"Median {plural(round(lengths.characters), 'character')} (no spaces between words)."
    else:
        says = (
            f"Median {plural(round(lengths.words), 'word')}, 95th percentile "
            f"{lengths.words_95:,.0f}, longest {lengths.longest:,}."
        )
    if lengths.long:
        says += f" Texts of over 256 words, which models truncate: {lengths.long:,}."
    if lengths.short and not facts.languages.unspaced:
        says += f" Texts of a single word: {lengths.short:,}."
    return line("Lengths", look(lengths.long > LONG * len(facts.all)), says)


def _personal_data(hints: Sequence[tuple[str, str]]) -> Line:
    counts = Counter(kind for _, kind in hints)
    if not counts:
        *most, last = KINDS
        return line("Personal data", "good", f"No sign of any {', '.join(most)} or {last}.")
    kinds = ", ".join(f"{kind} in {plural(counts[kind], 'row')}" for kind in KINDS if counts[kind])
    return line("Personal data", "look", f"Possible {kinds}.")


def _reading(notes: Sequence[str]) -> Line | None:
    says = notes[0] if notes else ""
    for before, after in pairwise(notes):  # a command ends without a full stop
        says += f"{' ' if before.endswith('.') else ' · '}{after}"
    return line("Reading", "good", says) if notes else None


def _rows(facts: Facts) -> Line | None:
    read = facts.rows
    problems = dropped_rows(read.pool, read.test, TASKS[read.kind])
    labelled = bool(facts.dataset.task.labels)
    if facts.test is not None and labelled:
        unseen = {e.target for e in facts.test} - {e.target for e in facts.pool}
        if unseen:
            problems.append(f"Test labels that no training row has: {quoted_list(sorted(unseen))}.")
    if read.hint and not any(e.group for e in facts.all):
        problems.append(
            f"Rows with the same {read.hint!r} may belong together: "
            f"--set group_column={read.hint!r}."
        )
    says = " ".join([*problems, *(sorted_input(facts.pool) if labelled else ())])
    return line("Rows", look(bool(problems)), says) if says else None
