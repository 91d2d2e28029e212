"""Find texts that are the same or nearly the same, and cluster their rows."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from choose.formatting import normalised
from choose.schema.check import Conflicts, Repeats
from choose.types import Example

# The cosine from which two texts are near-duplicates, and what their rarest words make of it, at
# least: nearly all long texts share some rare word.
NEAR, _SHARED = 0.9, 0.2

# Templates make millions of pairs. To bound memory: rows whose pairs are sought at a time, and
# products of such rows; pairs whose cosines are computed, and edges that are added to the graph.
_ROWS, _CELLS = 500, 20_000_000
_PAIRS = 50_000
_EDGES = 1_000_000

Pairs = npt.NDArray[np.int32]
Likeness = Literal["exact", "normalised", "near"]


def conflicting_texts(rows: Sequence[Example]) -> list[list[Example]]:
    """Return the rows of each text that has several labels; case and spaces do not matter."""
    by_text: dict[str, list[Example]] = {}
    for example in rows:
        by_text.setdefault(normalised(example.input, punctuation=True), []).append(example)
    return [same for same in by_text.values() if len({e.target for e in same}) > 1]


def count_conflicts(texts: Sequence[Sequence[Example]]) -> Conflicts:
    """Count conflicting texts, their rows, and the rows that the best answers still get wrong."""
    lost = sum(len(same) - max(Counter(e.target for e in same).values()) for same in texts)
    return Conflicts(texts=len(texts), rows=sum(map(len, texts)), lost=lost)


@dataclass(frozen=True, slots=True)
class TextIndex:
    """Which rows have the same text, and which texts are nearly the same.

    `text_of` gives the number of a row's normalised text; `pairs` is (m, 2), the numbers of texts
    whose cosine is at least `NEAR`.
    """

    text_of: Mapping[str, int]
    pairs: Pairs

    def near(self, ids: Collection[str]) -> set[int]:
        """Return the numbers of these rows' texts and of all texts nearly the same as one."""
        own = {self.text_of[id] for id in ids}
        touching = np.isin(self.pairs, list(own)).any(axis=1)
        return own | set(np.unique(self.pairs[touching]).tolist())


def index_texts(examples: Sequence[Example], passages: bool = False) -> TextIndex:
    """Compare all texts with one another, and their further fields with them.

    Where rows share `passages`, two are nearly the same only if their texts are so too.
    """
    numbers: dict[str, int] = {}
    text_of = {e.id: numbers.setdefault(normalised(e.input), len(numbers)) for e in examples}
    if not passages:
        return TextIndex(text_of, similar_pairs(list(numbers)))
    texts = {text_of[e.id]: normalised(e.text) for e in examples}
    return TextIndex(text_of, _alike(texts, numbers))


def _alike(texts: Mapping[int, str], wholes: Mapping[str, int]) -> Pairs:
    """Return the pairs i < j, (m, 2), of inputs that are nearly the same, as are their texts.

    Passages that many inputs share would make millions of pairs: only inputs whose texts are
    connected by likeness are compared, with weights of their words among these.
    """
    inputs = list(wholes)
    places = {text: place for place, text in enumerate(dict.fromkeys(texts.values()))}
    place_of = np.array([places[texts[number]] for number in range(len(inputs))], dtype=np.int64)
    near = similar_pairs(list(places))
    together: dict[int, list[int]] = defaultdict(list)
    for number, component in enumerate(_components(near, len(places))[place_of].tolist()):
        together[component].append(number)
    found = [
        np.array(some, dtype=np.int32)[similar_pairs([inputs[number] for number in some])]
        for some in together.values()
        if len(some) > 1
    ]
    pairs = np.concatenate(found) if found else np.empty((0, 2), dtype=np.int32)
    ends = np.sort(place_of[pairs], axis=1)
    keys, known = (both[:, 0].astype(np.int64) * len(places) + both[:, 1] for both in (ends, near))
    alike: Pairs = pairs[(ends[:, 0] == ends[:, 1]) | np.isin(keys, known)]
    return alike


def similar_pairs(texts: Sequence[str], threshold: float = NEAR) -> Pairs:
    """Return all pairs i < j, (m, 2), of texts whose TF-IDF vectors have at least this cosine.

    Exact, by prefix filtering (Bayardo et al. 2007): order the words from rare to common, and call
    the head of a text its words up to where the rest of its vector is shorter than the threshold
    less `_SHARED`. Two texts whose heads add less than `_SHARED` cannot reach the threshold.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    if len(texts) < 2:
        return np.empty((0, 2), dtype=np.int32)
    vectorizer = TfidfVectorizer(token_pattern=r"\S+", lowercase=False)
    vectors = vectorizer.fit_transform(texts)
    vectors = vectors[:, np.argsort(-vectorizer.idf_, kind="stable")].tocsr()
    vectors.sort_indices()
    similar = [np.empty((0, 2), dtype=np.int32)]
    for pairs in _candidates(_heads(vectors, threshold - _SHARED)):
        products = vectors[pairs[:, 0]].multiply(vectors[pairs[:, 1]])
        similar.append(pairs[np.asarray(products.sum(axis=1)).ravel() >= threshold - 1e-9])
    return np.concatenate(similar)


def clusters_of(examples: Sequence[Example], index: TextIndex) -> dict[str, str]:
    """Map rows that share a group, text or near-duplicate to their cluster, by row id.

    A cluster is named after its first row; rows in no cluster are left out.
    """
    rows = len(examples)
    texts = np.array([index.text_of[e.id] for e in examples], dtype=np.int32)
    # The nodes of the graph are rows, then texts, then groups. A text that no row has has no node.
    place = np.full(1 + max(index.text_of.values(), default=0), -1, dtype=np.int32)
    used = np.unique(texts)
    place[used] = rows + np.arange(len(used))
    near = place[index.pairs]
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
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    components = np.arange(nodes, dtype=np.int32)
    for start in range(0, len(edges), _EDGES):
        ends = components[edges[start : start + _EDGES]]
        ones = np.ones(len(ends), dtype=np.int8)
        graph = coo_array((ones, (ends[:, 0], ends[:, 1])), (nodes, nodes))
        components = connected_components(graph, directed=False)[1][components]
    return components


def _heads(vectors: Any, length: float) -> Any:
    """Keep the rarest words of each row, until the rest of its vector is shorter than `length`."""
    from scipy.sparse import csr_array

    row_of = np.repeat(np.arange(vectors.shape[0]), np.diff(vectors.indptr))
    squares = vectors.data**2
    total = np.cumsum(squares)
    before_row = np.concatenate(([0.0], total))[vectors.indptr[:-1]]
    before = total - squares - before_row[row_of]
    kept = 1.0 - before >= length**2 - 1e-9
    return csr_array((vectors.data[kept], (row_of[kept], vectors.indices[kept])), vectors.shape)


def _candidates(heads: Any) -> Iterator[Pairs]:
    """Yield the pairs i < j of rows whose heads add enough, in bounded portions."""
    transposed = heads.T.tocsr()
    rows = max(1, min(_ROWS, _CELLS // heads.shape[0]))
    for start in range(0, heads.shape[0], rows):
        shared = (heads[start : start + rows] @ transposed).tocoo()
        enough = shared.data >= _SHARED - 1e-9
        first, second = shared.coords[0][enough] + start, shared.coords[1][enough]
        pairs = np.stack([first, second], axis=1, dtype=np.int32)[first < second]
        for portion in range(0, len(pairs), _PAIRS):
            yield pairs[portion : portion + _PAIRS]


class Duplicate(NamedTuple):
    """A row, its closest likeness to another row, and the first row it is so like."""

    id: str
    likeness: Likeness
    of: str


def count_duplicates(duplicates: Sequence[Duplicate]) -> Repeats:
    by = Counter(duplicate.likeness for duplicate in duplicates)
    return Repeats(exact=by["exact"], normalised=by["normalised"], near=by["near"])


def duplicates_among(
    rows: Sequence[Example], others: Sequence[Example], index: TextIndex
) -> list[Duplicate]:
    """Return the rows that repeat one of the others, each under its closest likeness."""
    exact: dict[str, list[str]] = defaultdict(list)
    same_text: dict[int, list[str]] = defaultdict(list)
    for e in others:
        exact[e.input].append(e.id)
        same_text[index.text_of[e.id]].append(e.id)
    near: dict[int, list[int]] = defaultdict(list)
    for a, b in index.pairs.tolist():
        near[a].append(b)
        near[b].append(a)
    duplicates = []
    for e in rows:
        text = index.text_of[e.id]
        steps: tuple[tuple[Likeness, list[str]], ...] = (
            ("exact", exact.get(e.input, [])),
            ("normalised", same_text.get(text, [])),
            ("near", [id for t in near.get(text, ()) for id in same_text.get(t, ())[:1]]),
        )
        for likeness, ids in steps:
            if other := next((id for id in ids if id != e.id), None):
                duplicates.append(Duplicate(e.id, likeness, other))
                break
    return duplicates
