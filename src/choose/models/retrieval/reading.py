"""What strategies that read documents share: prompts with passages, how many fit, short answers."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, NamedTuple, Protocol, runtime_checkable

from choose.corpus import Corpus, Passage
from choose.formatting import plural
from choose.models.retrieval.passage_search import NO_DOCUMENTS, WAYS, Found, Library, gold_passage
from choose.models.weights.resolve import weights_digest
from choose.tasks.answering import READ
from choose.types import Example, Item, Task


def in_order(rows: Sequence[Example]) -> list[Example]:
    """Return rows in an order of their ids, so that overlapping pools begin with the same rows."""
    return sorted(rows, key=lambda row: order_key(row.id))


def order_key(id: str) -> bytes:
    """Return by what ids are ordered."""
    return hashlib.sha256(id.encode("utf-8", "replace")).digest()


class Shown(NamedTuple):
    """Items that hold what they read, these passages, and what answers state of them."""

    items: list[Item]
    passages: list[list[Passage]]
    facts: dict[str, Any]


class ReadsDocuments:
    """The base, before another one, of strategies whose model reads passages of documents.

    A subclass has the hyperparameters declared here, and in `fit` sets `library`.
    """

    reads: ClassVar[bool] = True

    encoder: str
    retriever: str
    words: int | None
    k: int | None
    library: Library

    # Row -> how many of the passages that were found for it fit into its prompt, where not all do.
    _fewer: dict[str, int]

    def _measure(self) -> Measures | None:
        """Return what measures a prompt; None where the room for passages is unknown."""
        return None

    def refuses(self, task: Task) -> str | None:
        return NO_DOCUMENTS if not getattr(task, "documents", "") else None

    def weights(self) -> str:
        digest = "" if self.retriever == WAYS[0] else weights_digest(self.encoder)
        model = super().weights()  # type: ignore[misc]
        return f"{model} {digest}".strip()

    def prepare(self) -> None:
        super().prepare()  # type: ignore[misc]
        if self.retriever != WAYS[0]:
            from choose.models.embeddings import load_retriever

            load_retriever(self.encoder)

    def reread(self, corpus: Corpus) -> float:
        self.library, seconds = self.library.reread(corpus)
        return seconds

    def shown_with(self, items: Sequence[Item], searched: Found) -> Shown:
        """Return items that hold what they read, of passages that were found for them."""
        found, further = searched
        fit = self.fitting(items, found)
        pairs = [with_passages(item, some) for item, some in zip(items, fit, strict=True)]
        evidence = tuple(tuple(passage.id for passage in some) for some in fit)
        cut = tuple(tuple(_cut(*both)) for both in zip(found, fit, strict=True))
        return Shown(pairs, fit, {"evidence": evidence, "dropped": cut, "further": further})

    def fitting(
        self,
        items: Sequence[Item],
        found: Sequence[Sequence[Passage]],
        measure: Measures | None = None,
    ) -> list[list[Passage]]:
        """Return the passages that fit into a prompt, best first, whole; of the first a part."""
        measure = measure or self._measure()
        if measure is None:
            return [[*some] for some in found]
        self._fewer = getattr(self, "_fewer", {})
        shown = []
        for item, some in zip(items, found, strict=True):
            fit = fitting(measure, item, some)
            if fit != [*some]:
                self._fewer[item.id] = len(fit) if fit[0] == some[0] else 0
            shown.append(fit)
        return shown

    def _with_search(self, facts: Mapping[str, Any], *notes: str) -> dict[str, Any]:
        """Return facts with what a cached search had cost, and what passages had no room."""
        saved = facts.get("cached_seconds", 0.0) + self.library.cached_seconds
        every = [*notes, *facts["notes"], *self._room_notes()]
        return {**facts, "notes": every, "cached_seconds": saved}

    def _room_notes(self) -> list[str]:
        """Return in how many prompts not all passages fit, and how many fit at least."""
        if not (fewer := getattr(self, "_fewer", {})):
            return []
        least = min(fewer.values())
        fit = f"{plural(least, 'passage')}" if least else "a part of the first passage"
        return [
            f"Not all passages that were found fit into the model's prompt beside "
            f"{plural(len(fewer), 'question')}: {fit} where there was least room. The others were "
            "left out, the worst first."
        ]


@runtime_checkable
class Measures(Protocol):
    """What lays out prompts, and so knows how many tokens passages may have."""

    def room(self, item: Item) -> int:
        """Return how many tokens of passages the model can read beside a question."""

    def tokens(self, text: str) -> int:
        """Return how many tokens a text has."""

    def beginning(self, text: str, limit: int) -> str:
        """Return the beginning of a text that has at most so many tokens."""


def fitting(measure: Measures, item: Item, passages: Sequence[Passage]) -> list[Passage]:
    """Return the first passages that fit beside a question, at least a part of the first."""
    fit, room = [*passages], measure.room(item)
    # A token has at least a byte.
    while fit and len((text := _read(fit)).encode("utf-8", "replace")) > room:
        if measure.tokens(text) <= room:
            break
        if len(fit) == 1:
            [only] = fit
            left = room - measure.tokens(replace(only, text="").shown) - 1
            return [only.shortened(measure.beginning(only.text, max(0, left)))]
        fit.pop()
    return fit


def _cut(found: Sequence[Passage], fit: Sequence[Passage]) -> Iterator[str]:
    """Yield the ids of passages, or of the rest of one, that do not fit into a prompt."""
    if fit and (last := found[len(fit) - 1].span).end > fit[-1].span.end:
        yield last._replace(start=fit[-1].span.end).id
    yield from (passage.id for passage in found[len(fit) :])


def _read(passages: Sequence[Passage]) -> str:
    return "\n".join(passage.shown for passage in passages)


def with_passages(row: Item, passages: Sequence[Passage]) -> Item:
    """Return an item that has what it reads in the field `READ`, before the question."""
    text = _read(passages)
    fields = {READ: text, **row.fields} if passages else {**row.fields}
    return Item(id=row.id, text=row.text, fields=fields)


def example_with(row: Example, passages: Sequence[Passage]) -> Example:
    """Return a labelled row that has what it reads in the field `READ`."""
    return replace(row, fields=with_passages(row.item(), passages).fields, evidence=())


def shown_example(row: Example, library: Library) -> Example:
    """Return a labelled row with the passage that holds its answer, as a demonstration."""
    gold = gold_passage(row, library.corpus, library.words)
    return example_with(row, [gold] if gold is not None else [])


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
