"""Facts that are exchanged in documents after training.

Which rows are drawn, and what their facts become, depends on the rows, their documents and the seed
alone, so that every candidate meets the same changes. Answers in scripts without spaces between
words are left as they are.
"""

import random
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from choose.corpus import IMPLIED, UPDATED, Corpus, Document, Span, sentences_around
from choose.files import digest
from choose.tasks.answering import Answering, abstains
from choose.tasks.value_parsing import as_date, occurs, squad_normal
from choose.types import Dataset, Example

# Share of the test rows whose facts are exchanged; at least so many if there are, and at most.
SHARE, LEAST, MOST = 0.2, 50, 100

# Numbers, and answers of other rows, that are tried in place of one.
NUMBERS, DONORS = 20, 200

# Longer answers without a number are left: they are half a sentence, which another cannot replace.
MOST_WORDS = 3

# Characters of a document above which no fact of it is exchanged: every try reads all of it.
LONGEST = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Drill:
    """Documents in which so many facts were exchanged after training.

    The `targets` are the new answers of the test rows on these facts, by id.
    """

    corpus: Corpus
    facts: int
    targets: Mapping[str, str]

    @cached_property
    def ids(self) -> tuple[str, ...]:
        return tuple(sorted(self.targets))

    @cached_property
    def view(self) -> str:
        """Return the name of its view, another one for other changes or rows."""
        return f"{UPDATED}-{digest([self.corpus.digest, list(self.ids)])[:12]}"


def drill_of(dataset: Dataset) -> Drill | None:
    """Return the drill of a dataset; None where documents were not read or no exchange is clear.

    It is cached with the documents, since every trial of a candidate that reads needs it.
    """
    task = dataset.task
    if not isinstance(task, Answering) or task.corpus is None:
        return None
    cache: dict[str, Drill | None] = task.corpus.__dict__.setdefault("_drills", {})
    if (key := dataset.fingerprint) not in cache:
        cache[key] = exchange_facts(
            list(dataset.examples.values()), task.corpus, asked=dataset.asked, seed=0
        )
    return cache[key]


def exchange_facts(
    rows: Sequence[Example], corpus: Corpus, *, asked: Iterable[str], seed: int
) -> Drill | None:
    """Exchange facts in documents by others of the same type; None where no exchange is clear.

    A fact is exchanged if the answer occurs once in its document, as whole words, and no other
    document has its sentence. The new one occurs nowhere else in the document. Questions that share
    the place of an answer all get its new one.

    Answers of some of all `rows` are drawn for others; `asked` are the ids of the test rows.
    Another seed draws other rows and facts.
    """
    ids = _answerable(rows, asked, corpus)
    wanted = min(MOST, max(round(SHARE * len(ids)), min(len(ids), LEAST)))
    exchange = _Exchange(rows, corpus, seed)
    for row in _in_random_order([row for row in rows if row.id in ids], f"{UPDATED} {seed}"):
        if len(exchange.targets.keys() & ids) >= wanted:
            break
        exchange.try_row(row)
    if not (changed := exchange.targets.keys() & ids):
        return None
    texts = {name: edited(corpus.by_id[name].text, own) for name, own in exchange.changes.items()}
    documents = (replace(d, text=texts[d.id]) if d.id in texts else d for d in corpus.documents)
    return Drill(
        corpus=Corpus(tuple(documents)),
        facts=sum(map(len, exchange.changes.values())),
        targets={id: exchange.targets[id] for id in changed},
    )


def _answerable(rows: Sequence[Example], asked: Iterable[str], corpus: Corpus) -> set[str]:
    long = {d.id for d in corpus.documents if len(d.text) > LONGEST}
    return {*asked} & {
        row.id
        for row in rows
        if row.evidence
        and not abstains(row.target)
        and long.isdisjoint(span.document for span in row.evidence)
    }


def _in_random_order(rows: Sequence[Example], draw: str) -> list[Example]:
    return sorted(rows, key=lambda row: (digest([draw, row.id]), row.id))


class _Exchange:
    """The facts that were exchanged so far: `changes` by document, new `targets` by row.

    `rows` are those with an answer and evidence, by the document of its first place.
    """

    def __init__(self, rows: Sequence[Example], corpus: Corpus, seed: int) -> None:
        self.corpus, self.seed = corpus, seed
        answered = [row for row in rows if not abstains(row.target)]
        self.donors = [row.target for row in _in_random_order(answered, f"donor {seed}")]
        self.rows: dict[str, list[Example]] = defaultdict(list)
        for row in answered:
            if row.evidence:
                self.rows[row.evidence[0].document].append(row)
        self.changes: dict[str, list[Change]] = defaultdict(list)
        self.targets: dict[str, str] = {}
        self.old: dict[str, list[str]] = defaultdict(list)
        self.places: dict[str, Span | None] = {}

    def try_row(self, row: Example) -> None:
        span = self._place(row)
        if span is None or row.id in self.targets or not self._alone(span):
            return
        document = self.corpus.by_id[span.document]
        others = [other for other in self.rows[document.id] if other.id != row.id]
        sharing = [row, *(other for other in others if self._place(other) == span)]
        for new in self._values(row):
            if self._fits(document, span, new, sharing):
                self.changes[document.id].append(Change(span.start, span.end, new))
                self.targets |= {one.id: new for one in sharing}
                self.old[document.id] += [text for one in sharing for text in one.targets]
                return

    def _place(self, row: Example) -> Span | None:
        """Return where the answer of a row occurs, if it occurs once, where the evidence is."""
        if row.id not in self.places:
            self.places[row.id] = self._found(row)
        return self.places[row.id]

    def _found(self, row: Example) -> Span | None:
        if any(text.casefold() in IMPLIED for text in row.targets):
            return None
        [name, *others] = {span.document for span in row.evidence}
        document = self.corpus.by_id.get(name)
        if others or document is None or occurs(row.targets, f"{row.text} {document.title}"):
            return None
        found = [Span(name, *place) for place in places_of(row.target, document.text)]
        held = len(found) == 1 and any(found[0].overlaps(span) for span in row.evidence)
        return found[0] if held else None

    def _alone(self, span: Span) -> bool:
        text = self.corpus.by_id[span.document].text
        begin, end = sentences_around(text, span.start, span.end)
        sentence = text[begin:end].strip()
        others = (d.text for d in self.corpus.documents if d.id != span.document)
        return not any(sentence in other for other in others)

    def _values(self, row: Example) -> Iterator[str]:
        draw, kind = random.Random(f"{UPDATED} {self.seed} {row.id}"), form(row.target)
        if kind == "number":
            numbers = (renumbered(row.target, draw) for _ in range(NUMBERS))
            yield from (new for new in numbers if new is not None)
            return
        words, own = len(row.target.split()), {*squad_normal(row.target).split()}
        start = draw.randrange(len(self.donors))
        for new in (*self.donors[start:], *self.donors[:start])[:DONORS]:
            near = abs(len(new.split()) - words) <= 1 and max(words, len(new.split())) <= MOST_WORDS
            if near and form(new) == kind and not own & {*squad_normal(new).split()}:
                yield new

    def _fits(self, document: Document, span: Span, new: str, sharing: Sequence[Example]) -> bool:
        """Return whether a document is clear after one more change: old facts gone, new ones once.

        Nor does the new fact occur in the title or in a question.
        """
        others = self.changes[document.id]
        if any(c.start < span.end and span.start < c.end for c in others):
            return False
        asked = " ".join([document.title, *(row.text for row in sharing)])
        before = [text for row in sharing for text in row.targets]
        if occurs([new], f"{document.text} {asked}") or occurs(before, new):
            return False
        changes = [*others, Change(span.start, span.end, new)]
        text = edited(document.text, changes)
        return not occurs([*self.old[document.id], *before], text) and all(
            [*places_of(change.new, text)] == [_place_after(change, changes)] for change in changes
        )


@dataclass(frozen=True, slots=True)
class Change:
    """Characters of a document that become others."""

    start: int
    end: int
    new: str


def places_of(answer: str, text: str) -> Iterator[tuple[int, int]]:
    if not answer.strip():
        return
    before = r"(?<![\w-])(?<!\d[.,:/])" if answer[0].isalnum() else r"(?<!\w)"
    after = r"(?![\w-])(?![.,:/]\d)" if answer[-1].isalnum() else r"(?!\w)"
    for match in re.finditer(f"{before}{re.escape(answer)}{after}", text):
        yield match.span()


def edited(text: str, changes: Iterable[Change]) -> str:
    for change in sorted(changes, key=lambda c: -c.start):
        text = text[: change.start] + change.new + text[change.end :]
    return text


def _place_after(change: Change, changes: Iterable[Change]) -> tuple[int, int]:
    before = (c for c in changes if c.end <= change.start)
    start = change.start + sum(len(c.new) - (c.end - c.start) for c in before)
    return start, start + len(change.new)


# Digits of a number, a date, a time or an ordinal, or a small count in letters.
_FIGURE = re.compile(
    r"(?<![^\W\d])(?P<digits>\d+)(?P<rank>(?:st|nd|rd|th)\b|(?!\w))|"
    r"\b(?:two|three|four|five|six|seven|eight|nine|ten|eleven|twelve)\b",
    re.IGNORECASE,
)

_COUNTS = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven")

# Words of names that are not capitalised.
_SMALL = frozenset(
    {"a", "and", "at", "de", "du", "for", "in", "la", "of", "on", "the", "to", "von"}
)


def form(text: str) -> str:
    """Return the type of an answer: with numbers, a name, or another phrase."""
    if _FIGURE.search(text):
        return "number"
    capital = [word[:1].isupper() for word in text.split() if word.casefold() not in _SMALL]
    return "name" if capital and all(capital) else "phrase"


def renumbered(text: str, draw: random.Random) -> str | None:
    """Return a text with other numbers, written as before; None without any.

    Each run of digits becomes up to 9 lower, or higher where it would lose a digit: so a time stays
    a time, and most dates dates.
    """
    day = as_date(text)

    def other(match: re.Match[str]) -> str:
        written = match[0]
        if not written[0].isdigit():
            new = draw.choice([word for word in _COUNTS if word != written.lower()])
            return new.capitalize() if written[:1].isupper() else new
        digits = match["digits"]
        value = int(digits)
        least = 10 ** (len(str(value)) - 1)  # with as many digits
        lower = value - draw.randint(1, min(9, value - least)) if value > least else None
        number = lower or value + draw.randint(1, 8)
        return str(number).zfill(len(digits)) + (_rank(number) if match["rank"] else "")

    new = _FIGURE.sub(other, text)
    return None if new == text or (day is not None and as_date(new) is None) else new


def _rank(number: int) -> str:
    """Return what follows the digits of an ordinal, such as the th of 28th."""
    return "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
