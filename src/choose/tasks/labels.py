"""Labels: read them from a column, refuse what makes no classification, and build its task."""

import re
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar, Literal

from choose.errors import DataError, StudyError, quoted, rows_named
from choose.schema.study_sections import TaskSection
from choose.tasks.base import check_named
from choose.tasks.value_parsing import scalar_text, type_name
from choose.types import Example, Task

# What may part several labels in a cell.
SEPARATORS = (";", "|", ",")


@dataclass(frozen=True, slots=True, kw_only=True)
class Classification(Task):
    """The labels in a fixed order, with readable names; `names` are aligned with `labels`."""

    own: ClassVar[tuple[str, ...]] = ("right",)
    headline: str = "right"
    kind: Literal["classification"] = "classification"

    def problem_with(self, output: str) -> str | None:
        return None if output in self.labels else f"{output!r} is no label"

    def own_scores(self, output: str, targets: Sequence[str]) -> dict[str, float]:
        return {"right": float(output in targets)}

    def classes(self, target: str) -> tuple[str, ...]:
        return (target,)


_LIST = re.compile(r"""\[\s*(['"]).*\1\s*\]""", re.DOTALL)


def label_cells(values: Sequence[Any], rows: Sequence[int], column: str) -> list[tuple[str, ...]]:
    """Return the label of each cell of a column, stripped; none of an empty cell."""
    nested = [row for row, v in zip(rows, values, strict=True) if isinstance(v, list | dict)]
    if nested:
        raise DataError(
            f"The label column {column!r} holds lists or objects ({rows_named(nested)}). In a "
            "classification each row has one label. For sets of labels, make every cell a list and "
            "state --kind multilabel; for records, make every cell one JSON object."
        )
    kinds: dict[str, int] = {}
    for row, value in zip(rows, values, strict=True):
        if value is not None:
            kinds.setdefault(type_name(value), row)
    if len(kinds) > 1:
        types = " and ".join(f"{kind} (row {row})" for kind, row in kinds.items())
        raise DataError(
            f"The labels in {column!r} are of mixed type: {types}. Write all of them as text."
        )
    labels = [(scalar_text(value) or "").strip() for value in values]
    known = set(labels) - {""}
    several = {label for label in known if _LIST.fullmatch(label) or _is_joined(label, known)}
    if several:
        bad = [row for row, label in zip(rows, labels, strict=True) if label in several]
        raise DataError(
            f"The label column {column!r} holds several labels in one cell ({rows_named(bad)}), "
            f"such as {quoted(min(several))}. In a classification each row has one label: keep the "
            "main one, or make the pair a label of its own. If rows may have several labels, say "
            "so: --kind multilabel."
        )
    return [(label,) if label else () for label in labels]


def check_classes(labels: Sequence[str]) -> None:
    distinct = set(labels)
    if len(distinct) == 1:
        raise DataError(
            f"All {len(labels):,} labelled rows have the label {quoted(labels[0])}. "
            "There must be at least two labels."
        )
    if 2 * len(distinct) > len(labels) and all(map(_FRACTION.fullmatch, distinct)):
        raise DataError(
            f"The labels are numbers, such as {quoted(labels[0])}, which are not predicted. Cut "
            "them into classes, such as low and high."
        )
    if 2 * len(distinct) > len(labels):
        raise DataError(
            f"There are {len(distinct):,} different labels in {len(labels):,} labelled rows: the "
            "label column looks like an id or free text. There must be at least two rows a label "
            "on average. Name the right column with --label-column. If these are texts that a "
            "model should write, say so: --kind writing."
        )


# A number that is no id.
_FRACTION = re.compile(r"[+-]?\d{0,12}[.,]\d{1,12}|[+-]?\d{1,3}")


def _is_joined(label: str, known: set[str]) -> bool:
    parts = ([part.strip() for part in label.split(separator)] for separator in SEPARATORS)
    return any(len(each) > 1 and known.issuperset(each) for each in parts)


_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")

_CAMEL = re.compile(r"[A-Za-z0-9]*(?:[a-z0-9][A-Z]|[A-Z][A-Z][a-z])[A-Za-z0-9]*")


def task_from(examples: Iterable[Example], section: TaskSection | None = None) -> Task:
    """Return the task with sorted labels (numbers by value) and readable names."""
    section = section or TaskSection()
    labels = tuple(sorted({e.target for e in examples}, key=label_order))
    return Classification(
        labels=labels,
        names=named_labels(labels, section),
        descriptions=dict(section.descriptions),
        instruction=section.instruction,
    )


def named_labels(labels: tuple[str, ...], section: TaskSection) -> tuple[str, ...]:
    names = section.names
    check_named("names", names, labels, "label")
    check_named("descriptions", section.descriptions, labels, "label")
    shown = tuple(names[n].strip() if n in names else readable(n) for n in labels)
    _check_distinct(labels, shown)
    return shown


def readable(label: str) -> str:
    """Return a label as a person would write it: ``card_arrival`` as ``card arrival``."""
    words = re.sub(r"[\s_]+", " ", label).strip()
    if " " not in label.strip():
        words = re.sub(r"(?<=\w)-+(?=\w)", " ", words)
        words = " ".join(_split(word) for word in words.split(" "))
    return words or label


def _split(word: str) -> str:
    if not _CAMEL.fullmatch(word):
        return word
    parts = _HUMP.sub(" ", word).split(" ")
    return " ".join(part if len(part) > 1 and part.isupper() else part.lower() for part in parts)


def label_order(label: str) -> tuple[list[tuple[int, int, str]], str]:
    """Return a key that sorts labels as people do: numbers in them by value.

    The value is not computed: labels may have thousands of digits.
    """
    parts = re.findall(r"0*([0-9]+)|([^0-9]+)", label)
    return [(1, 0, text) if text else (0, len(digits), digits) for digits, text in parts], label


def _check_distinct(labels: tuple[str, ...], shown: tuple[str, ...]) -> None:
    seen: dict[str, str] = {}
    names = dict(zip(labels, shown, strict=True))
    for label, name in names.items():
        look = skeleton(name)
        if not look or not skeleton(label):
            raise StudyError(
                f"The label {label!a} shows nothing: its characters are invisible. Write a "
                "label that can be read."
            )
        # Signs that look like capitals alone hide case: it is folded before them as well.
        twins = {seen.setdefault(one, label) for one in (look, skeleton(name.casefold()))} - {label}
        if not twins:
            continue
        twin = min(twins)
        # Where the names differ in look-alike characters alone, these are spelt out.
        same = names[twin].casefold() == name.casefold()
        spelt, nearly = (repr, "") if same else (ascii, " but for look-alike characters")
        raise StudyError(
            f"The labels {spelt(twin):.80} and {spelt(label):.80} have the same name "
            f"{quoted(name)}{nearly}: a model cannot distinguish them. If they are one label, "
            "write it in one way in the data; if not, give one of them another name in "
            "[task.names]."
        )


# Letters of other scripts (Cyrillic, Greek, Armenian and Latin with a twin), and signs, that look
# like ASCII ones; from Unicode's confusables.
_ALIKE = str.maketrans(
    "АВЕКМНОРСТУХІЈЅԌԚԜ"
    "аеорсухіјѕԁһԛԝӏѵ"  # noqa: RUF001
    "ΑΒΕΖΗΙΚΜΝΟΡΤΥΧαικνορυϲ"
    "օսհɑɡı‐‑‒–—―−‘’“”",  # noqa: RUF001
    "ABEKMHOPCTYXIJSGQWaeopcyxijsdhqwlvABEZHIKMNOPTYXaiknopucouhagi-------''\"\"",
)

# Signs without a glyph that are letters or marks by category.
_BLANK = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)


def skeleton(text: str) -> str:
    """Return what the eye sees of a text: the same for Unicode forms, widths and look-alikes."""
    visible = (c for c in text if unicodedata.category(c) not in ("Cc", "Cf") or c.isspace())
    normal = unicodedata.normalize("NFKD", _BLANK.sub("", "".join(visible)))
    return " ".join(normal.translate(_ALIKE).casefold().translate(_ALIKE).split())


# A number as a label; longer ones and those in powers of ten are ids.
_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,60}\.?[0-9]{0,60}|\.[0-9]{1,60})")


def check_targets(pool: Sequence[Example], test: Sequence[Example] | None) -> None:
    """Refuse rows that make no classification, and a test file with other labels."""
    check_numbers({e.target for e in [*pool, *(test or ())]})
    if len({e.target for e in pool}) == 1:
        check_classes([e.target for e in pool])
    check_classes([e.target for e in [*pool, *(test or ())]])
    known, tested = {e.target for e in pool}, {e.target for e in test or pool}
    if not known & tested:
        raise DataError(
            f"No label of the test file occurs in the pool: {sorted(tested)[0]!r} there, "
            f"{sorted(known)[0]!r} here. Write the labels of both files in one way."
        )


def check_numbers(labels: Collection[str]) -> None:
    """Refuse a number written in two ways, such as ``1`` and ``1.0``."""
    written: dict[Decimal, str] = {}
    for label in sorted(labels):
        if not _NUMBER.fullmatch(label):
            continue
        other = written.setdefault(Decimal(label), label)
        if other != label:
            raise DataError(
                f"The labels {other!r} and {label!r} are the same number. Write it in one way."
            )
