"""What strategies that read share: settings that labelled rows choose, prompts with passages."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Final,
    Generic,
    NamedTuple,
    Protocol,
    TypeVar,
    runtime_checkable,
)

import numpy as np

from choose.corpus import Corpus, Passage
from choose.formatting import plural
from choose.models.classical.inner_selection import is_level
from choose.models.retrieval.passage_search import NO_DOCUMENTS, WAYS, Found, Library, gold_passage
from choose.models.weights.resolve import weights_digest
from choose.tasks.answering import READ
from choose.types import Example, Floats, Item, Task

Setting = TypeVar("Setting")


def in_order(rows: Sequence[Example]) -> list[Example]:
    """Return rows in an order of their ids, so that overlapping pools begin with the same rows."""
    return sorted(rows, key=lambda row: _digest(row.id))


def held_apart(rows: Sequence[Example], share: float) -> tuple[list[Example], list[Example], bool]:
    """Divide rows into two parts, the second of about a share of them.

    Rows whose evidence is in one document are in one part, as are rows that documents link through
    others. Where that leaves a part with less than half of its share, rows are divided one by one;
    the last value says whether documents are apart. Both parts are in the order of `in_order`.
    """
    groups = _by_document(in_order(rows))
    wanted, held = share * len(rows), list[Example]()
    for group in sorted(groups, key=lambda group: min(_digest(row.id) for row in group)):
        if len(held) < wanted and len(held) + len(group) <= 1.5 * wanted:
            held += group
    apart = bool(rows) and wanted / 2 <= len(held)
    if not apart:
        held = in_order(rows)[: round(wanted)]
    ids = {row.id for row in held}
    return [row for row in in_order(rows) if row.id not in ids], in_order(held), apart


def _by_document(rows: Sequence[Example]) -> list[list[Example]]:
    """Return the rows in groups that share no document."""
    group_of: dict[str, list[Example]] = {}
    groups: dict[int, list[Example]] = {}
    for row in rows:
        own = [row]
        documents = {span.document for span in row.evidence}
        for other in {id(g): g for d in documents if (g := group_of.get(d)) is not None}.values():
            own = [*other, *own]
            groups.pop(id(other))
        groups[id(own)] = own
        documents |= {span.document for one in own for span in one.evidence}
        group_of |= dict.fromkeys(documents, own)
    return list(groups.values())


@dataclass
class Trials(Generic[Setting]):
    """The scores of the same labelled rows with several settings.

    Attributes:
        cost: what a setting costs to run, in any unit.
        scores: (rows,) of each setting, in the order in which they were tried.
    """

    cost: Callable[[Setting], float]
    scores: dict[Setting, Floats] = field(default_factory=dict)

    def add(self, setting: Setting, scores: Sequence[float]) -> None:
        """Add the scores of the rows with a setting."""
        self.scores[setting] = np.array(scores, dtype=np.float64)

    def mean(self, setting: Setting) -> float:
        """Return the mean score of a setting."""
        return float(self.scores[setting].mean())

    def best(self) -> Setting:
        """Return the best setting.

        A setting that costs more than another is taken only if it is better by more than one
        standard error of their mean difference (Breiman et al. 1984); of equals the first counts.
        """
        rows, levels = self.scores, dict[float, Setting]()
        for setting, own in rows.items():
            cost = self.cost(setting)
            if cost not in levels or _mean(own) > _mean(rows[levels[cost]]):
                levels[cost] = setting
        by_cost = [levels[cost] for cost in sorted(levels)]
        top = max(by_cost, key=lambda setting: _mean(rows[setting]))
        return next(
            setting for setting in by_cost if is_level(rows[top] - rows[setting]) or setting == top
        )


# Passages that are read where nothing is tried, and numbers that are tried where reading is cheap.
USUAL: Final = 3
NUMBERS: Final = (USUAL, 1, 5)

# Labelled rows, at least, on which a number of passages is chosen.
FEWEST_FOR_NUMBER = 16


class PassagesRead(NamedTuple):
    """How many passages are read, and how that was chosen, in a sentence; empty if it was not."""

    number: int
    note: str = ""


def chosen_number(trials: Trials[int], metric: str) -> PassagesRead:
    """Return the number of passages with the best score, of equals the one that is tried first."""
    best = trials.best()
    means = ", ".join(f"{trials.mean(k):.3f} with {k}" for k in sorted(trials.scores))
    rows = len(trials.scores[best])
    return PassagesRead(best, f"Passages read: {best}. {metric} on {rows} training rows: {means}.")


def _mean(scores: Floats) -> float:
    return round(float(scores.mean()), 9)


def _digest(id: str) -> bytes:
    return hashlib.sha256(id.encode("utf-8", "replace")).digest()


if TYPE_CHECKING:

    class _ModelStrategy:
        """What `ReadsDocuments` stands before: a strategy that loads a model."""

        def weights(self) -> str: ...

        def prepare(self) -> None: ...
else:
    _ModelStrategy = object


class Shown(NamedTuple):
    """Items that hold what they read, these passages, and what answers state of them."""

    items: list[Item]
    passages: list[list[Passage]]
    facts: dict[str, Any]


class ReadsDocuments(_ModelStrategy):
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
        """Return that there are no documents, or None."""
        return NO_DOCUMENTS if not getattr(task, "documents", "") else None

    def weights(self) -> str:
        """Return the digests of the model, and of the encoder if it may be used."""
        digest = "" if self.retriever == WAYS[0] else weights_digest(self.encoder)
        return f"{super().weights()} {digest}".strip()

    def prepare(self) -> None:
        """Load what answers, and the encoder and the index library if they may be used."""
        super().prepare()
        if self.retriever != WAYS[0]:
            from choose.models.embeddings import load_retriever

            load_retriever(self.encoder)

    def reread(self, corpus: Corpus) -> float:
        """Answer from other documents; return the seconds of indexing them."""
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
