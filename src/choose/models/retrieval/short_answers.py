"""Short answers out of sentences: what repeats the question is left out of an answer."""

from __future__ import annotations

import re

# Words before and after what answers a question in English.
_SMALL = re.compile(
    "a|and?|are|as|at|be|been|by|did|do|does|for|from|had|has|have|her?|his|how|i[ns]?|its?|not?|of"
    "|on|or|our|she|so|than|that|the|their|them|then|there|these|they|this|those|to|was|we|were"
    "|what|when|where|which|who|whom|whose|why|will|with|your?"
)

_ENDS = re.compile(r"[.;:!?]$")

_EDGES = re.compile(r"^\W+|\W+$")


def without_echo(answer: str, question: str, passage: str) -> str:
    """Return the first words of an answer that occur in the passage and not in the question.

    They are what a model that answers in sentences adds: of "The fee is 2.9 % for all cards" to
    "What is the fee?", "2.9 %". An answer that repeats nothing and occurs in the passage as a whole
    is left as it is, as is one without such words.
    """
    asked = {_form(word) for word in question.split()}
    read = [form for word in passage.split() if (form := _form(word))]
    words = _words(answer)
    forms = [form for _, form in words]
    echoes = any(form in asked and not _SMALL.fullmatch(form) for form in forms)
    if not echoes and _longest(forms, read) == len(forms):
        return answer
    run: list[tuple[str, str]] = []
    for word, form in words:
        if form not in asked or _SMALL.fullmatch(form):
            run.append((word, form))
        else:
            if found := _first(run, read):
                return found
            run = []
        if _ENDS.search(word):
            if found := _first(run, read):
                return found
            run = []
    return _first(run, read) or answer


def _words(answer: str) -> list[tuple[str, str]]:
    """Return words with their forms; a sign alone, such as %, belongs to the word before it."""
    words: list[tuple[str, str]] = []
    for word in answer.split():
        if form := _form(word):
            words.append((word, form))
        elif words:
            words[-1] = f"{words[-1][0]} {word}", words[-1][1]
    return words


def _form(word: str) -> str:
    return _EDGES.sub("", word.casefold())


def _first(run: list[tuple[str, str]], read: list[str]) -> str | None:
    """Return the first words of a run that occur in what was read, without small words around."""
    start = 0
    while start < len(run):
        count = _longest([form for _, form in run[start:]], read)
        part = run[start : start + count]
        while part and _SMALL.fullmatch(part[0][1]):
            part = part[1:]
        while part and _SMALL.fullmatch(part[-1][1]):
            part = part[:-1]
        if part:
            return " ".join(word for word, _ in part).strip(" ,.;:!?\"'")
        start += max(count, 1)
    return None


def _longest(forms: list[str], read: list[str]) -> int:
    """Return how many of the first words occur in a text one after another."""
    best = 0
    for place, word in enumerate(read):
        if forms and word == forms[0]:
            count = 1
            while (
                count < len(forms)
                and place + count < len(read)
                and read[place + count] == forms[count]
            ):
                count += 1
            best = max(best, count)
    return best
