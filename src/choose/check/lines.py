"""What the audit found, one line for each thing that was looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from choose.check.facts import Facts
from choose.check.sentences import agreement, languages, made, personal, size, time, tokens
from choose.data.duplicates import count_conflicts
from choose.data.profile import left_out_rows, sorted_input
from choose.data.readers.delimited import listed, short
from choose.formatting import of_100, per_cent, plural
from choose.schema.check import Line, Repeats, Status

# Above this share of the rows, a repeat is worth a person's look.
MANY = 0.02


UNEVEN = 0.6


# Above this share of rows that are doubted strongly, or lie between two labels.
DOUBTED = 0.01


BETWEEN = 0.03


LABEL = 28


def lines_of(looked: Facts) -> tuple[Line, ...]:
    """Return the lines, what is most often wrong first."""
    return tuple(line for tell in _TELLERS for line in tell(looked))


def _size(looked: Facts) -> Iterator[Line]:
    yield size(looked.reach, len(looked.dataset.asked), looked.dataset.division)


def _wrong_labels(looked: Facts) -> Iterator[Line]:
    found = looked.audit
    if found is None or found.accuracy is None:
        yield made("Wrong labels", "unknown", "Nothing could be held against the labels.")
        return
    status: Status = "look" if found.suspected > DOUBTED * found.rows else "good"
    against = (
        f"a text baseline ({of_100(found.accuracy.value)} right) contradicts "
        f"{plural(found.contradicted, 'label')} and doubts {found.suspected:,} of them strongly"
    )
    if found.noise is None:
        yield made("Wrong labels", status, f"How many is not known: {against}.")
        return
    band = f"{per_cent(found.noise.low)} to {per_cent(found.noise.high)} of 100 may be wrong"
    yield made("Wrong labels", status, f"{band}; {against}.")


def _overlap(looked: Facts) -> Iterator[Line]:
    found = looked.audit
    # Of two labels, any doubted row lies between the two.
    if found is None or found.accuracy is None or len(looked.balance.counts) < 3:
        return
    if not found.overlaps:
        yield made("Overlap", "good", "No two labels are taken for each other more than once.")
        return
    told = "; ".join(
        f"{short(o.a, LABEL)} and {short(o.b, LABEL)} ({o.doubted:,} of {o.rows:,} rows)"
        for o in found.overlaps[:3]
    )
    first = found.overlaps[0]
    status: Status = "look" if first.doubted > BETWEEN * first.rows else "good"
    yield made("Overlap", status, f"Most often taken for each other: {told}.")


def _conflicts(looked: Facts) -> Iterator[Line]:
    found = count_conflicts(looked.torn)
    if not found.texts:
        yield made("Conflicts", "good", "No text has two labels.")
        return
    yield made(
        "Conflicts",
        "look",
        f"{plural(found.texts, 'text')} with more than one label, in {plural(found.rows, 'row')}: "
        f"at least {plural(found.lost, 'row')} cannot be answered right by any means.",
    )


def _across(looked: Facts) -> Iterator[Line]:
    if looked.test is None:
        return
    _, found = looked.repeats
    assert found is not None
    groups = {e.group for e in looked.pool} - {None}
    grouped = sum(e.group in groups for e in looked.test)
    same = f" {plural(grouped, 'test row')} share a group with one." if grouped else ""
    if not found.all:
        status: Status = "look" if grouped else "good"
        yield made("Test file", status, f"No test row repeats a row to learn from.{same}")
        return
    yield made(
        "Test file",
        "look" if found.all + grouped > MANY * len(looked.test) else "good",
        f"{found.all:,} of {plural(len(looked.test), 'test row')} repeat a row to learn from "
        f"({_likeness(found)}). choose leaves those rows of the pool out; other figures on this "
        f"file flatter.{same}",
    )


def _within(looked: Facts) -> Iterator[Line]:
    found, _ = looked.repeats
    if not found.all:
        yield made("Duplicates", "good", "No text repeats another one.")
        return
    chain = ""
    data = looked.dataset
    # What the division keeps together at most; pool rows that a test file shadows are left out.
    most = len(data.examples) // (len(data.folds) if data.division == "cross-fit" else 2)
    if many := looked.test is None and found.chain > most:
        chain = (
            f" {plural(found.chain, 'row')} hang together (a template?), too many to keep on one "
            "side: figures flatter."
        )
    yield made(
        "Duplicates",
        "look" if many or found.exact + found.normalised > MANY * len(looked.all) else "good",
        f"{plural(found.all, 'row')} repeat another one ({_likeness(found)}); repeats stay on one "
        f"side of the division.{chain}",
    )


def _likeness(found: Repeats) -> str:
    kinds = (
        (found.exact, "to the letter"),
        (found.normalised, "but for case and punctuation"),
        (found.near, "nearly"),
    )
    return ", ".join(f"{count:,} {how}" for count, how in kinds if count)


def _balance(looked: Facts) -> Iterator[Line]:
    found = looked.balance
    first, last = found.counts[0], found.counts[-1]
    told = (
        f"{plural(len(found.counts), 'label')}, from "
        f"{plural(first.rows, 'row')} ({short(first.label, LABEL)}) to {last.rows:,} "
        f"({short(last.label, LABEL)})."
    )
    status: Status = "look" if found.few or found.majority >= UNEVEN else "good"
    if found.few:
        told += f" Fewer than 5 rows: {listed(found.few, 5)}."
    if found.majority >= UNEVEN:
        told += (
            f" Always answering {short(first.label, LABEL)} gets {of_100(found.majority)} right."
        )
    yield made("Balance", status, told)


def _lengths(looked: Facts) -> Iterator[Line]:
    found = looked.lengths
    unit = "word"
    told = (
        f"{plural(round(found.words), unit)} at the median, {found.words_95:,.0f} at the 95th of "
        f"100, {found.longest:,} at most."
    )
    if looked.languages.unspaced:
        told = f"{found.characters:,.0f} characters at the median (words are not spaced)."
    if found.long:
        told += f" {plural(found.long, 'text')} over 256 words: models cut them."
    if found.short:
        told += f" {plural(found.short, 'text')} of a single word."
    yield made("Lengths", "look" if found.long > MANY * len(looked.all) else "good", told)


def _agreement(looked: Facts) -> Iterator[Line]:
    yield agreement(looked.audit, any(e.annotator for e in looked.all))


def _languages(looked: Facts) -> Iterator[Line]:
    yield languages(looked.languages, len(looked.all))


def _tokens(looked: Facts) -> Iterator[Line]:
    yield tokens(looked.tokens)


def _time(looked: Facts) -> Iterator[Line]:
    yield time(looked.drift, sum(e.timestamp is not None for e in looked.all), len(looked.all))


def _personal(looked: Facts) -> Iterator[Line]:
    yield personal(looked.personal)


def _rows(looked: Facts) -> Iterator[Line]:
    both = looked.rows.test is not None
    told = left_out_rows(looked.rows.pool, "the pool" if both else "the file")
    told += left_out_rows(looked.rows.test or (), "the test file")
    if looked.test is not None:
        known = {e.target for e in looked.pool}
        foreign = sorted({e.target for e in looked.test} - known)
        if foreign:
            told.append(f"Labels of the test file without a row to learn from: {listed(foreign)}.")
    order = sorted_input(looked.pool)
    hint = looked.rows.hint
    if hint and not any(e.group for e in looked.all):
        told.append(f"Rows with the same {hint!r} may belong together: --group-column {hint!r}.")
    if told or order:
        yield made("Rows", "look" if told else "good", " ".join([*told, *order]))


_TELLERS: tuple[Callable[[Facts], Iterator[Line]], ...] = (
    _size,
    _wrong_labels,
    _overlap,
    _conflicts,
    _across,
    _within,
    _balance,
    _agreement,
    _time,
    _languages,
    _tokens,
    _lengths,
    _personal,
    _rows,
)
