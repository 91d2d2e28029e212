"""Values and dates of records in texts: words, where a value occurs, and how it is written."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import lru_cache
from typing import Self

from choose.tasks.extraction import Extraction
from choose.types import Answers, Example, Item, Task

_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

_MONTHS = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)  # fmt: skip

_COUNTS = {"a": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "ten": 10}

# Words around a date that change nothing.
_AROUND = re.compile(r"^(?:by|on|for|before|from|the|coming)\s+|,")

_ISO = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})")

_NUMBERS = re.compile(r"(\d{1,2})[/.-](\d{1,2})(?:[/.-](\d{2}|\d{4}))?")

_NAMED = re.compile(r"(\d{1,2})(?:st|nd|rd|th)?(?: of)? ([a-z]{3,9})(?: (\d{4}))?")

_MONTH_FIRST = re.compile(r"([a-z]{3,9}) (\d{1,2})(?:st|nd|rd|th)?(?: (\d{4}))?")

_IN = re.compile(r"(?:in )?(\d{1,2}|[a-z]+) (day|week)s?(?: (?:time|today|from today|from now))?")

_ORDINAL = re.compile(r"(\d{1,2})(?:st|nd|rd|th)")


def date_in(text: str, reference: date | None, day_first: bool = True) -> date | None:
    """Return the date that a whole text means on the day of `reference`, or None.

    A date without a year, or without a month, is the next one; "Tuesday" is the next Tuesday,
    "next Tuesday" that of the following calendar week. Without a reference only complete dates
    are read.
    """
    words = " ".join(_AROUND.sub(" ", " ".join(text.casefold().split())).split())
    while (shorter := _AROUND.sub("", words)) != words:
        words = shorter.strip()
    parts = words.split()
    # "Thursday 14 January": the number says more than the day of the week.
    if len(parts) > 1 and weekday_of(parts[0]) is not None and any(c.isdigit() for c in words):
        words = " ".join(parts[1:]).removeprefix("the ")
    return _complete(words, reference, day_first) or (
        _relative(words, reference) if reference is not None else None
    )


@lru_cache(maxsize=100_000)
def part_of_date(word: str) -> bool:
    """Return whether a text without such a word means no day: it is in all that `date_in` reads."""
    lower = word.casefold()
    return (
        any(c.isdigit() for c in lower)
        or weekday_of(lower) is not None
        or lower.startswith(("today", "tonight", "tomor", "tommor", "tmrw", "day", "week"))
    )


def _complete(words: str, reference: date | None, day_first: bool) -> date | None:
    if match := _ISO.fullmatch(words):
        return _date(match[1], int(match[2]), match[3], reference)
    if match := _NUMBERS.fullmatch(words):
        day, month = (match[1], match[2]) if day_first else (match[2], match[1])
        return _date(match[3], int(month), day, reference)
    if (match := _NAMED.fullmatch(words)) and (month_number := month_of(match[2])):
        return _date(match[3], month_number, match[1], reference)
    if (match := _MONTH_FIRST.fullmatch(words)) and (month_number := month_of(match[1])):
        return _date(match[3], month_number, match[2], reference)
    return None


def _relative(words: str, today: date) -> date | None:
    monday = today - timedelta(days=today.weekday())
    if words in ("today", "tonight", "tomorrow", "tmrw", "tommorow", "tomorow"):
        return today + timedelta(days=words.startswith(("tom", "tm")))
    words = words.replace("of the ", "of ")
    if words in ("day after tomorrow", "end of week", "end of this week", "end of next week"):
        ends = monday + timedelta(days=4 + 7 * ("next" in words))
        return today + timedelta(days=2) if words.startswith("day") else ends
    if match := _ORDINAL.fullmatch(words):
        month = today.month + (int(match[1]) < today.day)
        return _date(str(today.year + (month > 12)), (month - 1) % 12 + 1, match[1], today)
    which, _, name = words.rpartition(" ")
    if (weekday := weekday_of(name)) is not None and which in ("", "next", "this"):
        if which:
            return monday + timedelta(days=weekday + 7 * (which == "next"))
        return today + timedelta(days=(weekday - today.weekday() - 1) % 7 + 1)
    first, _, rest = words.partition(" ")
    if (weekday := weekday_of(first)) is not None and rest in ("week", "next week", "of next week"):
        if rest == "week":
            return today + timedelta(days=(weekday - today.weekday() - 1) % 7 + 8)
        return monday + timedelta(days=weekday + 7)
    if match := _IN.fullmatch(words):
        count = int(match[1]) if match[1].isdigit() else _COUNTS.get(match[1])
        return today + timedelta(days=count * (7 if match[2] == "week" else 1)) if count else None
    return None


def _date(year: str | None, month: int, day: str, reference: date | None) -> date | None:
    try:
        if year is not None:
            return date(int(year) + (2000 if len(year) == 2 else 0), month, int(day))
        if reference is None:
            return None
        found = date(reference.year, month, int(day))
        return found if found >= reference else date(reference.year + 1, month, int(day))
    except ValueError:
        return None


def month_of(word: str) -> int | None:
    return next((n for n, name in enumerate(_MONTHS, 1) if name.startswith(word)), None)


def weekday_of(word: str) -> int | None:
    """Return the day of the week, Monday 0, that a word, perhaps shortened, names."""
    if len(word) < 3:
        return None
    short = word.rstrip(".").removesuffix("s")
    return next((n for n, name in enumerate(_DAYS) if name.startswith(short)), None)


# Words of a text that are read; others hold no value.
MOST_WORDS = 1_000

_WORD = re.compile(r"\w+(?:[.,:'/-]\w+)*|[^\w\s]")

# Words inside a value that people leave out when they write it down.
SMALL_WORDS = frozenset({"of", "the", "a", "an", "x"})

# Number words, and the digits that values have in their place.
NUMBER_WORDS = {
    "one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7",
    "eight": "8", "nine": "9", "ten": "10", "eleven": "11", "twelve": "12", "fifteen": "15",
    "twenty": "20", "thirty": "30", "forty": "40", "fifty": "50", "hundred": "100",
}  # fmt: skip

# Words of the longest value that is looked for in a text.
LONGEST_VALUE = 30


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a text with its place, and whether it is the first of a line."""

    text: str
    start: int
    end: int
    breaks: bool = False


@dataclass(frozen=True, slots=True)
class Span:
    """A value of a field in a text: its words from `first` to before `last`."""

    field: str
    first: int
    last: int
    probability: float = 1.0


def words_of(text: str) -> list[Word]:
    found: list[Word] = []
    end = 0
    for match in _WORD.finditer(text):
        if len(found) == MOST_WORDS:
            break
        breaks = "\n" in text[end : match.start()]
        end = match.end()
        found.append(Word(match[0], match.start(), end, breaks))
    return found


def written(text: str, words: Sequence[Word], span: Span) -> str:
    return text[words[span.first].start : words[span.last - 1].end]


@lru_cache(maxsize=100_000)
def squashed(text: str) -> str:
    """Return the letters and digits of a text, folded, to compare a value with what occurs there.

    Numbers in words are digits.
    """
    folded = "".join(c for c in text.casefold() if c.isalnum())
    return NUMBER_WORDS.get(folded, folded)


def places(words: Sequence[Word], longest: int) -> dict[str, list[tuple[int, int]]]:
    """Return where each run of words occurs, as (first, after the last), by its squashed text.

    A run begins and ends with a word of letters or digits; inside, small words may be left out.
    Runs of more than `longest` characters, squashed, may be missing.
    """
    parts = [squashed(word.text) for word in words]
    small = [word.text.casefold() in SMALL_WORDS for word in words]
    found: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for first, part in enumerate(parts):
        whole = short = ""
        for last in range(first, min(first + LONGEST_VALUE, len(parts)) if part else first):
            whole += parts[last]
            short += "" if small[last] and last > first else parts[last]
            if len(short) > longest:
                break
            if parts[last]:
                found[whole].append((first, last + 1))
                if short != whole:
                    found[short].append((first, last + 1))
    return found


def aligned(words: Sequence[Word], values: Sequence[tuple[str, str]]) -> list[Span]:
    """Return the spans of (field, value) pairs that occur in a text, long values first.

    A value that occurs there without its beginning, such as 12345 for TS-12345, is found by its
    digits. Values that do not occur there have no span.
    """
    ordered = sorted(values, key=lambda pair: -len(pair[1]))
    wanted = [(name, squashed_value(value), _code_of(value)) for name, value in ordered]
    longest = max((len(run) for _, *forms in wanted for run in forms), default=0)
    runs, taken = places(words, longest), [False] * len(words)
    spans = []
    for name, *forms in wanted:
        for run in forms:
            free = [(a, b) for a, b in runs.get(run, ()) if not any(taken[a:b])]
            if run and free:
                first, last = free[0]
                taken[first:last] = [True] * (last - first)
                spans.append(Span(name, first, last))
                break
    return spans


def _code_of(value: str) -> str:
    """Return a value from its first digit on, squashed, if that is long enough to be found."""
    code = squashed(value.lstrip("".join(c for c in value if not c.isdigit())))
    return code if len(code) > 3 else ""


def squashed_value(value: str) -> str:
    """Return a value as `places` has it: its words squashed one by one."""
    return "".join(squashed(word.text) for word in words_of(value))


def is_written_as(text: str, value: str) -> bool:
    """Return whether a text is how a value is written: less its beginning, or with small words."""
    words = [word for word in words_of(text) if word.text.casefold() not in SMALL_WORDS]
    whole = squashed_value(value)
    return whole.endswith((squashed_value(text), "".join(squashed(w.text) for w in words)))


# Share of a field's values that begin with what is then added to those that lack it.
USUAL = 0.9


class Rewriting:
    """How values of a field are written where the text has them otherwise: learnt from pairs.

    A usual beginning that the text lacks is added (``TS-`` before a number), small words that
    values of the field seldom have are left out, and numbers in words become digits where values
    have them.
    """

    def __init__(self, prefixes: Mapping[str, str], dropped: Mapping[str, Sequence[str]]) -> None:
        self.prefixes, self.dropped = dict(prefixes), {k: list(v) for k, v in dropped.items()}

    @classmethod
    def learnt(cls, pairs: Sequence[tuple[str, str, str]]) -> Self:
        """Learn from (field, as written in the text, value)."""
        prefixes: dict[str, Counter[str]] = defaultdict(Counter)
        dropped: dict[str, Counter[str]] = defaultdict(Counter)
        for name, text, value in pairs:
            short, whole = squashed_value(text), squashed_value(value)
            if whole.endswith(short) and len(value) > len(text) and len(whole) > len(short):
                prefixes[name][value[: len(value) - len(text)]] += 1
            kept = {*value.casefold().split()}
            for word in (SMALL_WORDS | {*NUMBER_WORDS}) & {*text.casefold().split()}:
                dropped[name][word] += 1 if word not in kept else -1
        common = {name: counts.most_common(1)[0][0] for name, counts in prefixes.items()}
        return cls(
            {name: text for name, text in common.items() if _is_usual(text, name, pairs)},
            {name: sorted(w for w, n in c.items() if n > 0) for name, c in dropped.items()},
        )

    def __call__(self, name: str, text: str) -> str:
        prefix, dropped = self.prefixes.get(name, ""), self.dropped.get(name, ())
        words = [
            NUMBER_WORDS.get(word.casefold(), "") if word.casefold() in dropped else word
            for word in text.split()
        ]
        value = " ".join(filter(None, words)) or text
        lacking = prefix and not squashed(value).startswith(squashed(prefix))
        return prefix + value if lacking else value


def _is_usual(prefix: str, name: str, pairs: Sequence[tuple[str, str, str]]) -> bool:
    values = [value for field, _, value in pairs if field == name]
    return sum(value.startswith(prefix) for value in values) >= USUAL * len(values)


# A field is literal if so large a share of its right values, of so many, occur in their inputs.
LITERAL, FEWEST = 0.95, 10


def literal_fields(task: Task, rows: Iterable[Example]) -> tuple[str, ...]:
    """Return the fields of records whose right values nearly always occur in their rows."""
    if not isinstance(task, Extraction):
        return ()
    found, stand = Counter[str](), Counter[str]()
    for row in rows:
        for (field, _), (_, stands) in task.values(row.target, row.item()).items():
            found[field] += 1
            stand[field] += stands
    named = (field for field, count in found.items() if count >= FEWEST)
    return tuple(sorted(field for field in named if stand[field] >= LITERAL * found[field]))


def without_inventions(
    answers: Answers, items: Sequence[Item], task: Task, fields: Sequence[str]
) -> Answers:
    """Return answers without values of some fields that their rows do not hold.

    `raw` keeps an answer that was changed as it was.
    """
    if not fields or not isinstance(task, Extraction):
        return answers
    outputs, raw = list(answers.outputs), list(answers.raw or (None,) * len(answers))
    for place, (output, item) in enumerate(zip(answers.outputs, items, strict=True)):
        if output is None:
            continue
        values = task.values(output, item)
        drop = {key for key, (_, stands) in values.items() if key[0] in fields and not stands}
        if drop:
            outputs[place], raw[place] = task.without(output, drop), raw[place] or output
    return replace(answers, outputs=tuple(outputs), raw=tuple(raw))


def dropped_note(fields: Sequence[str]) -> str:
    """Say which values are dropped, as a sentence; empty where none are."""
    return f"Values of {', '.join(fields)} that the text does not hold are dropped." * bool(fields)
