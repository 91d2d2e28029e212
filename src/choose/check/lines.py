"""The topics of an audit and their statuses, the most frequent problems first."""

from __future__ import annotations

from collections.abc import Iterator

from choose.check.measurements import Facts
from choose.check.targets import Targets
from choose.schema.check import Line, Topic

# A topic has the status "look" above these shares of the rows: repeated, nearly repeated and long
# texts; strongly doubted labels; copies of the text; answers that occur in their question.
REPEATED, NEARLY_REPEATED, LONG = 0.02, 0.2, 0.02
DOUBTED, COPIED, IN_QUESTION = 0.01, 0.02, 0.1

# The same of doubted rows between two labels, of the rows of these two.
CONFUSED = 0.03

# A change over time has the status "look" if it is significant at this level and if the label mix
# shifted by this share more than by chance, or if this AUC separates early from late texts.
LEVEL, LABEL_SHIFT, TEXT_AUC = 0.01, 0.05, 0.6


def line(topic: Topic, looks: object) -> Line:
    """Return a topic that needs a look, or one that does not."""
    return Line(topic=topic, status="look" if looks else "good")


def lines_of(facts: Facts) -> Iterator[Line]:
    """Yield a line a topic."""
    labelled, test, rows = bool(facts.dataset.task.labels), facts.test, facts.rows
    repeats, across = facts.duplicate_counts
    yield line("size", facts.reach.usual is None or facts.reach.usual > facts.reach.margin)
    if labelled:
        yield from _wrong_labels(facts)
        yield line("conflicts", facts.conflicts or facts.alike)
    else:
        yield from _targets(facts.targets)
    if across is not None and test is not None:
        some = across.all and across.all + facts.grouped > REPEATED * len(test)
        yield line("test-file", some or (facts.grouped and not across.all))
    exact = repeats.exact + repeats.normalised > REPEATED * len(facts.all)
    many = exact or repeats.all > NEARLY_REPEATED * len(facts.all)
    yield line("duplicates", repeats.all and (many or facts.broken_chain))
    if labelled:
        few = facts.balance.few or facts.joined or facts.hidden
        yield line("balance", few or facts.dominant)
    yield _time(facts)
    yield line("languages", facts.several_languages)
    yield line("lengths", facts.lengths.long > LONG * len(facts.all))
    yield line("personal-data", facts.personal)
    problems = facts.dropped or (labelled and facts.unseen) or facts.group
    if problems or (labelled and facts.order_of_rows):
        yield line("rows", problems)
    if rows.notes:
        yield line("reading", False)


def _wrong_labels(facts: Facts) -> Iterator[Line]:
    audit = facts.audit
    if audit is None or audit.accuracy is None or audit.weak is not None:
        yield Line(topic="wrong-labels", status="unknown")
        return
    yield line("wrong-labels", audit.suspected > DOUBTED * audit.rows)
    # With two labels, every doubted row lies between the two.
    if len(facts.balance.counts) > 2:
        first = audit.overlaps[0] if audit.overlaps else None
        yield line("overlap", first and first.doubted > CONFUSED * first.rows)


def _time(facts: Facts) -> Line:
    if (drift := facts.drift) is None:
        return Line(topic="time", status="unknown")
    labels, texts = drift.labels, drift.texts
    shifted = labels.p < LEVEL and labels.distance - labels.expected >= LABEL_SHIFT
    separated = texts is not None and texts.p < LEVEL and texts.auc.value >= TEXT_AUC
    return line("time", shifted or separated or drift.appeared or drift.vanished)


def _targets(targets: Targets) -> Iterator[Line]:
    facts = targets.facts
    if facts.fields:
        yield line("fields", facts.rare or facts.unseen or facts.shapes)
        mixed = any(len(f.types) > 1 for f in facts.fields)
        yield line("types", mixed)
        yield line("values", targets.suspects)
    elif facts.answers is not None:
        yield from _answers(targets)
    elif facts.relevance is not None:
        yield line("relevance", facts.relevance.over)
        yield from _documents(targets, ranked=True)
    elif facts.sets is not None:
        yield line("labels", targets.rare_labels or targets.joined or facts.unseen)
        yield line("sets", False)
    else:
        yield line("copies", facts.copied > COPIED * facts.rows)
    yield line("contradictions", facts.unlike)
    if facts.sets is None and facts.relevance is None:
        yield line("target-lengths", facts.cut)


def _answers(targets: Targets) -> Iterator[Line]:
    facts = targets.facts.answers
    assert facts is not None
    rows, none = targets.facts.rows, facts.unanswerable
    yield line("answers", facts.few_unanswerable or 2 * none > rows)
    if facts.corpus is None:
        yield line("passage", facts.absent)
    else:
        yield from _documents(targets, ranked=False)
    if facts.in_question:
        yield line("in-the-question", facts.in_question > IN_QUESTION * rows)


def _documents(targets: Targets, *, ranked: bool) -> Iterator[Line]:
    facts = targets.corpus
    assert facts is not None
    yield line("documents", facts.documents == 1)
    if not ranked:
        yield line("evidence", facts.without)
    yield line("same-documents", facts.copies)
