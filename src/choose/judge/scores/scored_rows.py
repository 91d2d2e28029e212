"""The rows that answers are scored on, as arrays: targets, clusters, weights; codes of answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from choose.judge.evidence import Evidence, Items, id_hash
from choose.judge.goal import Measure, evened
from choose.judge.stats.metrics import UNUSABLE, Codes
from choose.judge.stats.two_way import Mask
from choose.types import Floats


@dataclass(frozen=True)
class ScoredRows:
    """The test rows as arrays.

    Attributes:
        index: place of each row by id.
        targets: (rows,) codes of labels, or of texts where the task has no labels.
        labels: in the order of their codes; empty where answers are texts: scores then come from
            the runs, and no figure by label exists.
        clusters: of each row; None if every row is its own cluster, or all are of one: then figures
            are about that one, of which rows are drawn.
        one_cluster: whether all are of one.
        weights: (rows,) or None if all count the same.
        conflicting: rows whose input has two targets.
        credit: (labels, labels + 1) score of each answer to each label, the last column for
            unusable ones; None where an answer scores 1 or 0.
        even: whether every label gets the same total weight, in any subset of the rows too.
        codes: code by answer; texts get one as they occur, so that equal texts have equal codes.
        fields: what each record fills; none where answers are labels.
    """

    index: Mapping[str, int]
    targets: Codes
    labels: tuple[str, ...]
    clusters: tuple[str, ...] | None
    weights: Floats | None
    conflicting: Mask
    credit: Floats | None = None
    even: bool = False
    codes: dict[str, int] = field(default_factory=dict)
    fields: tuple[frozenset[str], ...] = ()
    one_cluster: bool = False

    def of_class(self, name: str) -> Mask:
        """Return which rows have a label, or records that fill a field."""
        if self.labels:
            return np.asarray(self.targets == self.labels.index(name), dtype=np.bool_)
        return np.array([name in filled for filled in self.fields], dtype=np.bool_)

    @property
    def graded(self) -> bool:
        """Return whether scores lie between 0 and 1: answers are texts, not labels."""
        return not self.labels

    def codes_of(self, outputs: Iterable[str | None]) -> Codes:
        """Return the codes of answers: `UNUSABLE` for None, and for texts that are no label."""
        if self.labels:
            known = [UNUSABLE if o is None else self.codes.get(o, UNUSABLE) for o in outputs]
        else:
            known = [
                UNUSABLE if o is None else self.codes.setdefault(o, len(self.codes))
                for o in outputs
            ]
        return np.array(known, dtype=np.int64)

    def scored(self, place: Codes, codes: Codes) -> Floats:
        """Return the scores of answers to some rows: 1 right, 0 wrong or unusable, or `credit`."""
        targets = self.targets[place]
        if self.credit is None:
            return np.asarray(codes == targets, dtype=np.float64)
        scores: Floats = self.credit[targets, np.where(codes == UNUSABLE, len(self.labels), codes)]
        return scores

    def row_set(self, mask: Mask) -> str:
        """Return the number of rows in the mask with a digest of their ids (see `Interval`)."""
        return f"{int(mask.sum())}:{int(self._id_hashes[mask].sum()) & 0xFFFFFFFF:08x}"

    @cached_property
    def _id_hashes(self) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
        """Return (rows,) hashes whose sum does not depend on the order of the rows."""
        return np.array([id_hash(id) for id in self.index], dtype=np.uint64)

    def clusters_of(self, mask: Mask) -> list[str] | None:
        """Return the clusters of the rows in the mask."""
        if self.clusters is None:
            return None
        return [self.clusters[i] for i in np.flatnonzero(mask).tolist()]

    def weights_of(self, mask: Mask) -> Floats | None:
        """Return the weights of the rows in the mask."""
        if self.even:
            return evened(self.targets[mask], None if self.weights is None else self.weights[mask])
        return None if self.weights is None else self.weights[mask]

    def plain_weights_of(self, mask: Mask) -> Floats | None:
        """Return the stated weights of the rows, without the balancing of labels."""
        return None if self.even or self.weights is None else self.weights[mask]

    def weights_on(self, mask: Mask) -> Floats | None:
        """Return (rows,) the weights of the rows in the mask, 0 elsewhere."""
        own = self.weights_of(mask)
        if own is None:
            return None
        weights = np.zeros(len(self.targets))
        weights[mask] = own
        return weights


def rows_of(evidence: Evidence, items: Items, measure: Measure) -> ScoredRows:
    """Return some rows of a study as arrays, by its measure."""
    codes = {label: i for i, label in enumerate(evidence.labels)}
    clusters = len(set(items.clusters))
    one = clusters == 1 < len(items.ids)
    even = len(set(items.weights)) <= 1
    if not evidence.labels:
        codes = {text: i for i, text in enumerate(dict.fromkeys(items.targets))}
    targets = np.array([codes[target] for target in items.targets], dtype=np.int64)
    stated = None if even else np.array(items.weights, dtype=np.float64)
    return ScoredRows(
        index={id: i for i, id in enumerate(items.ids)},
        targets=targets,
        labels=evidence.labels,
        clusters=None if one or clusters == len(items.ids) else items.clusters,
        weights=measure.weights(targets, stated),
        conflicting=np.array([id in items.conflicting for id in items.ids], dtype=np.bool_),
        credit=measure.credit(evidence.labels),
        even=measure.metric == "balanced",
        codes=codes,
        fields=items.fields,
        one_cluster=one,
    )
