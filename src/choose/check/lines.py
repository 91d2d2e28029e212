"""Describe each topic of the audit in one line: size, labels, duplicates, languages and so on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from choose.check.measurements import Facts
from choose.check.tokens import many_tokens, tokens_in_words
from choose.data.duplicates import count_conflicts
from choose.data.findings import left_out_rows, ordered, rare_in_words, sorted_input
from choose.data.languages import SAMPLE, encoder_warning, foreign
from choose.data.personal_data import KINDS
from choose.errors import quoted, quoted_list
from choose.formatting import per_100, plural, points, rounded
from choose.schema.check import Drift, Languages, Line, Repeats, Status, TokenCounts
from choose.schema.diagnosis import Audit
from choose.schema.plan import DetectableGains

# A line has the status "look" above these shares of the rows: repeated, too long, of the most
# common label, strongly doubted, or between two labels (of the rows of these two).
REPEATED = 0.02
NEARLY_REPEATED = 0.2
LONG = 0.02
MAJORITY = 0.6
DOUBTED = 0.01
CONFUSED = 0.03

# The same below this share of texts on which two annotators agree.
AGREEMENT = 0.9

# A change over time has the status "look" if it is significant at this level and if the label mix
# shifted by this share more than by chance, or if this AUC separates early from late texts.
LEVEL = 0.01
LABEL_SHIFT = 0.05
TEXT_AUC = 0.6

# Languages of fewer rows are summed up: a few short texts are identified wrongly.
NAMED = 0.005

# Characters of a label.
LABEL = 28


def lines_of(facts: Facts) -> tuple[Line, ...]:
    """Return one line a topic, the most frequent problems first."""
    lines = (
        _size(facts.reach, len(facts.dataset.asked), facts.dataset.division),
        _wrong_labels(facts.audit, facts.study[0] if facts.study else None),
        _overlap(facts),
        _conflicts(facts),
        _test_file(facts),
        _duplicates(facts),
        _balance(facts),
        _order(facts),
        _annotators(facts.audit, any(e.annotator for e in facts.all)),
        _time(facts.drift, sum(e.timestamp is not None for e in facts.all), len(facts.all)),
        _languages(facts.languages, len(facts.all)),
        _tokens(facts.tokens),
        _lengths(facts),
        _personal_data(facts.personal),
        _rows(facts),
        _reading(facts.rows.notes),
    )
    return tuple(line for line in lines if line is not None)


def _line(topic: str, status: Status, says: str) -> Line:
    return Line(topic=topic, status=status, says=says)


def _look(condition: bool) -> Status:
    return "look" if condition else "good"


def _size(reach: DetectableGains, test_rows: int, division: str) -> Line:
    how = "cross-validation" if division == "cross-fit" else "held out"
    if reach.independent < 0.98 * test_rows:
        how += f"; worth {reach.independent:,.0f} independent rows"
    detects = (
        f"can detect differences of {points(reach.usual)} or more"
        if reach.usual
        else "are too few to compare candidates"
    )
    return _line(
        "Size",
        _look(reach.usual is None or reach.usual > reach.margin),
        f"{plural(test_rows, 'test row')} ({how}) {detects}. Your margin of "
        f"{points(reach.margin)} takes about {rounded(reach.margin_rows):,}.",
    )


def _wrong_labels(audit: Audit | None, study: str | None) -> Line:
    if audit is None or audit.accuracy is None:
        return _line("Wrong labels", "unknown", "Not measured: no row could be cross-validated.")
    if audit.no_list is not None:
        return _line("Wrong labels", "unknown", audit.no_list)
    status = _look(audit.suspected > DOUBTED * audit.rows)
    who = f"{' + '.join(audit.auditors)} of the study {study}" if study else "A text baseline"
    baseline = (
        f"{who} ({per_100(audit.accuracy.value)} % accurate in cross-validation) disagrees with "
        f"{plural(audit.contradicted, 'label')}; {audit.suspected or 'none'} of them should be "
        "checked."
    )
    if audit.noise is None:
        return _line("Wrong labels", status, f"How many is unknown. {baseline}")
    low, high = per_100(audit.noise.low), per_100(audit.noise.high)
    says = f"Between {low} % and {high} % of labels may be wrong. {baseline}"
    return _line("Wrong labels", status, says)


def _overlap(facts: Facts) -> Line | None:
    audit = facts.audit
    # With two labels, every doubted row lies between the two.
    if audit is None or audit.accuracy is None or len(facts.balance.counts) < 3:
        return None
    if audit.no_list is not None:
        return None
    if not audit.overlaps:
        return _line("Overlap", "good", "No two labels are confused more than once.")
    pairs = "; ".join(
        f"{quoted(o.a, LABEL)} and {quoted(o.b, LABEL)} ({o.doubted:,} of {o.rows:,} rows)"
        for o in audit.overlaps[:3]
    )
    first = audit.overlaps[0]
    status = _look(first.doubted > CONFUSED * first.rows)
    return _line("Overlap", status, f"Labels most often confused: {pairs}.")


def _conflicts(facts: Facts) -> Line:
    conflicts = count_conflicts(facts.conflicts)
    if not conflicts.texts:
        return _line("Conflicts", "good", "No text has two different labels.")
    return _line(
        "Conflicts",
        "look",
        f"{plural(conflicts.texts, 'text')} with more than one label, in "
        f"{plural(conflicts.rows, 'row')}: whatever the answers, at least {conflicts.lost:,} of "
        "these rows count as errors.",
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
        return _line(
            "Test file", _look(grouped > 0), f"No test row repeats a training row.{shared}"
        )
    return _line(
        "Test file",
        _look(repeats.all + grouped > REPEATED * len(facts.test)),
        f"{repeats.all:,} of {plural(len(facts.test), 'test row')} repeat training rows "
        f"({_likeness(repeats)}). choose excludes these training rows; accuracies measured on "
        f"this file elsewhere are optimistic.{shared}",
    )


def _duplicates(facts: Facts) -> Line:
    repeats, _ = facts.duplicate_counts
    if not repeats.all:
        return _line("Duplicates", "good", "No text repeats another.")
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
    return _line(
        "Duplicates",
        _look(
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


def _balance(facts: Facts) -> Line:
    balance = facts.balance
    first, last = balance.counts[0], balance.counts[-1]
    says = (
        f"{plural(len(balance.counts), 'label')}, from {plural(first.rows, 'row')} "
        f"({quoted(first.label, LABEL)}) to {last.rows:,} ({quoted(last.label, LABEL)})."
    )
    if balance.few:
        says += f" Fewer than 5 rows: {quoted_list(balance.few, 5)}."
    if balance.majority >= MAJORITY:
        says += (
            f" Always predicting {quoted(first.label, LABEL)} is right for "
            f"{per_100(balance.majority)} % of rows."
        )
    if facts.hidden:
        says += f" Accuracy hardly counts {rare_in_words(facts.hidden)}."
    look = balance.few or facts.hidden or balance.majority >= MAJORITY
    return _line("Balance", _look(bool(look)), says)


def _order(facts: Facts) -> Line | None:
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
    return _line("Order", "look", says)


def _annotators(audit: Audit | None, named: bool) -> Line:
    if audit is None or audit.agreement is None:
        why = (
            "no text was labelled by two annotators"
            if named
            else "the data do not name the annotators (--annotator-column)"
        )
        return _line("Annotators", "unknown", f"Agreement not measured: {why}.")
    agreement = audit.agreement
    share = agreement.pairwise
    alpha = f"; Krippendorff's alpha {agreement.alpha.value:.2f}" if agreement.alpha else ""
    return _line(
        "Annotators",
        _look(share.value < AGREEMENT),
        f"Two of {agreement.annotators:,} annotators give the same label to "
        f"{per_100(share.value)} % of texts ({per_100(share.low or 0)} to "
        f"{per_100(share.high or 1)}; {plural(agreement.questions, 'text')}{alpha}).",
    )


def _time(drift: Drift | None, dated: int, rows: int) -> Line:
    if drift is None:
        why = (
            f"{dated:,} of {plural(rows, 'row')} have a date, or too few dates differ"
            if dated
            else "no column holds dates that can be read (--time-column names one)"
        )
        return _line("Time", "unknown", f"Change over time not measured: {why}.")
    labels, texts = drift.labels, drift.texts
    shifted = labels.p < LEVEL and labels.distance - labels.expected >= LABEL_SHIFT
    separated = texts is not None and texts.p < LEVEL and texts.auc.value >= TEXT_AUC
    says = (
        f"First third (from {drift.early_from}) against last third (to {drift.late_to}): the "
        f"label mix shifted by {points(labels.distance)} ({per_100(labels.expected)} by chance)"
    )
    if texts is not None:
        says += f"; a classifier separates their texts with AUC {texts.auc.value:.2f} (chance: 0.5)"
    says += "."
    if drift.appeared:
        says += f" Labels only in the last third: {quoted_list(drift.appeared, 5)}."
    if drift.vanished:
        says += f" Labels only in the first third: {quoted_list(drift.vanished, 5)}."
    changed = shifted or separated or bool(drift.appeared or drift.vanished)
    return _line("Time", _look(changed), says)


def _languages(languages: Languages, rows: int) -> Line:
    named = [x for x in languages.found if x.rows >= max(NAMED * rows, 2)]
    others = sum(x.rows for x in languages.found) - sum(x.rows for x in named)
    parts = [(x.name, x.rows) for x in named]
    parts += [("other languages", others), ("too short to tell", languages.unknown)]
    shares = ", ".join(f"{name} {per_100(n / rows)} %" for name, n in parts if n)
    sample = f" Estimated from a sample of {plural(SAMPLE, 'text')}." if rows > SAMPLE else ""
    unread = foreign(languages)
    warning = f" {encoder_warning(unread)}" if unread else ""
    look = _look(len(named) > 1 or bool(unread))
    return _line("Languages", look, f"Texts: {shares}.{sample}{warning}")


def _tokens(tokens: TokenCounts | None) -> Line:
    if tokens is None:
        why = "no tokenizer is installed (run choose models fetch)"
        return _line("Tokens", "unknown", f"Tokens per word not measured: {why}.")
    return _line("Tokens", _look(many_tokens(tokens)), tokens_in_words(tokens))


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
    return _line("Lengths", _look(lengths.long > LONG * len(facts.all)), says)


def _personal_data(hints: Sequence[tuple[str, str]]) -> Line:
    counts = Counter(kind for _, kind in hints)
    if not counts:
        *most, last = KINDS
        return _line("Personal data", "good", f"No sign of any {', '.join(most)} or {last}.")
    kinds = ", ".join(f"{kind} in {plural(counts[kind], 'row')}" for kind in KINDS if counts[kind])
    return _line("Personal data", "look", f"Possible {kinds}.")


def _reading(notes: Sequence[str]) -> Line | None:
    return _line("Reading", "good", " ".join(notes)) if notes else None


def _rows(facts: Facts) -> Line | None:
    read = facts.rows
    problems = left_out_rows(read.pool, "the file" if read.test is None else "the pool")
    problems += left_out_rows(read.test or (), "the test file")
    if facts.test is not None:
        unseen = {e.target for e in facts.test} - {e.target for e in facts.pool}
        if unseen:
            problems.append(f"Test labels that no training row has: {quoted_list(sorted(unseen))}.")
    if read.hint and not any(e.group for e in facts.all):
        problems.append(
            f"Rows with the same {read.hint!r} may belong together: --group-column {read.hint!r}."
        )
    says = " ".join([*problems, *sorted_input(facts.pool)])
    return _line("Rows", _look(bool(problems)), says) if says else None
