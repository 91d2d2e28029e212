"""TF-IDF features, logistic regressions of labels and of sets of labels, and the choice of C."""

from __future__ import annotations

import math
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import pairwise
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

from choose.data.duplicates import clusters_of, index_texts
from choose.data.stratify import strata_of, stratified_sample
from choose.models.saving import floats
from choose.progress import decided_in_time, report_progress, seconds_to_aim
from choose.tasks.multilabel import read_set, set_text
from choose.types import Answers, Counts, Example, Floats, Task

# The probability of a label that the pool lacks, since 0 has no logarithm.
FLOOR = 1e-9

# Texts, or columns, between two reports of progress.
_REPORT_EVERY = 1_000

# Options of scikit-learn's vectoriser by name; saved strategies hold these names. Single-character
# words and digits carry meaning in short texts, and the default pattern drops them.
VECTORISERS: Mapping[str, Mapping[str, Any]] = {
    "words": {
        "ngram_range": (1, 2),
        "sublinear_tf": True,
        "token_pattern": r"(?u)\b\w+\b|[^\w\s]",
    },
    "single words": {
        "ngram_range": (1, 1),
        "sublinear_tf": True,
        "token_pattern": r"(?u)\b\w+\b|[^\w\s]",
    },
    "characters": {
        "analyzer": "char_wb",
        "ngram_range": (2, 4),
        "sublinear_tf": True,
        "min_df": 2,
    },
    # For a pool of blanks, or of one row, in which the others find no term.
    "letters": {"analyzer": "char", "lowercase": False},
}


class TfidfFeatures:
    """Texts as sparse TF-IDF rows; the vocabulary and the weights come from the pool alone."""

    def __init__(self, *vectorisers: str) -> None:
        self.vectorisers = vectorisers

    def fit(self, texts: Sequence[str]) -> Any:
        """Learn the vocabulary and return the (n, d) matrix of the training texts."""
        try:
            return self._fit(texts)
        except ValueError:  # no term left
            self.vectorisers = ("letters",)
            return self._fit(texts)

    def __call__(self, texts: Sequence[str]) -> Any:
        return self.union.transform(_Reported(texts))

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        fitted = dict(self.union.transformer_list)
        terms = {name: one.get_feature_names_out().tolist() for name, one in fitted.items()}
        return {"terms": terms}, {f"idf {name}": one.idf_ for name, one in fitted.items()}

    @classmethod
    def restored(cls, facts: Mapping[str, Any], arrays: Mapping[str, Any]) -> TfidfFeatures:
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.pipeline import FeatureUnion

        features = cls(*facts["terms"])
        fitted = []
        for name, terms in facts["terms"].items():
            vectoriser = TfidfVectorizer(vocabulary=terms, **VECTORISERS[name])
            vectoriser.idf_ = np.asarray(arrays[f"idf {name}"])
            fitted.append((name, vectoriser))
        features.union = FeatureUnion(fitted)
        return features

    def _fit(self, texts: Sequence[str]) -> Any:
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.pipeline import FeatureUnion

        self.union = FeatureUnion(
            [(name, TfidfVectorizer(**VECTORISERS[name])) for name in self.vectorisers]
        )
        return self.union.fit_transform(_Reported(texts))


class _Reported(list[str]):
    """Texts that report progress while a vectoriser reads them."""

    def __iter__(self) -> Iterator[str]:
        for number, text in enumerate(super().__iter__()):
            if number % _REPORT_EVERY == 0:
                report_progress(number, len(self), "vectorising")
            yield text


class MergedColumns:
    """Sparse rows in which columns that are multiples of each other are merged into one.

    Weights under an L2 penalty lie in the space that the training rows span (the representer
    theorem; Schoelkopf, Herbrich and Smola 2001), so they are shared within a group in proportion
    to its columns, and merging changes neither the fit nor the solver's path. Of 5,452 questions
    52,673 columns become 24,773, and the fit takes 1.4 s instead of 2.6 s.
    """

    def __init__(self, rows: Any) -> None:
        from scipy.sparse import csr_matrix

        columns = rows.tocsc()
        columns.sort_indices()
        counts = np.diff(columns.indptr)
        column = np.repeat(np.arange(len(counts)), counts)
        lengths = np.sqrt(np.bincount(column, columns.data**2, minlength=len(counts)))
        group = _parallel_columns(columns, columns.data / lengths[column])
        whole = np.sqrt(np.bincount(group, lengths**2))
        share = np.divide(lengths, whole[group], out=np.zeros_like(lengths), where=lengths > 0)
        self.projection = csr_matrix((share, (np.arange(len(group)), group)))

    @classmethod
    def of(cls, features: Any) -> MergedColumns | None:
        """Return them for sparse features; None for dense ones, and for those without an entry."""
        from scipy.sparse import issparse

        return cls(features) if issparse(features) and features.nnz else None

    def __call__(self, rows: Any) -> Any:
        return (rows @ self.projection).tocsr()

    def unfold(self, weights: Floats) -> Floats:
        """Return (k, d) weights on the features that predict as (k, r) on the merged ones do."""
        return np.asarray(self.projection @ weights.T).T


def _parallel_columns(columns: Any, directions: Floats) -> Any:
    """Return (d,) the number of each column's group of parallel columns."""
    # Rounded, since the same ratios are computed in different ways.
    rounded, ends = np.round(directions, 10), columns.indptr.tolist()
    numbers: dict[bytes, int] = {}
    groups = []
    for column, (a, b) in enumerate(pairwise(ends)):
        if column % _REPORT_EVERY == 0:
            report_progress(column, len(ends), "merging columns")
        content = columns.indices[a:b].tobytes() + rounded[a:b].tobytes()
        groups.append(numbers.setdefault(content, len(numbers)))
    return np.array(groups)


def log_scores(labels: Sequence[str], seen: Sequence[str], probabilities: Floats) -> Floats:
    """Spread (n, seen) probabilities over all labels and return normalised logarithms."""
    full = np.full((len(probabilities), len(labels)), FLOOR)
    full[:, [labels.index(label) for label in seen]] += probabilities
    return np.log(full / full.sum(axis=1, keepdims=True))


class LogisticHead:
    """Multinomial logistic regression that also accepts a pool with a single class."""

    def __init__(self, C: float) -> None:
        self.C = C

    def fit(self, features: Any, targets: Sequence[str]) -> None:
        """Learn from (n, d) features, dense or sparse."""
        from scipy.sparse import issparse
        from sklearn.linear_model import LogisticRegression

        self.seen = sorted(set(targets))
        self.model: Any = None
        self.merged = MergedColumns.of(features)
        features = self.merged(features) if self.merged else features
        if len(self.seen) < 2:
            return
        if is_large(features, len(self.seen)):
            self.model = BoundedLogistic(self.C)
            self.model.fit(features, targets)
        else:
            self.model = LogisticRegression(C=self.C, max_iter=MAX_PASSES)
            features = _reporting(features) if issparse(features) else features
            # A fit that stops at its last pass is used as it is.
            with _one_thread(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self.model.fit(features, list(targets))
        self.seen = list(self.model.classes_)

    def probabilities(self, features: Any) -> Floats:
        if self.model is None:
            return np.ones((features.shape[0], 1))
        features = self.merged(features) if self.merged else features
        return self.model.predict_proba(features)

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the labels seen, and a weight for each feature in the space of the features.

        The weights hold no row of the pool.
        """
        facts = {"C": self.C, "seen": [str(label) for label in self.seen]}
        if self.model is None:
            return facts, {}
        weights = self.model.coef_
        if self.merged is not None:
            weights = self.merged.unfold(weights)
        return facts, {"weights": weights, "bias": self.model.intercept_}

    def answers(self, labels: Sequence[str], features: Any) -> Answers:
        return Answers.from_scores(
            labels, log_scores(labels, self.seen, self.probabilities(features))
        )

    @classmethod
    def restored(
        cls,
        facts: Mapping[str, Any],
        arrays: Mapping[str, Any],
        labels: Sequence[str],
        features: int = -1,
    ) -> LogisticHead:
        """Rebuild a head from what `state` returned.

        Raises:
            ValueError: if the arrays do not fit the labels or the number of features.
        """
        from sklearn.linear_model import LogisticRegression

        seen = facts["seen"]
        if not seen or len(set(seen)) < len(seen) or not set(seen) <= set(labels):
            raise ValueError("the labels of the head are not in the list of labels")
        if len(seen) > 1:
            rows = 1 if len(seen) == 2 else len(seen)
            floats(arrays, "weights", rows, features)
            floats(arrays, "bias", rows)
        head = cls(facts["C"])
        head.seen, head.model, head.merged = list(facts["seen"]), None, None
        if "weights" in arrays:
            head.model = LogisticRegression(C=head.C)
            head.model.classes_ = np.array(head.seen)
            head.model.coef_, head.model.intercept_ = arrays["weights"], arrays["bias"]
            head.model.n_features_in_ = head.model.coef_.shape[1]
        return head


def _one_thread() -> AbstractContextManager[Any]:
    """Multiply on one thread: the solver's products are so small that threads wait for each other.

    8,000 rows of 384 features with 20 labels take 0.2 s of a core on one thread, 3 s on two.
    """
    from threadpoolctl import threadpool_limits

    limits: AbstractContextManager[Any] = threadpool_limits(limits=1, user_api="blas")
    return limits


def _reporting(rows: Any) -> Any:
    """Return sparse rows that report progress whenever the solver multiplies by them."""
    from scipy.sparse import csr_matrix

    class Reporting(csr_matrix):  # type: ignore[misc]
        passes = 0

        def __matmul__(self, other: Any) -> Any:
            Reporting.passes += 1
            done = min(Reporting.passes, MAX_PASSES - 1)
            report_progress(done, MAX_PASSES, "logistic fit", at_most=True)
            return super().__matmul__(other)

    return Reporting(rows)


# Above one of these sizes a fit goes to `BoundedLogistic`: weights (features times classes), of
# which scikit-learn's solver holds some 30 copies in float64, and multiplications of a pass.
MAX_PLAIN_WEIGHTS = 5_000_000
MAX_PLAIN_PRODUCTS = 100_000_000

# Most weights; with more, the columns that fewest rows use are left out.
MAX_WEIGHTS = 40_000_000

# Most numbers in a block of logits, and in all pairs of the solver's memory together.
_BLOCK = 20_000_000
_MEMORY = 240_000_000

# scikit-learn's defaults: the largest gradient at the end, and the most passes.
_TOLERANCE, MAX_PASSES = 1e-4, 1_000

Weights = npt.NDArray[np.float32]


def is_large(features: Any, classes: int) -> bool:
    """Return whether a fit on (n, d) features, dense or sparse, needs `BoundedLogistic`."""
    entries = getattr(features, "nnz", features.shape[0] * features.shape[1])
    weights = classes * features.shape[1]
    return bool(weights > MAX_PLAIN_WEIGHTS or classes * entries > MAX_PLAIN_PRODUCTS)


class BoundedLogistic:
    """The fit of scikit-learn's LogisticRegression to the same tolerance, in single precision.

    Limited-memory BFGS (Liu and Nocedal 1989) whose number of pairs depends on the number of
    weights, so that 1,000 classes with 40,000 features take 2 GB instead of 10. It reports progress
    after every pass.
    """

    def __init__(self, C: float) -> None:
        self.C = C

    def fit(self, features: Any, targets: Sequence[str]) -> None:
        """Learn from (n, d) features, dense or sparse."""
        self.classes_, places = np.unique(np.asarray(targets), return_inverse=True)
        columns = _most_used(features, MAX_WEIGHTS // len(self.classes_))
        rows = features if columns is None else features[:, columns]
        # With two classes scikit-learn penalises the difference of their weights.
        binary = len(self.classes_) == 2
        loss = _Loss(rows, places, len(self.classes_), (1 + binary) / (self.C * len(targets)))
        solution = minimise(loss, loss.shape)
        if binary:
            solution = solution[:, 1:] - solution[:, :1]
        weights, self.intercept_ = solution[:-1].T, solution[-1].astype(np.float64)
        if columns is not None:
            kept, width = weights, features.shape[1]
            weights = np.zeros((len(kept), width), np.float32)
            weights[:, columns] = kept
        self.coef_ = weights

    def predict_proba(self, features: Any) -> Floats:
        logits = np.asarray(features.astype(np.float32) @ self.coef_.T, np.float64)
        logits += self.intercept_
        if logits.shape[1] == 1:
            logits = np.hstack([np.zeros_like(logits), logits])
        logits -= logits.max(axis=1, keepdims=True)
        np.exp(logits, out=logits)
        logits /= logits.sum(axis=1, keepdims=True)
        return logits


def _most_used(features: Any, most: int) -> npt.NDArray[np.int64] | None:
    """Return the columns with the most entries, in order, or None where all are few enough."""
    if features.shape[1] <= most:
        return None
    counts = np.asarray((features != 0).sum(axis=0)).ravel()
    return np.sort(np.argsort(-counts, kind="stable")[:most])


class _Loss:
    """The mean log loss with an L2 penalty, of (d + 1, classes) weights; the intercepts last."""

    def __init__(
        self, features: Any, places: npt.NDArray[np.int64], classes: int, penalty: float
    ) -> None:
        self.rows, self.places = features.astype(np.float32), places
        self.shape, self.penalty = (features.shape[1] + 1, classes), penalty
        self.step = max(1, _BLOCK // classes)

    def __call__(self, weights: Weights) -> tuple[float, Weights]:
        count, total = len(self.places), 0.0
        gradient = weights * np.float32(self.penalty)
        gradient[-1] = 0
        for first in range(0, count, self.step):
            rows, places = self.rows[first : first + self.step], self.places[first:][: self.step]
            chances = np.asarray(rows @ weights[:-1])
            chances += weights[-1]
            chances -= chances.max(axis=1, keepdims=True)
            own = np.arange(len(places)), places
            total -= float(chances[own].sum(dtype=np.float64))
            np.exp(chances, out=chances)
            sums = chances.sum(axis=1, dtype=np.float64)
            total += float(np.log(sums).sum())
            chances /= sums[:, None].astype(np.float32)
            chances[own] -= 1
            chances /= count
            gradient[:-1] += np.asarray(rows.T @ chances)
            gradient[-1] += chances.sum(axis=0)
        squares = sum(float(np.vdot(part, part)) for part in weights[:-1])
        return total / count + 0.5 * self.penalty * squares, gradient


def minimise(loss: Callable[[Weights], tuple[float, Weights]], shape: tuple[int, int]) -> Weights:
    """Return the weights at which the largest entry of the gradient of a loss is within tolerance.

    The loss returns its value and its gradient.

    Single precision may not get there. scipy's solver, in double precision, takes 1.4 to 3 times
    as long (3,000 rows with 77 labels; 1,000 rows with 48 labels each against the rest).
    """
    weights = np.zeros(shape, np.float32)
    value, gradient = loss(weights)
    pairs = deque[tuple[Weights, Weights]](
        maxlen=int(np.clip(_MEMORY // (2 * weights.size), 2, 10))
    )
    passes = 0
    while passes < MAX_PASSES:
        if np.abs(gradient).max() <= _TOLERANCE:
            break
        direction = _direction(gradient, pairs)
        slope = float(np.vdot(direction, gradient))
        step = 1.0 if pairs else min(1.0, 1.0 / float(np.sqrt(-slope)))
        for _ in range(20):
            moved = weights + np.float32(step) * direction
            new_value, new_gradient = loss(moved)
            passes += 1
            report_progress(min(passes, MAX_PASSES - 1), MAX_PASSES, "logistic fit", at_most=True)
            rise = new_value - value - step * slope
            if new_value <= value + 1e-4 * step * slope:
                break
            # The least point of the parabola through what is known of this line.
            step *= float(np.clip(-step * slope / (2 * rise), 0.1, 0.5))
        else:
            break  # no lower loss in single precision
        direction *= np.float32(step)
        np.subtract(new_gradient, gradient, out=gradient)
        if float(np.vdot(direction, gradient)) > 0:
            pairs.append((direction, gradient))
        weights, value, gradient = moved, new_value, new_gradient
    return weights


def _direction(gradient: Weights, pairs: deque[tuple[Weights, Weights]]) -> Weights:
    """Return minus the gradient times the estimate of the inverse Hessian (two-loop recursion)."""
    direction = -gradient
    factors = []
    for moved, change in reversed(pairs):
        scale = 1.0 / float(np.vdot(moved, change))
        factor = scale * float(np.vdot(moved, direction))
        direction -= np.float32(factor) * change
        factors.append((scale, factor))
    if pairs:
        moved, change = pairs[-1]
        direction *= np.float32(float(np.vdot(moved, change)) / float(np.vdot(change, change)))
    for (moved, change), (scale, factor) in zip(pairs, reversed(factors), strict=True):
        direction += np.float32(factor - scale * float(np.vdot(change, direction))) * moved
    return direction


Members = npt.NDArray[np.bool_]

# Parts of a pool, each of which is held out in turn where thresholds or C are chosen.
PARTS = 3

# A label's own threshold counts against the common one as its rows against so many.
COMMON_ROWS = 10.0

# Thresholds that are tried for all labels together.
TRIED = 40

# Probabilities of the largest confidence that a threshold can ask for.
EDGE = 1e-6


def members_of(choices: Sequence[str], targets: Sequence[str]) -> Members:
    """Return (n, labels) which labels each set holds."""
    place = {label: number for number, label in enumerate(choices)}
    found = np.zeros((len(targets), len(choices)), dtype=np.bool_)
    for row, target in enumerate(targets):
        found[row, [place[label] for label in read_set(target)]] = True
    return found


def set_answers(
    choices: Sequence[str], chosen: Members, chances: Floats | None = None, **facts: Any
) -> Answers:
    """Return (n, labels) chosen labels as answers.

    With (n, labels) `chances`, the confidence is that every label is right, as if independent.
    """
    outputs = tuple(set_text(choices[i] for i in np.flatnonzero(row).tolist()) for row in chosen)
    if chances is not None:
        sure = np.where(chosen, chances, 1 - chances).clip(EDGE, 1.0)
        facts["confidence"] = np.exp(np.log(sure).sum(axis=1))
    return Answers(outputs=outputs, status=tuple("ok" for _ in outputs), **facts)


def example_f1s(chosen: Members, members: Members) -> Floats:
    """Return (n,) example-F1; 1 where both sets are empty."""
    total = chosen.sum(axis=1) + members.sum(axis=1)
    both = 2.0 * (chosen & members).sum(axis=1)
    return np.divide(both, total, out=np.ones(len(total)), where=total > 0)


def best_set(members: Members, weights: Floats) -> Members:
    """Return (labels,) the set with the highest mean example-F1 against weighted sets."""
    return best_sets(members[None], weights[None])[0]


def best_sets(members: Members, weights: Floats) -> Members:
    """Return (n, labels) the set with the highest mean example-F1 against (n, k) weighted sets.

    The mean of a set of k labels is a sum over its labels, so for each k the best set is that of
    the k largest terms (Dembczynski, Waegeman, Cheng and Huellermeier 2011). Among equal sets it
    is the smallest, and among equal labels the first.
    """
    sizes, held = members.sum(axis=2), members.astype(np.float64)
    best = (weights * (sizes == 0)).sum(axis=1)
    chosen = np.zeros((len(members), members.shape[2]), dtype=np.bool_)
    for size in range(1, int(members.any(axis=1).sum(axis=1).max(initial=0)) + 1):
        shares = 2 * weights / (size + sizes)
        if ((shares * sizes).sum(axis=1) <= best).all():
            break  # no set of so many labels can be better, nor a larger one
        terms = (shares[:, None, :] @ held)[:, 0]
        order = np.argsort(-np.round(terms, 12), axis=1, kind="stable")[:, :size]
        means = np.take_along_axis(terms, order, axis=1).sum(axis=1)
        better = np.flatnonzero(means > best + 1e-12)
        best[better], chosen[better] = means[better], False
        chosen[better[:, None], order[better]] = True
    return chosen


class Thresholds:
    """The probability from which on each label is in a set.

    Attributes:
        least: (labels,).
        never_empty: whether a set has its likeliest label at least, as all sets of the pool have.
    """

    def __init__(self, least: Floats, never_empty: bool) -> None:
        self.least, self.never_empty = least, never_empty

    def __call__(self, chances: Floats) -> Members:
        chosen: Members = chances >= self.least
        if self.never_empty and chances.shape[1]:
            empty = np.flatnonzero(~chosen.any(axis=1))
            likeliest = (chances[empty] / self.least).argmax(axis=1)
            chosen[empty, likeliest] = True
        return chosen

    @classmethod
    def chosen(cls, chances: Floats, members: Members) -> Thresholds:
        """Choose them on (n, labels) probabilities of rows that these were not learnt from.

        The common threshold has the best mean example-F1. Each label's own has its best F1, and
        is drawn towards the common one where the label has few rows.
        """
        never_empty = bool(len(members)) and bool(members.any(axis=1).all())
        if not members.any():
            return cls(np.full(members.shape[1], 0.5), never_empty)
        tried = np.unique(np.quantile(chances, 1 - np.geomspace(0.5 / chances.size, 0.5, TRIED)))
        tried = tried.clip(EDGE, 1 - EDGE)
        scores = [
            example_f1s(cls(np.full(members.shape[1], t), never_empty)(chances), members).mean()
            for t in tried
        ]
        common = _logit(tried[int(np.argmax(scores))])
        rows = members.sum(axis=0)
        own = np.array([_best_cut(chances[:, i], members[:, i]) for i in range(len(rows))])
        mixed = (rows * _logit(own) + COMMON_ROWS * common) / (rows + COMMON_ROWS)
        return cls(1 / (1 + np.exp(-mixed)), never_empty)


def _logit(chance: Any) -> Any:
    clipped = np.clip(chance, EDGE, 1 - EDGE)
    return np.log(clipped / (1 - clipped))


def _best_cut(chances: Floats, members: Members) -> float:
    """Return the threshold with the best F1 of one label; 0.5 for a label without rows."""
    if not members.any():
        return 0.5
    order = np.argsort(-chances, kind="stable")
    ranked, right = chances[order], np.cumsum(members[order])
    f1 = 2 * right / (np.arange(1, len(ranked) + 1) + members.sum())
    below = np.append(ranked[1:], 0.0)
    f1[ranked == below] = 0.0  # no threshold separates equal chances
    best = int(np.argmax(f1))
    return float((ranked[best] + below[best]) / 2)


class SetHead:
    """One logistic regression a label, each against the rest, with thresholds chosen on the pool.

    Attributes:
        thresholds: chosen on probabilities of rows that were left out of a fit.
    """

    def __init__(self, C: float) -> None:
        self.C = C

    def fit(self, features: Any, members: Members) -> None:
        """Learn from (n, d) features, dense or sparse, and (n, labels) members."""
        merged = MergedColumns.of(features)
        rows = merged(features) if merged else features
        parts = np.arange(len(members)) % PARTS
        chances = np.zeros(members.shape)
        for part in range(min(PARTS, len(members))):
            own = parts == part
            weights = _fitted(rows[~own], members[~own], self.C)
            chances[own] = _chances(rows[own], weights)
        self.thresholds = Thresholds.chosen(chances, members)
        weights = _fitted(rows, members, self.C)
        coefficients = weights[:-1].T.astype(np.float64)
        self.weights: Floats = merged.unfold(coefficients) if merged else coefficients
        self.bias: Floats = weights[-1].astype(np.float64)

    def probabilities(self, features: Any) -> Floats:
        return _sigmoid(np.asarray(features @ self.weights.T) + self.bias)

    def answers(self, choices: Sequence[str], features: Any) -> Answers:
        chances = self.probabilities(features)
        return set_answers(choices, self.thresholds(chances), chances)

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        arrays = {"weights": self.weights, "bias": self.bias, "least": self.thresholds.least}
        return {"C": self.C, "never_empty": self.thresholds.never_empty}, arrays

    @classmethod
    def restored(
        cls,
        facts: Mapping[str, Any],
        arrays: Mapping[str, Any],
        choices: Sequence[str],
        features: int = -1,
    ) -> SetHead:
        """Rebuild a head from what `state` returned.

        Raises:
            ValueError: if the arrays do not fit the labels.
        """
        head = cls(float(facts["C"]))
        head.weights = floats(arrays, "weights", len(choices), features)
        head.bias = floats(arrays, "bias", len(choices))
        least = floats(arrays, "least", len(choices))
        head.thresholds = Thresholds(least, bool(facts["never_empty"]))
        return head


def _sigmoid(logits: Floats) -> Floats:
    return 1 / (1 + np.exp(-np.clip(logits, -500, 500)))


def _chances(rows: Any, weights: Weights) -> Floats:
    logits = np.asarray(rows @ weights[:-1]) + weights[-1]
    return _sigmoid(logits.astype(np.float64))


def _fitted(rows: Any, members: Members, C: float) -> Weights:
    """Return (d + 1, labels) weights, the intercepts last, as scikit-learn would fit each label."""
    loss = _EachLabel(rows, members, 1 / (C * max(1, len(members))))
    return minimise(loss, loss.shape)


class _EachLabel:
    """The sum over labels of the mean log loss with an L2 penalty on the weights."""

    def __init__(self, features: Any, members: Members, penalty: float) -> None:
        self.rows, self.members = features.astype(np.float32), members.astype(np.float32)
        self.shape, self.penalty = (features.shape[1] + 1, members.shape[1]), penalty

    def __call__(self, weights: Weights) -> tuple[float, Weights]:
        logits = np.asarray(self.rows @ weights[:-1]) + weights[-1]
        count = max(1, len(self.members))
        losses = np.logaddexp(0, logits).sum(dtype=np.float64)
        losses -= np.vdot(logits, self.members)
        wrong = (1 / (1 + np.exp(-np.clip(logits, -80, 80))) - self.members) / count
        gradient = weights * np.float32(self.penalty)
        gradient[-1] = 0
        gradient[:-1] += np.asarray(self.rows.T @ wrong)
        gradient[-1] += wrong.sum(axis=0)
        squares = float(np.vdot(weights[:-1], weights[:-1]))
        return float(losses) / count + 0.5 * self.penalty * squares, gradient


# Values of C, the usual one first.
STRENGTHS = (10.0, 1.0, 3.0, 30.0, 100.0)

# Rows a label, on average, from which on C is chosen. Below the choice gains nothing.
ROWS_A_LABEL = 10

# Keeps the logarithm of a probability finite.
LEAST = 1e-9


@dataclass(frozen=True, slots=True)
class Sample:
    """Rows of a pool on which settings are compared.

    Attributes:
        places: (n,) indices of the rows in the pool, ascending.
        clusters: (n,) numbers; near-duplicates and rows of a group share one.
    """

    places: Counts
    clusters: Counts


def sample_rows(task: Task, examples: Sequence[Example], most: int) -> Sample:
    """Return at most `most` rows of a pool, stratified; no seed decides which."""
    ids = [e.id for e in examples]
    kept = {*stratified_sample(ids, strata_of(task, examples), most, "inner")}
    places = [place for place, id in enumerate(ids) if id in kept]
    rows = [examples[place] for place in places]
    cluster, numbers = clusters_of(rows, index_texts(rows)), dict[str, int]()
    own = [numbers.setdefault(cluster.get(e.id, f"row {e.id}"), len(numbers)) for e in rows]
    return Sample(np.array(places, dtype=np.int64), np.array(own, dtype=np.int64))


def choose_strength(rows: Floats, targets: Sequence[str], clusters: Counts) -> float:
    """Return the C of a logistic regression that gives held-out labels the highest likelihood.

    The usual one stays unless another is better by more than a standard error of the paired
    difference, and where the rows are too few or the time is too short.

    Args:
        rows: (n, d) features.
        targets: (n,) labels.
        clusters: (n,) numbers; rows of one cluster are held out together.
    """
    if len(rows) < ROWS_A_LABEL * len(set(targets)):
        return STRENGTHS[0]
    part, labels = clusters % PARTS, np.array(targets)
    likelihood = np.zeros((len(STRENGTHS), len(rows)))
    parts, done, start = np.unique(part), 0, perf_counter()
    for held in (part == number for number in parts):
        for setting, C in enumerate(STRENGTHS):
            head = LogisticHead(C)
            head.fit(rows[~held], labels[~held].tolist())
            columns = {label: column for column, label in enumerate(head.seen)}
            own = np.array([columns.get(label, -1) for label in labels[held]])
            found = head.probabilities(rows[held])[np.arange(len(own)), own]
            likelihood[setting, held] = np.log(np.where(own < 0, 0.0, found) + LEAST)
            done, total = done + 1, len(parts) * len(STRENGTHS)
            in_time = (perf_counter() - start) * (total - done) / done <= seconds_to_aim()
            if not decided_in_time("choosing C", in_time, 1):
                return STRENGTHS[0]
            report_progress(done, total, "choosing C")
    best = int(likelihood.mean(axis=1).argmax())
    gaps = likelihood[best] - likelihood[0]
    # The rule of Breiman, Friedman, Olshen and Stone (1984).
    level = gaps.mean() <= gaps.std(ddof=1) / math.sqrt(len(gaps))
    return STRENGTHS[0 if level else best]
