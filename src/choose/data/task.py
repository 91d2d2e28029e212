"""From labelled rows to the task that strategies see."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from choose.errors import StudyError, did_you_mean
from choose.types import Example, Task

_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_CAMEL = re.compile(r"[A-Za-z0-9]*(?:[a-z0-9][A-Z]|[A-Z][A-Z][a-z])[A-Za-z0-9]*")


def task_from(
    examples: Iterable[Example],
    names: Mapping[str, str] | None = None,
    descriptions: Mapping[str, str] | None = None,
    instruction: str | None = None,
) -> Task:
    """Collect the labels, numbers by value and the rest by alphabet, and make them readable.

    Raises:
        StudyError: if a name or a description is for a label that does not occur, or if two
            labels would read alike.
    """
    labels = tuple(sorted({e.target for e in examples}, key=_natural))
    given, described = dict(names or {}), dict(descriptions or {})
    _check_known(given, labels, "names")
    _check_known(described, labels, "descriptions")
    shown = tuple(given[n].strip() if n in given else readable(n) for n in labels)
    _check_distinct(labels, shown)
    return Task(labels=labels, names=shown, descriptions=described, instruction=instruction)


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


def _natural(label: str) -> tuple[list[tuple[int, int, str]], str]:
    parts = re.findall(r"[0-9]+|[^0-9]+", label)
    return [(0, int(p), "") if p[0] in "0123456789" else (1, 0, p) for p in parts], label


def _check_known(given: Mapping[str, str], labels: tuple[str, ...], section: str) -> None:
    for label, text in given.items():
        if label not in labels:
            some = ", ".join(repr(known) for known in labels[:10])
            more = f" and {len(labels) - 10} more" if len(labels) > 10 else ""
            raise StudyError(
                f"[task.{section}] is about a label {label!r} that no row has."
                f"{did_you_mean(label, labels)} The labels are {some}{more}."
            )
        if not text.strip():
            raise StudyError(
                f"[task.{section}] is empty for the label {label!r}. Write it, or leave it out."
            )


def _check_distinct(labels: tuple[str, ...], shown: tuple[str, ...]) -> None:
    seen: dict[str, str] = {}
    for label, name in zip(labels, shown, strict=True):
        other = seen.setdefault(name.casefold(), label)
        if other != label:
            raise StudyError(
                f"The labels {other!r} and {label!r} both read {name!r}, so a model could not "
                "tell them apart. If they are one label, write it in one way in the data; if not, "
                "give one of them another name in [task.names]."
            )
