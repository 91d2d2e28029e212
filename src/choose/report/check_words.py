"""The sentences of an audit: a line for each topic, a text for each step, by their codes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TypeVar

from choose.corpus import WORDS
from choose.errors import quoted, quoted_list, rows_named
from choose.formatting import in_percent, measured, per_100, plural, points, rounded
from choose.report.words import noise_band, silent, suspects_note, typed
from choose.schema.base import Command
from choose.schema.check import (
    FEW,
    Check,
    CorpusFacts,
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

T = TypeVar("T")

# What a row with an issue is listed for, where the kind alone does not say it.
_ISSUES: dict[IssueKind, str] = {
    "conflict": "same text, different label",
    "suspected label": "doubted (log odds {})",
    "rare label": "fewer than 5 rows",
    "unlike target": "nearly the same input, unlike target ({})",
    "mixed type": "{} where other rows have another type",
    "not in text": "a value not in the text",
    "not in passage": "no accepted answer occurs in the passage",
    "not in documents": "no document holds an accepted answer",
    "reworded": "the answer has other words than the document",
}

# Fields, labels and documents that a line lists; characters of a name.
NAMED, FEWER, LABEL = 8, 3, 28


def headline(check: Check) -> str:
    reach, steps = check.reach, sum(step.first for step in check.first)
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
    yield f"{plural(check.test_rows, 'test row')} ({how}) {can}. Your {_margin(check)}."


def _margin(check: Check) -> str:
    """Say what ``margin of 2 points`` takes."""
    margin = f"margin of {points(check.reach.margin)}"
    if check.reach.margin_rows is None:
        return f"{margin} is below what any number of rows shows"
    return f"{margin} takes about {rounded(check.reach.margin_rows):,}"


def _test_file(check: Check) -> Iterator[str]:
    if check.across is None or not check.across.all:
        yield "No test row repeats a training row."
        return
    yield (
        f"{check.across.all:,} of {plural(check.test_file or 0, 'test row')} repeat training "
        f"rows ({_likeness(check.across)}). choose excludes these training rows; accuracies "
        "measured on this file elsewhere are optimistic."
    )


def _duplicates(check: Check) -> Iterator[str]:
    repeats = check.within
    if not repeats.all:
        yield "No text repeats another."
        return
    yield (
        f"Rows that repeat another row: {repeats.all:,} of {check.rows:,} "
        f"({_likeness(repeats)}). Repeated rows are never split between training and test."
    )
    if check.broken_chain:
        yield (
            f"{plural(repeats.chain, 'row')} form one chain of near-duplicates (a template?), too "
            "many to keep together: accuracies are optimistic."
        )


def _likeness(repeats: Repeats) -> str:
    kinds = (
        (repeats.exact, "exactly"),
        (repeats.normalised, "except for case and punctuation"),
        (repeats.near, "nearly"),
    )
    return ", ".join(f"{count:,} {how}" for count, how in kinds if count)


def _name_rarest(hidden: Sequence[Count]) -> str:
    """Name the rarest label with its rows: ``'fraud' (12)`` or ``'fraud' (12) and 3 others``."""
    first = f"{quoted(hidden[0].name)} ({hidden[0].rows:,})"
    return first if len(hidden) == 1 else f"{first} and {plural(len(hidden) - 1, 'other label')}"


def _languages(check: Check) -> Iterator[str]:
    yield (
        f"{in_percent(check.foreign)} of the texts have letters that English lacks. The default "
        "encoder (all-MiniLM-L6-v2, behind probe, knn and retrieval) was trained on English: name "
        "a multilingual one with --set encoder=SPEC."
    )


def _lengths(check: Check) -> Iterator[str]:
    lengths, characters = check.lengths, plural(round(check.lengths.characters), "character")
    words = f"Median {plural(round(lengths.words), 'word')}, longest {lengths.longest:,}."
    yield f"Median {characters} (no spaces between words)." if check.unspaced else words
    if lengths.long:
        yield f"Texts of over 256 words, which models truncate: {lengths.long:,}."


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


def _overlap(check: Check) -> Iterator[str]:
    pairs = "; ".join(
        f"{quoted(o.a, LABEL)} and {quoted(o.b, LABEL)} ({o.doubted:,} of {o.rows:,} rows)"
        for o in (check.audit.overlaps[:3] if check.audit else ())
    )
    none = "No two labels are confused more than once."
    yield f"Labels most often confused: {pairs}." if pairs else none


def _conflicts(check: Check) -> Iterator[str]:
    found = check.conflicts
    if found is not None and found.texts:
        count = "counts as an error" if found.lost == 1 else "count as errors"
        yield (
            f"{plural(found.texts, 'text')} with more than one label, in "
            f"{plural(found.rows, 'row')}: whatever the answers, at least {found.lost:,} of "
            f"these rows {count}."
        )
    elif check.alike:
        yield f"{plural(check.alike, 'text')} with more than one label, ignoring punctuation."
    else:
        yield "No text has two different labels."


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
    if labels.few:
        yield f"Fewer than 5 rows: {quoted_list(labels.few, 5)}."
    if labels.dominant:
        share = per_100(labels.majority)
        yield f"Always predicting {quoted(first.name, LABEL)} is right for {share} % of rows."
    if check.hidden:
        yield f"Accuracy hardly counts {_name_rarest(check.hidden)}."


# Targets that are no labels.


def _known(found: T | None) -> T:
    """Return facts that a topic is only about where there are some."""
    assert found is not None
    return found


def _corpus(facts: TargetFacts) -> CorpusFacts:
    return _known(facts.answers.corpus if facts.answers else _known(facts.relevance).corpus)


def _others(every: Sequence[object]) -> str:
    """Return how many more there are than a line names."""
    return f" and {plural(len(every) - NAMED, 'other')}" if len(every) > NAMED else ""


def _shares(counts: Sequence[tuple[str, float]]) -> str:
    shown = ", ".join(f"{quoted(name)} {per_100(share)} %" for name, share in counts[:NAMED])
    return f"{shown}{_others(counts)}"


def _label_counts(check: Check) -> Iterator[str]:
    facts = _known(check.targets)
    sets = _known(facts.sets)
    shares = _shares([(label, n / facts.rows) for label, n in sets.counts])
    yield f"{plural(len(sets.counts), 'label')}; rows with: {shares}."
    if rare := [label for label, n in sets.counts if n < FEW]:
        yield f"Fewer than {FEW} rows: {quoted_list(rare, NAMED)}: too few to judge."
    if facts.unseen:
        yield f"Only in the test file: {quoted_list(facts.unseen, NAMED)}."


def _set_sizes(check: Check) -> Iterator[str]:
    facts = _known(check.targets)
    sets = _known(facts.sets)
    yield f"{sets.mean:.1f} labels a row on average, {sets.most} at most."
    if facts.empty:
        rows = plural(facts.empty, "row")
        yield f"{rows} of {facts.rows:,} have none: an empty answer gets these right."


def _fields(check: Check) -> Iterator[str]:
    facts = _known(check.targets)
    shares = _shares([(f.name, f.filled / facts.rows) for f in facts.fields])
    yield f"{plural(len(facts.fields), 'field')}; filled: {shares}."
    if facts.empty:
        yield (
            f"{plural(facts.empty, 'record')} of {facts.rows:,} are empty: always answering "
            "nothing gets these right."
        )
    if facts.rare:
        yield f"Nearly always empty: {quoted_list(facts.rare, NAMED)}."
    if facts.unseen:
        yield f"Only in the test file: {quoted_list(facts.unseen, NAMED)}."


def _types(check: Check) -> Iterator[str]:
    facts = _known(check.targets)
    stated = ", ".join(f"{quoted(f.name)} {f.type}" for f in facts.fields[:NAMED])
    yield f"Compared as: {stated}{_others(facts.fields)}."
    yield "[task.fields] in the study file states others."
    for field in [f for f in facts.fields if len(f.types) > 1][:3]:
        kinds = ", ".join(f"{kind} in {plural(n, 'row')}" for kind, n in field.types)
        slips = [one.row for one in check.named("mixed type") if one.label == field.name]
        where = f" ({rows_named(slips)})" if slips else ""
        yield f"{quoted(field.name)} is of mixed type: {kinds}{where}."


def _values(check: Check) -> Iterator[str]:
    facts = _known(check.targets)
    shares = _shares([(f.name, f.in_text or 0.0) for f in facts.fields])
    yield f"Values that occur in the text: {shares}."
    if ids := check.rows_with("not in text"):
        fields = dict.fromkeys(one.label for one in check.named("not in text"))
        names = quoted_list([*fields], NAMED)
        yield (
            f"Where at least 95 % do ({names}), {plural(len(ids), 'row')} "
            f"{'holds' if len(ids) == 1 else 'hold'} another value: "
            f"{rows_named(ids)}."
        )


def _contradictions(check: Check) -> Iterator[str]:
    pairs = check.named("unlike target")
    if not pairs:
        yield "No two similar inputs have different targets."
        return
    rows = rows_named(row for pair in pairs for row in (pair.row, pair.other or ""))
    yield (
        f"{plural(len(pairs), 'pair')} of rows with the same or nearly the same input "
        f"{'has' if len(pairs) == 1 else 'have'} different targets ({rows}): "
        "another column may explain it (--set fields=COLUMN), or one is wrong."
    )


# Answers to questions, and documents.


def _answers(check: Check) -> Iterator[str]:
    facts, rows = _known(_known(check.targets).answers), _known(check.targets).rows
    none = facts.unanswerable
    yield f"Questions with several accepted answers: {facts.several:,} of {rows:,}; with none:"
    yield f"{none:,}."
    if none:
        yield f"Always answering nothing gets {per_100(none / rows)} % right."
    if facts.few_unanswerable:
        yield "They are too few to learn from, or to measure false answers on."


def _passage(check: Check) -> Iterator[str]:
    facts, rows = _known(_known(check.targets).answers), _known(check.targets).rows
    if facts.passage is None:
        yield "No passage: questions are answered from what a model knows or was taught."
        yield "--set fields=COLUMN shows one with each question."
        return
    absent = check.rows_with("not in passage")
    share = per_100(1 - len(absent) / max(rows - facts.unanswerable, 1))
    but = f"; not in {rows_named(absent)}" if absent else ""
    where = f"The answer occurs in {quoted(facts.passage)} in {share} %"
    yield f"{where} of the rows that have one{but}."


def _documents(check: Check) -> Iterator[str]:
    facts = _corpus(_known(check.targets))
    dated = f"{facts.dated:,} have a date" if facts.dated else "none has a date"
    yield (
        f"{plural(facts.documents, 'document')} with {facts.words:,} words, in "
        f"{plural(facts.passages, 'passage')} of at most {WORDS} words; {dated}."
    )
    if facts.documents == 1:
        yield "Whatever is retrieved comes from this one."


def _evidence(check: Check) -> Iterator[str]:
    rows = _known(check.targets).rows - _known(_known(check.targets).answers).unanswerable
    reworded, without = check.rows_with("reworded"), check.rows_with("not in documents")
    found = rows - len(without) - len(reworded)
    says = f"The answer occurs in a document for {found:,} of {plural(rows, 'question')} that have "
    says += "one"
    for ids, what in (
        (reworded, "it has other words than its document"),
        (without, "no document is known"),
    ):
        says += f"; for {len(ids):,} {what} ({rows_named(ids, FEWER)})" if ids else ""
    yield f"{says}."


def _same_documents(check: Check) -> Iterator[str]:
    facts = _corpus(_known(check.targets))
    if not facts.copies:
        yield "No document repeats another."
        return
    pairs = "; ".join(quoted_list(same, FEWER) for same in facts.copies[:2])
    yield f"Documents with the text of another: {facts.repeated:,} ({pairs}). The one that"
    yield "evidence does not name counts as a miss."


def _relevance(check: Check) -> Iterator[str]:
    facts = _known(_known(check.targets).relevance)
    yield f"{facts.mean:.1f} relevant documents a question on average, {facts.most} at most."


_LINES: Mapping[Topic, Callable[[Check], Iterator[str]]] = {
    "size": _size,
    "wrong-labels": _wrong_labels,
    "overlap": _overlap,
    "conflicts": _conflicts,
    "fields": _fields,
    "types": _types,
    "values": _values,
    "answers": _answers,
    "passage": _passage,
    "documents": _documents,
    "evidence": _evidence,
    "same-documents": _same_documents,
    "relevance": _relevance,
    "labels": _label_counts,
    "sets": _set_sizes,
    "contradictions": _contradictions,
    "test-file": _test_file,
    "duplicates": _duplicates,
    "balance": _balance,
    "languages": _languages,
    "lengths": _lengths,
    "rows": _rows,
    "reading": _reading,
}


# What to do first: `rows`, `ids`, `names`, `count` and `points` are those of the step.
_STEPS: Mapping[StepCode, str] = {
    "conflicts": "Choose one label for {texts} with several ({ids}): they cost every candidate at "
    "least {points}.",
    "contradictions": "{agree} ({ids}), or name the column that explains it with --set "
    "fields=COLUMN.",
    "cross-validate": "Evaluate all rows by cross-validation (folds = 5 under [data], five "
    "training runs): {tested} test rows detect no difference below {detects}, all {all} would "
    "detect your margin of {margin}.",
    "doubted-labels": "Review the {doubted}, starting with {ids}. {worth}",
    "leaks": "Replace the test rows that repeat training rows ({rows}: {ids}), or split the data "
    "by group. They can inflate accuracies measured elsewhere by up to {points}.",
    "metric": "Judge by a metric that counts {hidden}; accuracy hardly does: always answering "
    "{most} is right for {share} % of rows. Run: {command} (every label counts the same).",
    "more-rows": "To separate close candidates, label more later: {today}; your {takes}. A first "
    "study does not need them.",
    "not-in-documents": "Find the documents of {questions} whose answer occurs in none "
    "({ids}): add them; where one has the answer in other words, accept these, too, or name it "
    "(data.evidence_column); write [] where there is no answer.",
    "not-in-passage": "Review the answers that do not occur in {names} ({rows}: {ids}): copy the "
    "passage's wording, accept it too (a list), or write [] if the passage has no answer.",
    "rare-fields": "Label more rows with {names}, or leave these fields out: they are too rare to "
    "learn or to evaluate.",
    "rare-labels": "Label more rows of the rare labels, up to about 20 each ({names}), or merge "
    "them: they are too rare to learn or to evaluate.",
    "same-documents": "Remove documents with the text of another ({count}): found instead of the "
    "one that evidence names, they count as a miss.",
    "values": "Review {records} with a value that does not occur in the text, where nearly "
    "all others do ({names}): {ids}.",
}


def step(check: Check, found: Step, say: Callable[[Command], str] = typed) -> str:
    """Say what to do, and why; `say` writes commands as the reader types them."""
    reach, balance, detect = check.reach, check.balance, "are too few to compare candidates"
    if reach.usual is not None:
        detect = f"detect {points(reach.usual)} or more"
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
        tested=f"{reach.rows:,}",
        detects=points(reach.usual or 1),
        all=f"{check.rows:,}",
        margin=points(reach.margin),
        today=f"today's {plural(reach.rows, 'row')} {detect}",
        takes=_margin(check),
        doubted=plural(check.audit.suspected if check.audit else 0, "most doubtful label"),
        worth=_worth(check, found),
        hidden=_name_rarest(check.hidden) if check.hidden else "",
        most=quoted(balance.counts[0].name, LABEL) if balance else "",
        share=per_100(balance.majority) if balance else "",
    )


def _agree(check: Check, pairs: str) -> str:
    facts = check.targets
    if facts and facts.relevance is not None:
        return f"Name the same relevant documents in {pairs} of like questions"
    if facts and facts.answers is not None:
        return f"Accept the same answers, as a list, in {pairs} of like questions"
    return f"Give {pairs} of similar inputs the same target"


def _worth(check: Check, found: Step) -> str:
    """Say what a look at the doubted labels is worth, and where to begin."""
    if (audit := check.audit) is None:
        return ""
    worth = [f"Half of such labels are usually wrong: {per_100(found.points)} % of all rows here."]
    if check.audited_in and audit.gain is not None:
        name, gained = audit.gain.candidate, measured(found.points)
        worth = [f"Correcting them would add about {gained} to the accuracy of {name}."]
    if check.audited_in:
        worth += [f"This is the list of the study {check.audited_in}."]
    if audit.overlaps and check.balance and len(check.balance.counts) > 2:
        pair = audit.overlaps[0]
        worth += [
            f"First define the boundary between {quoted(pair.a, LABEL)} and "
            f"{quoted(pair.b, LABEL)}, which {plural(pair.doubted, 'doubted row')} may confuse."
        ]
    return " ".join(worth)
