"""Ranking: the answer to a question is a list of documents, the most relevant one first.

Targets and answers are texts, JSON objects by the ids of documents: of a target the grades of those
that are relevant, of an answer the scores of those found, in the order of their ranks. These are
the qrels and the run of `trec_eval`.
"""

import json
import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, ClassVar, Literal, NamedTuple

from choose.corpus import Corpus, Span
from choose.errors import quoted
from choose.tasks.base import Draw
from choose.tasks.metrics import RANKING, metrics_of
from choose.tasks.value_parsing import distinct_keys, json_in, scalar_text
from choose.types import Task

# Ranks that count, and documents of an answer.
DEPTH = 10


class Place(NamedTuple):
    """What a cell names: a document, or the characters `start` to `end` of one."""

    document: str
    start: int | None = None
    end: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking(Task):
    """A task whose answers are documents of `corpus`, of which `documents` is the digest."""

    own: ClassVar[tuple[str, ...]] = metrics_of(RANKING)
    documents: str = ""
    corpus: Corpus | None = field(default=None, compare=False, repr=False)
    headline: str = own[0]
    kind: Literal["ranking"] = "ranking"

    def problem_with(self, output: str) -> str | None:
        try:
            found = read_scores(output)
        except ValueError as error:
            return str(error)
        known = found if self.corpus is None else self.corpus.by_id
        strange = next((id for id in found if id not in known), None)
        return None if strange is None else f"it names {quoted(strange)}, which is no document"

    def own_scores(self, output: str, targets: Sequence[str]) -> dict[str, float]:
        return rank_scores([*read_scores(output)], read_scores(targets[0]))

    def parts(self, text: str) -> dict[str, float]:
        return dict(read_scores(text))

    def shown(self, text: str, target: str) -> str:
        """Return a ranking or a target for readers: the first ids, and the ranks that are right."""
        ids, right = [*read_scores(text)], read_scores(target)
        if text == target:
            return ", ".join(f"{id} (grade {g:g})" if g != 1 else id for id, g in right.items())
        listed = [f"{rank}. {id}" for rank, id in enumerate(ids[:3], 1)]
        ranks = [rank for rank, id in enumerate(ids[:DEPTH], 1) if id in right]
        listed += [f"{rank}. {ids[rank - 1]}" for rank in ranks if rank > 3]
        where = ", ".join(map(str, ranks)) if ranks else f"none of the first {DEPTH}"
        return f"{'; '.join(listed) or 'nothing'} (relevant: {where})"

    def stratum(self, target: str) -> str:
        return str(len(read_scores(target)).bit_length())


def rank_scores(ids: Sequence[str], grades: Mapping[str, float]) -> dict[str, float]:
    """Return each metric for a ranking, best first, and the grades of relevant documents.

    nDCG is that of `trec_eval` (Järvelin and Kekäläinen 2002, with the grade itself as gain): a
    document of grade g at rank r adds g / log2(r + 1). All are 0 where nothing is relevant.
    """
    if not grades:
        return dict.fromkeys(Ranking.own, 0.0)
    gains = [grades.get(id, 0.0) for id in ids[:DEPTH]]
    ideal = sorted(grades.values(), reverse=True)[:DEPTH]
    first = next((rank for rank, gain in enumerate(gains, 1) if gain > 0), None)
    return {
        "ndcg@10": min(1.0, _discounted(gains) / _discounted(ideal)),
        "mrr@10": 1 / first if first else 0.0,
        "hit@1": float(first == 1),
        "hit@5": float(first is not None and first <= 5),
        "recall@10": sum(gain > 0 for gain in gains) / len(grades),
    }


def _discounted(gains: Sequence[float]) -> float:
    return math.fsum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, 1))


@lru_cache(maxsize=100_000)
def read_scores(text: str) -> Mapping[str, float]:
    """Return the numbers by id that a text holds, in its order.

    Raises:
        ValueError: saying what is wrong.
    """
    try:
        found = json.loads(text, object_pairs_hook=distinct_keys)
    except (json.JSONDecodeError, RecursionError):
        found = None
    if not isinstance(found, dict) or not all(map(_is_number, found.values())):
        raise ValueError("it is no JSON object of ids with numbers")
    return found


def ranking_text(scores: Mapping[str, float]) -> str:
    """Return the text that represents documents in the order of their ranks, with scores."""
    return json.dumps(dict(scores), ensure_ascii=False, allow_nan=False)


def relevance_text(grades: Mapping[str, float]) -> str:
    """Return the text that represents relevant documents with their grades; equal if these are.

    The highest grade comes first, so that the text is a best ranking as well.
    """
    plain = {id: int(g) if float(g).is_integer() else g for id, g in grades.items() if g > 0}
    ordered = dict(sorted(plain.items(), key=lambda pair: (-pair[1], pair[0])))
    return json.dumps(ordered, ensure_ascii=False, allow_nan=False)


def spans_of_relevant(target: str, corpus: Corpus) -> tuple[Span, ...]:
    """Return the whole of each relevant document, the highest grade first."""
    grades = read_scores(target)
    known = sorted((id for id in grades if id in corpus.by_id), key=lambda id: -grades[id])
    return tuple(Span(id, 0, max(1, len(corpus.by_id[id].text))) for id in known)


def relevance_cell(value: Any) -> tuple[str, ...]:
    """Return the relevant documents of a cell, as one text; nothing of an empty cell.

    A span says that its document is relevant, a grade of 0 or less that it is not.
    """
    relevant = {place.document: grade for place, grade in read_places(value).items() if grade > 0}
    return (relevance_text(relevant),) if relevant else ()


def read_places(value: Any) -> dict[Place, float]:
    """Return the documents, or characters of them, that a cell names, with their grades.

    A cell is an id, a list of ids or of spans such as ``["p1", 120, 135]``, or an object of grades
    by id; in text, as JSON. Null, an empty text and an empty list name none.

    Raises:
        ValueError: if it has another form.
    """
    if isinstance(value, str):
        value = json_in(value.strip(), "[", "{", '"', "null")
    if value is None or value == "":
        return {}
    if isinstance(value, Mapping):
        grades = {str(id).strip(): grade for id, grade in value.items() if grade is not None}
        if not all(map(_is_number, grades.values())):
            raise ValueError(f"{quoted(str(value), 60)} names documents in no allowed form")
        return {Place(id): float(grade) for id, grade in grades.items() if id}
    span = isinstance(value, list) and [type(one) for one in value] == [str, int, int]
    every = value if isinstance(value, list) and not span else [value]
    return {_place(one): 1.0 for one in every if one is not None and one != ""}


def _place(value: Any) -> Place:
    id, *ends = value if isinstance(value, list) and len(value) == 3 else [value]
    written = isinstance(id, str | int | float) and not isinstance(id, bool)
    name = (scalar_text(id) or "").strip() if written else ""
    if not name or not all(type(end) is int for end in ends):
        raise ValueError(f"{quoted(str(value), 60)} names no document")
    return Place(name, *ends)


def ids_in(written: str, known: Collection[str]) -> list[str]:
    """Return the ids that a text names between signs or blanks; the text where they are unknown."""
    for signs in ("[;,]", r"[;,\s]+"):
        parts = [part.strip() for part in re.split(signs, written)]
        if written not in known and all(part in known for part in parts):
            return parts
    return [written]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= 1e9


def relevant_swapped(target: str, others: Iterable[str], draw: Draw) -> str:
    """Put a document that is relevant to another question in the place of a relevant one."""
    grades = dict(read_scores(target))
    if not grades:
        return target
    id = sorted(grades)[int(draw("document") * len(grades))]
    for other in others:
        if new := [one for one in read_scores(other) if one not in grades]:
            grades[new[int(draw("new") * len(new))]] = grades.pop(id)
            break
    return relevance_text(grades)
