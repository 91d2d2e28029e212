"""The sentences of an audit: a line for each topic, a text for each step, by their codes."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise

from choose.corpus import WORDS
from choose.errors import quoted, quoted_list, rows_named
from choose.formatting import in_percent, measured, per_100, plural, points, rounded
from choose.report.words import noise_band, silent, suspects_note, typed
from choose.schema.base import Command
from choose.schema.check import (
    FEW,
    Check,
    Count,
    Issue,
    IssueKind,
    Line,
    Repeats,
    Step,
    StepCode,
    TargetFacts,
    Topic,
)

# What a row with an issue is listed for, where the kind alone does not say it.
_ISSUES: dict[IssueKind, str] = {
    "conflict": "same text, different label",
    "suspected label": "doubted (log odds {})",
    "rare label": "fewer than 5 rows",
    "unlike target": "nearly the same input, unlike target ({})",
    "not in text": "a value not in the text",
    "not in passage": "no accepted answer occurs in the passage",
    "not in documents": "no document holds an accepted answer",
    "reworded": "the answer has other words than the document",
}

# Fields, labels and documents that a line lists; characters of a name.
NAMED, FEWER, LABEL = 8, 3, 28


def headline(check: Check) -> str:
    reach, steps = check.reach, len(check.first)
    rows = plural(reach.rows, "test row")
    first = f"Fix {plural(steps, 'thing')} first." if steps else "Nothing needs fixing first."
    if reach.usual is None:
        return f"{first} {rows} are too few to compare candidates."
    if reach.usual <= reach.margin:
        return f"{first} {rows} can show differences of {points(reach.margin)}, your margin."
    return f"{first} {rows} can show differences of {points(reach.usual)} or more."


def topic(found: Line) -> str:
    return found.topic.replace("-", " ").capitalize()


def line(check: Check, found: Line, say: Callable[[Command], str] = typed) -> str:
    """Say what was found on a topic; `say` writes commands as the reader types them."""
    told = [*_LINES[found.topic](check)]
    if found.topic == "wrong-labels" and check.audit and check.audit.noise is not None:
        told += [] if check.audited_in else [f"A study makes a better list: {say(check.compare)}"]
    return " ".join(told)


def issue(found: Issue) -> str:
    return _ISSUES.get(found.kind, "{}").format(found.detail)


# Every labelled set.


def _size(check: Check) -> Iterator[str]:
    reach = check.reach
    how = "cross-validation" if check.division == "cross-fit" else "held out"
    if reach.independent < 0.98 * check.test_rows:
        how += f"; worth {reach.independent:,.0f} independent rows"
    can = "are too few to compare candidates"
    if reach.usual:
        can = f"can detect differences of {points(reach.usual)} or more"
    margin = f"margin of {points(reach.margin)}"
    takes = f"{margin} is below what any number of rows shows"
    if reach.margin_rows is not None:
        takes = f"{margin} takes about {rounded(reach.margin_rows):,} rows"
    yield f"{plural(check.test_rows, 'test row')} ({how}) {can}. Your {takes}."
    if check.crosses:
        yield f"All {check.rows:,} rows would show it: folds = 5 under [data], five training runs."


def _test_file(check: Check) -> Iterator[str]:
    if check.across is None or not check.across.all:
        yield "No test row repeats a training row."
        return
    repeat = "repeats" if check.across.all == 1 else "repeat"
    yield (
        f"{check.across.all:,} of {plural(check.test_file or 0, 'test row')} {repeat} training "
        f"rows ({_likeness(check.across)}). choose excludes these training rows; accuracies "
        "measured on this file elsewhere may mislead."
    )


def _duplicates(check: Check) -> Iterator[str]:
    repeats = check.within
    if not repeats.all:
        what = "question" if check.kind in ("answering", "ranking") else "text"
        yield f"No {what} repeats another."
        return
    yield (
        f"Rows that repeat another row: {repeats.all:,} of {check.rows:,} ({_likeness(repeats)})."
    )
    yield "Such rows stay on one side of the split, unless too many are alike."


def _likeness(repeats: Repeats) -> str:
    kinds = (
        (repeats.exact, "exactly"),
        (repeats.normalised, "except for case and punctuation"),
        (repeats.near, "nearly"),
    )
    return ", ".join(f"{count:,} {how}" for count, how in kinds if count)


def _name_rarest(hidden: Sequence[Count]) -> str:
    first = f"{quoted(hidden[0].name)} ({hidden[0].rows:,})"
    return first if len(hidden) == 1 else f"{first} and {plural(len(hidden) - 1, 'other label')}"


def _languages(check: Check) -> Iterator[str]:
    yield (
        f"{in_percent(check.foreign)} of the texts have letters that English lacks. The default "
        "encoder (all-MiniLM-L6-v2, behind probe, knn and retrieval) was trained on English: name "
        "a multilingual one with --set encoder=SPEC."
    )


def _rows(check: Check) -> Iterator[str]:
    if check.unseen:
        yield f"Test labels that no training row has: {quoted_list(check.unseen)}."
    if check.group is not None:
        yield (
            f"Rows with the same {check.group!r} may belong together: --set group_column="
            f"{check.group!r}."
        )


def _reading(check: Check) -> Iterator[str]:
    notes = check.notes[0]
    for before, after in pairwise(check.notes):  # a command ends without a full stop
        notes += f"{' ' if before.endswith('.') else ' · '}{after}"
    yield notes


# Labels.


def _wrong_labels(check: Check) -> Iterator[str]:
    audit = check.audit
    if audit is None or audit.accuracy is None:
        yield "Not measured: no row could be cross-validated."
    elif audit.weak is not None:
        yield silent(audit)
    else:
        of = f" of the study {check.audited_in}" if check.audited_in else ""
        on = f" on a sample of {plural(audit.rows, 'row')}" if check.sampled else ""
        yield f"{noise_band(audit)}."
        yield suspects_note(audit, of, on)
    # With two labels, every doubted row lies between the two.
    if audit and audit.overlaps and check.balance and len(check.balance.counts) > 2:
        pairs = "; ".join(
            f"{quoted(o.a, LABEL)} and {quoted(o.b, LABEL)} ({o.doubted:,} of {o.rows:,} rows)"
            for o in audit.overlaps[:3]
        )
        yield f"Most often confused: {pairs}."


def _conflicts(check: Check) -> Iterator[str]:
    found = check.conflicts
    if found is not None and found.texts:
        count = "counts as an error" if found.lost == 1 else "count as errors"
        yield (
            f"{plural(found.texts, 'text')} with more than one label, in "
            f"{plural(found.rows, 'row')}: whatever the answers, at least {found.lost:,} of "
            f"these rows {count}."
        )
    else:
        yield "No two equal texts have different labels."


def _balance(check: Check) -> Iterator[str]:
    labels = check.balance
    assert labels is not None
    first, last = labels.counts[0], labels.counts[-1]
    spread = f"each with {plural(first.rows, 'row')}"
    if first.rows != last.rows:
        spread = (
            f"from {plural(first.rows, 'row')} ({quoted(first.name, LABEL)}) to {last.rows:,} "
            f"({quoted(last.name, LABEL)})"
        )
    yield f"{plural(len(labels.counts), 'label')}, {spread}."
    if labels.dominant:
        share = per_100(labels.majority)
        yield f"Always predicting {quoted(first.name, LABEL)} is right for {share} % of rows."


# Targets that are no labels.


def _targets(check: Check) -> TargetFacts:
    assert check.targets is not None
    return check.targets


def _shares(counts: Sequence[tuple[str, float]]) -> str:
    shown = ", ".join(f"{quoted(name)} {per_100(share)} %" for name, share in counts[:NAMED])
    more = f" and {plural(len(counts) - NAMED, 'other')}" if len(counts) > NAMED else ""
    return f"{shown}{more}"


def _label_counts(check: Check) -> Iterator[str]:
    facts = _targets(check)
    shares = _shares([(label, n / facts.rows) for label, n in facts.labels])
    yield f"{plural(len(facts.labels), 'label')}; rows with: {shares}."
    if facts.empty:
        rows = plural(facts.empty, "row")
        yield f"{rows} of {facts.rows:,} have none: an empty answer gets these right."
    if rare := [label for label, n in facts.labels if n < FEW]:
        yield f"Fewer than {FEW} rows: {quoted_list(rare, NAMED)}: too few to judge."
    if facts.unseen:
        yield f"Only in the test file: {quoted_list(facts.unseen, NAMED)}."


def _fields(check: Check) -> Iterator[str]:
    facts = _targets(check)
    shares = _shares([(f.name, f.filled / facts.rows) for f in facts.fields])
    yield f"{plural(len(facts.fields), 'field')}; filled: {shares}."
    if facts.empty:
        yield (
            f"{plural(facts.empty, 'record')} of {facts.rows:,} are empty: always answering "
            "nothing gets these right."
        )
    if facts.unseen:
        yield f"Only in the test file: {quoted_list(facts.unseen, NAMED)}."
    typed = [f"{quoted(f.name)} {f.type}" for f in facts.fields[:NAMED] if f.type != "text"]
    others = f"{', '.join(typed)}; others as text" if typed else "text"
    yield f"Compared as: {others} (to state types: [task.fields] in the study file)."
    shares = _shares([(f.name, f.in_text or 0.0) for f in facts.fields])
    yield f"Values that occur in the text: {shares}."


# Answers to questions, and documents.


def _answers(check: Check) -> Iterator[str]:
    facts = _targets(check)
    none = facts.unanswerable or 0
    yield f"Questions without an answer: {none:,} of {facts.rows:,}."
    if none:
        yield f"Always answering nothing gets {per_100(none / facts.rows)} % right."
    if facts.few_unanswerable:
        yield "They are too few to learn from."
    if facts.corpus is None and facts.passage is None:
        yield "No passage: questions are answered from what a model knows or was taught."
        yield "--set fields=COLUMN shows one with each question."


def _documents(check: Check) -> Iterator[str]:
    facts = _targets(check).corpus
    assert facts is not None
    yield (
        f"{plural(facts.documents, 'document')} with {facts.words:,} words, in "
        f"{plural(facts.passages, 'passage')} of at most {WORDS} words."
    )
    if facts.documents == 1:
        yield "Whatever is retrieved comes from this one."
    if facts.copies:
        has = "has" if len(facts.copies) == 1 else "have"
        yield f"{len(facts.copies):,} {has} the text of another."


def _evidence(check: Check) -> Iterator[str]:
    rows = _targets(check).rows - (_targets(check).unanswerable or 0)
    reworded, without = check.rows_with("reworded"), check.rows_with("not in documents")
    found = rows - len(without) - len(reworded)
    questions = plural(rows, "question")
    yield f"The answer occurs in a document for {found:,} of {questions} that have one."
    if reworded:
        ids = rows_named(reworded, FEWER)
        yield f"For {len(reworded):,}, it has other words than its document ({ids})."


_LINES: Mapping[Topic, Callable[[Check], Iterator[str]]] = {
    "size": _size,
    "wrong-labels": _wrong_labels,
    "conflicts": _conflicts,
    "fields": _fields,
    "answers": _answers,
    "documents": _documents,
    "evidence": _evidence,
    "labels": _label_counts,
    "test-file": _test_file,
    "duplicates": _duplicates,
    "balance": _balance,
    "languages": _languages,
    "rows": _rows,
    "reading": _reading,
}


# What to do first: `rows`, `ids`, `names`, `count` and `points` are those of the step.
_STEPS: Mapping[StepCode, str] = {
    "conflicts": "Choose one label for {texts} with several ({ids}): they cost every candidate at "
    "least {points}.",
    "contradictions": "{agree} ({ids}), or name the column that explains it with --set "
    "fields=COLUMN.",
    "doubted-labels": "Review the {doubted}, starting with {ids}. {worth}",
    "leaks": "Replace the test rows that repeat training rows ({rows}: {ids}), or split the data "
    "by group. They can change accuracies measured elsewhere by up to {points}.",
    "metric": "Judge by a metric that counts {hidden}; accuracy hardly does: always answering "
    "{most} is right for {share} % of rows. Run: {command} (every label counts the same).",
    "not-in-documents": "Find the documents of {questions} whose answer occurs in none "
    "({ids}): add them; where one has the answer in other words, accept these, too, or name it "
    "(data.evidence_column); write [] where there is no answer.",
    "not-in-passage": "Review the answers that do not occur in {names} ({rows}: {ids}): copy the "
    "passage's wording, accept it too (a list), or write [] if the passage has no answer.",
    "rare-fields": "Label more rows with {names}, or leave these fields out: they are too rare to "
    "learn or to evaluate.",
    "rare-labels": "Label more rows of the rare labels, up to about 20 each ({names}), or merge "
    "them: they are too rare to learn or to evaluate.",
    "same-documents": "Remove documents with the text of another ({count}: {names}): found instead "
    "of the one that evidence names, they count as a miss.",
    "values": "Review {records} with a value that does not occur in the text, where nearly "
    "all others do ({names}): {ids}.",
}


def step(check: Check, found: Step, say: Callable[[Command], str] = typed) -> str:
    """Say what to do, and why; `say` writes commands as the reader types them."""
    balance = check.balance
    return _STEPS[found.code].format(
        rows=f"{len(found.rows):,}",
        questions=plural(len(found.rows), "question"),
        records=plural(len(found.rows), "record"),
        ids=rows_named(found.rows),
        names=quoted_list(found.names, 5),
        count=f"{found.count:,}",
        points=points(found.points),
        command=say(found.command) if found.command else "",
        texts=plural(check.conflicts.texts if check.conflicts else 0, "text"),
        agree=_agree(check, plural(found.count, "pair")),
        doubted=plural(check.audit.suspected if check.audit else 0, "most doubtful label"),
        worth=_worth(check, found),
        hidden=_name_rarest(check.hidden) if check.hidden else "",
        most=quoted(balance.counts[0].name, LABEL) if balance else "",
        share=per_100(balance.majority) if balance else "",
    )


def _agree(check: Check, pairs: str) -> str:
    if check.kind == "answering":
        return f"Accept the same answers, as a list, in {pairs} of like questions"
    return f"Give {pairs} of similar inputs the same target"


def _worth(check: Check, found: Step) -> str:
    gain = check.audit.gain if check.audit and check.audited_in else None
    if gain is None:
        return f"Half of such labels are usually wrong: {per_100(found.points)} % of all rows here."
    worth = f"add about {measured(found.points)} to the accuracy of {gain.candidate}"
    return f"Correct labels would {worth}."
