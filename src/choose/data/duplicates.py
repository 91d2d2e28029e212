"""Find texts that are the same or nearly the same."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from choose.schema.check import Conflicts, Repeats
from choose.types import Example


def conflicting_texts(rows: Sequence[Example]) -> list[list[Example]]:
    """Return the rows of each text that has several labels, case and spaces set aside."""
    by_text: dict[str, list[Example]] = {}
    for example in rows:
        by_text.setdefault(" ".join(example.text.casefold().split()), []).append(example)
    return [same for same in by_text.values() if len({e.target for e in same}) > 1]


def unavoidable_errors(found: Sequence[Sequence[Example]]) -> int:
    """Return how many rows even the best answer to each such text gets wrong."""
    return sum(len(same) - max(Counter(e.target for e in same).values()) for same in found)


def count_conflicts(found: Sequence[Sequence[Example]]) -> Conflicts:
    """Count what `torn` found."""
    return Conflicts(texts=len(found), rows=sum(map(len, found)), lost=unavoidable_errors(found))


NEAR = 0.9


# Where most texts are alike there are millions of pairs: rows whose pairs are looked for at a time,
# pairs whose cosines are computed at a time, and pairs that are joined to clusters at a time.
_BLOCK = 500


_PAIRS = 50_000


_JOINED = 1_000_000


Pairs = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class TextIndex:
    """Which rows have the same text, and which texts are nearly the same.

    `text_of` gives the number of a row's text once case, spaces and punctuation are set aside;
    `pairs` is (m, 2), numbers of texts whose cosine is at least `ALIKE`.
    """

    text_of: Mapping[str, int]
    pairs: Pairs

    def near(self, ids: Collection[str]) -> set[int]:
        """Return the texts of the rows and all texts nearly the same as one of them."""
        own = {self.text_of[id] for id in ids}
        concerned = np.isin(self.pairs, list(own)).any(axis=1)
        return own | set(np.unique(self.pairs[concerned]).tolist())


def index_texts(examples: Sequence[Example]) -> TextIndex:
    """Compare all texts with one another; see `alike` for what nearly the same means."""
    numbers: dict[str, int] = {}
    text_of = {e.id: numbers.setdefault(normalised(e.text), len(numbers)) for e in examples}
    return TextIndex(text_of, similar_pairs(list(numbers)))


def normalised(text: str) -> str:
    """Return the words of a text in small letters, without punctuation; all of it if wordless."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(re.findall(r"\w+", folded)) or " ".join(folded.split())


def similar_pairs(texts: Sequence[str], threshold: float = NEAR) -> Pairs:
    """Return all pairs i < j, (m, 2), of texts whose TF-IDF vectors of words have that cosine.

    Exact, by prefix filtering (Bayardo et al. 2007): words stand in one order, the rarest first,
    and two texts that share none of the words up to where the rest of each vector is shorter than
    the threshold cannot reach it.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    if len(texts) < 2:
        return np.empty((0, 2), dtype=np.int32)
    vectorizer = TfidfVectorizer(token_pattern=r"\S+", lowercase=False)
    vectors = vectorizer.fit_transform(texts)
    by_rarity = np.argsort(-vectorizer.idf_, kind="stable")
    vectors = vectors[:, by_rarity].tocsr()
    vectors.sort_indices()
    heads = _heads(vectors, threshold)
    found = [pairs[_cosines(vectors, pairs) >= threshold - 1e-9] for pairs in _candidates(heads)]
    return np.concatenate(found) if found else np.empty((0, 2), dtype=np.int32)


def clusters_of(examples: Sequence[Example], twins: TextIndex) -> dict[str, str]:
    """Map each row that has company to its cluster: a shared group, the same text or a near one.

    A cluster is named after its first row; rows that stand alone are left out.
    """
    rows = len(examples)
    texts = np.array([twins.text_of[e.id] for e in examples], dtype=np.int32)
    # Nodes are rows, then texts, then groups; a text that no row has joins nothing.
    place = np.full(1 + max(twins.text_of.values(), default=0), -1, dtype=np.int32)
    used = np.unique(texts)
    place[used] = rows + np.arange(len(used))
    near = place[twins.pairs]
    groups: dict[str, int] = {}
    named = [
        (i, groups.setdefault(e.group, rows + len(used) + len(groups)))
        for i, e in enumerate(examples)
        if e.group is not None
    ]
    own = np.stack([np.arange(rows, dtype=np.int32), place[texts]], axis=1)
    edges = [own, np.array(named, dtype=np.int32).reshape(-1, 2), near[(near >= 0).all(axis=1)]]
    components = _components(np.concatenate(edges), rows + len(used) + len(groups))[:rows]
    members: dict[int, list[str]] = {}
    for example, component in zip(examples, components.tolist(), strict=True):
        members.setdefault(component, []).append(example.id)
    return {id: ids[0] for ids in members.values() if len(ids) > 1 for id in ids}


def _components(edges: Pairs, nodes: int) -> Pairs:
    """Return (nodes,) the number of the component that each node is in."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    found = np.arange(nodes, dtype=np.int32)
    for start in range(0, len(edges), _JOINED):
        ends = found[edges[start : start + _JOINED]]
        ones = np.ones(len(ends), dtype=np.int8)
        graph = coo_array((ones, (ends[:, 0], ends[:, 1])), (nodes, nodes))
        found = connected_components(graph, directed=False)[1][found]
    return found


def _heads(vectors: Any, threshold: float) -> Any:
    """Keep of each row the rarest words, until what is left is shorter than the threshold."""
    from scipy.sparse import csr_array

    row_of = np.repeat(np.arange(vectors.shape[0]), np.diff(vectors.indptr))
    squares = vectors.data**2
    total = np.cumsum(squares)
    before_row = np.concatenate(([0.0], total))[vectors.indptr[:-1]]
    before = total - squares - before_row[row_of]
    kept = 1.0 - before >= threshold**2 - 1e-9
    ones = np.ones(int(kept.sum()), dtype=np.int32)
    return csr_array((ones, (row_of[kept], vectors.indices[kept])), vectors.shape)


def _candidates(heads: Any) -> Iterator[Pairs]:
    """Yield the pairs i < j of rows that share a word of their heads, in bounded portions."""
    across = heads.T.tocsr()
    for start in range(0, heads.shape[0], _BLOCK):
        shared = (heads[start : start + _BLOCK] @ across).tocoo()
        first, second = shared.coords[0] + start, shared.coords[1]
        pairs = np.stack([first, second], axis=1, dtype=np.int32)[first < second]
        for portion in range(0, len(pairs), _PAIRS):
            yield pairs[portion : portion + _PAIRS]


def _cosines(vectors: Any, pairs: Pairs) -> npt.NDArray[np.float64]:
    products = vectors[pairs[:, 0]].multiply(vectors[pairs[:, 1]])
    return np.asarray(products.sum(axis=1), dtype=np.float64).ravel()


Likeness = Literal["exact", "normalised", "near"]


class Duplicate(NamedTuple):
    """A row, how alike its nearest twin is, and the first such twin."""

    id: str
    likeness: Likeness
    of: str


def duplicates_within(rows: Sequence[Example], twins: TextIndex) -> list[Duplicate]:
    """Return the rows that repeat another of these rows, in their order; the first one too."""
    return _repeats(rows, rows, twins)


def duplicates_across(
    asked: Sequence[Example], pool: Sequence[Example], twins: TextIndex
) -> list[Duplicate]:
    """Return the rows that are asked although a row to learn from is the same or nearly so."""
    return _repeats(asked, pool, twins)


def count_duplicates(found: Sequence[Duplicate], chain: int) -> Repeats:
    """Count repeats by likeness."""
    by = Counter(repeat.likeness for repeat in found)
    return Repeats(exact=by["exact"], normalised=by["normalised"], near=by["near"], chain=chain)


def _repeats(
    asked: Sequence[Example], others: Sequence[Example], twins: TextIndex
) -> list[Duplicate]:
    by_letter: dict[str, list[str]] = defaultdict(list)
    by_words: dict[int, list[str]] = defaultdict(list)
    for e in others:
        by_letter[e.text].append(e.id)
        by_words[twins.text_of[e.id]].append(e.id)
    near: dict[int, list[int]] = defaultdict(list)
    for a, b in twins.pairs.tolist():
        near[a].append(b)
        near[b].append(a)
    found = []
    for e in asked:
        words = twins.text_of[e.id]
        steps: tuple[tuple[Likeness, list[str]], ...] = (
            ("exact", by_letter.get(e.text, [])),
            ("normalised", by_words.get(words, [])),
            ("near", [id for text in near.get(words, ()) for id in by_words.get(text, ())[:1]]),
        )
        for likeness, ids in steps:
            if twin := next((id for id in ids if id != e.id), None):
                found.append(Duplicate(e.id, likeness, twin))
                break
    return found
