"""Describe in one line each what only a set of labels has: their mix, errors, order and drift."""

from __future__ import annotations

from collections.abc import Sequence

from choose.check.measurements import Facts
from choose.data.duplicates import conflicting_texts, count_conflicts
from choose.data.findings import ordered, rare_in_words
from choose.errors import quoted, quoted_list
from choose.formatting import in_percent, per_100, plural, points
from choose.schema.check import Drift, Line, Status
from choose.schema.diagnosis import Audit
from choose.tasks.label_sets import joined_labels

# A line has the status "look" above these shares of the rows: of the most common label, strongly
# doubted, or between two labels (of the rows of these two).
MAJORITY = 0.6
DOUBTED = 0.01
CONFUSED = 0.03


# A change over time has the status "look" if it is significant at this level and if the label mix
# shifted by this share more than by chance, or if this AUC separates early from late texts.
LEVEL = 0.01
LABEL_SHIFT = 0.05
TEXT_AUC = 0.6

# Characters of a label.
LABEL = 28


def line(topic: str, status: Status, says: str) -> Line:
    """Return a line of the audit."""
    return Line(topic=topic, status=status, says=says)


def look(condition: bool) -> Status:
    """Return the status of a topic that needs a look, or of one that does not."""
    return "look" if condition else "good"


def wrong_labels(facts: Facts) -> Line:
    """Say how many labels may be wrong, and whose list of doubted ones it is."""
    audit = facts.audit
    if audit is None or audit.accuracy is None:
        return line("Wrong labels", "unknown", "Not measured: no row could be cross-validated.")
    if audit.weak is not None:
        found, needed = in_percent(audit.accuracy.value), in_percent(audit.weak.needed)
        why = f"{' + '.join(audit.auditors)} predicts {found} of the labels; it takes {needed}"
        return line("Wrong labels", "unknown", f"No label is doubted: {why} to tell wrong ones.")
    status = look(audit.suspected > DOUBTED * audit.rows)
    who = " + ".join(audit.auditors) + (f" of the study {facts.study[0]}" if facts.study else "")
    after = "" if facts.study else f" A study makes a better list: {facts.target}"
    sample = f" on a sample of {plural(audit.rows, 'row')}" if facts.is_sampled else ""
    baseline = (
        f"{who} ({per_100(audit.accuracy.value)} % accurate in cross-validation{sample}) "
        f"{_disagreements(audit)}.{after}"
    )
    if audit.noise is None:
        return line("Wrong labels", status, f"How many is unknown. {baseline}")
    low, high = per_100(audit.noise.low), per_100(audit.noise.high)
    says = f"Between {low} % and {high} % of labels may be wrong. {baseline}"
    return line("Wrong labels", status, says)


def _disagreements(audit: Audit) -> str:
    """Say with how many labels an auditor disagrees, and how many of these need a check."""
    if not audit.contradicted:
        return "disagrees with no label"
    labels = f"disagrees with {plural(audit.contradicted, 'label')}"
    if not audit.suspected:
        return f"{labels}; {'it needs' if audit.contradicted == 1 else 'none needs'} no check"
    if audit.contradicted == 1:
        return f"{labels}, which should be checked"
    return f"{labels}; {audit.suspected:,} of them should be checked"


def overlap(facts: Facts) -> Line | None:
    """Name the labels that are confused most; None for two labels."""
    audit = facts.audit
    # With two labels, every doubted row lies between the two.
    if audit is None or audit.accuracy is None or len(facts.balance.counts) < 3:
        return None
    if audit.weak is not None:
        return None
    if not audit.overlaps:
        return line("Overlap", "good", "No two labels are confused more than once.")
    pairs = "; ".join(
        f"{quoted(o.a, LABEL)} and {quoted(o.b, LABEL)} ({o.doubted:,} of {o.rows:,} rows)"
        for o in audit.overlaps[:3]
    )
    first = audit.overlaps[0]
    status = look(first.doubted > CONFUSED * first.rows)
    return line("Overlap", status, f"Labels most often confused: {pairs}.")


def conflicts(facts: Facts) -> Line:
    """Count the texts with several labels."""
    found = count_conflicts(facts.conflicts)
    if not found.texts and (alike := conflicting_texts(facts.all, punctuation=False)):
        says = f"{plural(len(alike), 'text')} with more than one label, but for punctuation."
        return line("Conflicts", "look", says)
    if not found.texts:
        return line("Conflicts", "good", "No text has two different labels.")
    return line(
        "Conflicts",
        "look",
        f"{plural(found.texts, 'text')} with more than one label, in "
        f"{plural(found.rows, 'row')}: whatever the answers, at least {found.lost:,} of "
        f"these rows {'counts as an error' if found.lost == 1 else 'count as errors'}.",
    )


def balance(facts: Facts) -> Line:
    """Say how even the labels are."""
    labels = facts.balance
    first, last = labels.counts[0], labels.counts[-1]
    says = (
        f"from {plural(first.rows, 'row')} ({quoted(first.label, LABEL)}) to {last.rows:,} "
        f"({quoted(last.label, LABEL)})"
        if first.rows != last.rows
        else f"each with {plural(first.rows, 'row')}"
    )
    says = f"{plural(len(labels.counts), 'label')}, {says}."
    if labels.few:
        says += f" Fewer than 5 rows: {quoted_list(labels.few, 5)}."
    joined = joined_labels([count.label for count in labels.counts])
    says += joined_sentence(joined)
    if labels.majority >= MAJORITY:
        says += (
            f" Always predicting {quoted(first.label, LABEL)} is right for "
            f"{per_100(labels.majority)} % of rows."
        )
    if facts.hidden:
        says += f" Accuracy hardly counts {rare_in_words(facts.hidden)}."
    doubtful = labels.few or joined or facts.hidden or labels.majority >= MAJORITY
    return line("Balance", look(bool(doubtful)), says)


def joined_sentence(joined: Sequence[str]) -> str:
    """Say that labels read like other labels and a sign; empty without any."""
    if not joined:
        return ""
    reads, counts, own = ("reads", "counts as a label", "its own")
    if len(joined) > 1:
        reads, counts, own = ("read", "count as labels", "their own")
    return (
        f" {quoted_list(joined, 5)} {reads} like other labels with a stray or joining sign, and "
        f"{counts} of {own}."
    )


def order(facts: Facts) -> Line | None:
    """Say that labels look like steps of a scale, and how far the baseline's errors are off."""
    steps = ordered({count.label for count in facts.balance.counts})
    if not steps:
        return None
    place = {label: i for i, label in enumerate(steps)}
    off = [
        abs(place[facts.dataset.examples[id].target] - place[said])
        for id, said in facts.predicted.items()
        if said in place and said != facts.dataset.examples[id].target
    ]
    says = (
        f"The labels look like steps of a scale ({quoted(steps[0], LABEL)} to "
        f"{quoted(steps[-1], LABEL)}): choose counts an error of one step like any other."
    )
    if off:
        near = sum(distance == 1 for distance in off)
        says += f" Of {plural(len(off), 'error')} of the text baseline, {near:,} are off by one."
    return line("Order", "look", says)


def time(drift: Drift | None, dated: int, rows: int, noun: str = "label") -> Line:
    """Compare the first third of the rows with the last."""
    if drift is None:
        why = (
            f"{dated:,} of {plural(rows, 'row')} have a date, or too few dates differ"
            if dated
            else "no column holds dates that can be read (--time-column names one)"
        )
        return line("Time", "unknown", f"Change over time not measured: {why}.")
    labels, texts = drift.labels, drift.texts
    shifted = labels.p < LEVEL and labels.distance - labels.expected >= LABEL_SHIFT
    separated = texts is not None and texts.p < LEVEL and texts.auc.value >= TEXT_AUC
    says = (
        f"First third (from {drift.early_from}) against last third (to {drift.late_to}): the "
        f"{noun} mix shifted by {points(labels.distance)} ({per_100(labels.expected)} by chance)"
    )
    if texts is not None:
        says += f"; a classifier separates their texts with AUC {texts.auc.value:.2f} (chance: 0.5)"
    says += "."
    if drift.appeared:
        says += f" {noun.capitalize()}s only in the last third: {quoted_list(drift.appeared, 5)}."
    if drift.vanished:
        says += f" {noun.capitalize()}s only in the first third: {quoted_list(drift.vanished, 5)}."
    changed = shifted or separated or bool(drift.appeared or drift.vanished)
    return line("Time", look(changed), says)
