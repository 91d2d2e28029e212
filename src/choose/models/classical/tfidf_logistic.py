"""TF-IDF features and logistic regression, as the baselines use them."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from choose.progress import report_progress
from choose.types import Floats

# The probability of a label that the pool lacks, since 0 has no logarithm.
FLOOR = 1e-9

# Beyond this many rows the products of all with all would take too much memory.
MAX_ROW_SPACE_ROWS = 2_000

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
        """Return the (m, d) matrix of other texts."""
        return self.union.transform(_Reported(texts))

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the terms of each vectoriser, in order, and their IDF weights."""
        fitted = dict(self.union.transformer_list)
        terms = {name: one.get_feature_names_out().tolist() for name, one in fitted.items()}
        return {"terms": terms}, {f"idf {name}": one.idf_ for name, one in fitted.items()}

    @classmethod
    def restored(cls, facts: Mapping[str, Any], arrays: Mapping[str, Any]) -> TfidfFeatures:
        """Rebuild scikit-learn's vectorisers from what `state` returned."""
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

    Weights under an L2 penalty are shared within a group in proportion to its columns (by the
    representer theorem, as in `RowSpace`), so merging changes neither the fit nor the solver's
    path. Measured on 5,452 questions: 52,673 columns become 24,773, and the fit
    takes 1.4 s instead of 2.6 s.
    """

    def __init__(self, rows: Any) -> None:
        """Take (n, d) sparse rows."""
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

    def __call__(self, rows: Any) -> Any:
        """Return (m, r) sparse rows of (m, d) sparse rows."""
        return (rows @ self.projection).tocsr()

    def unfold(self, weights: Floats) -> Floats:
        """Return (k, d) weights on the features that predict as (k, r) on the merged ones do."""
        unfolded: Floats = np.asarray(self.projection @ weights.T).T
        return unfolded


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
    scores: Floats = np.log(full / full.sum(axis=1, keepdims=True))
    return scores


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
        self.coordinates = fastest_space(features, len(self.seen))
        features = self.coordinates(features) if self.coordinates else features
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
        """Return (n, seen) probabilities."""
        if self.model is None:
            return np.ones((features.shape[0], 1))
        features = self.coordinates(features) if self.coordinates else features
        probabilities: Floats = self.model.predict_proba(features)
        return probabilities

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the labels seen, and a weight for each feature in the space of the features.

        The weights hold no row of the pool.
        """
        facts = {"C": self.C, "seen": [str(label) for label in self.seen]}
        if self.model is None:
            return facts, {}
        weights = self.model.coef_
        if self.coordinates is not None:
            weights = self.coordinates.unfold(weights)
        return facts, {"weights": weights, "bias": self.model.intercept_}

    @classmethod
    def restored(cls, facts: Mapping[str, Any], arrays: Mapping[str, Any]) -> LogisticHead:
        """Rebuild scikit-learn's classifier from what `state` returned."""
        from sklearn.linear_model import LogisticRegression

        head = cls(facts["C"])
        head.seen, head.model, head.coordinates = list(facts["seen"]), None, None
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


def fastest_space(features: Any, classes: int) -> RowSpace | MergedColumns | None:
    """Return the space in which features are fitted fastest; each gives the same fit."""
    from scipy.sparse import issparse

    if row_space_is_faster(features, classes):
        return RowSpace(features)
    return MergedColumns(features) if issparse(features) and features.nnz else None


def row_space_is_faster(features: Any, classes: int) -> bool:
    """Return whether sparse rows are few enough for their features to be fitted in row space.

    The eigenvectors cost n^3 operations; they save some 60 passes, each over all entries and,
    in the solver's own memory, over all features, once a class. The weights of the two were
    measured on sets of 200 to 1,360 rows: 1,360 short questions take 0.6 s instead of 4.1 s.
    """
    from scipy.sparse import issparse

    rows, columns = features.shape
    if not issparse(features) or not 1 < rows <= MAX_ROW_SPACE_ROWS or 4 * rows >= columns:
        return False
    return bool(rows**3 < classes * (100 * features.nnz + 860 * columns))


class RowSpace:
    """Sparse rows as coordinates in the space that the training rows span.

    Weights of a model with an L2 penalty lie in that space (the representer theorem; Schoelkopf,
    Herbrich and Smola 2001), so a fit on these n coordinates is the fit on the d features, at a
    fraction of the time where n is far smaller than d. Measured on 482 tickets with 27,000
    features: 0.25 s instead of 1.7 s.
    """

    def __init__(self, rows: Any) -> None:
        """Take (n, d) sparse rows."""
        self.rows = rows
        values, vectors = np.linalg.eigh((rows @ rows.T).toarray())
        nonzero = values > values[-1] * 1e-10
        self.projection = vectors[:, nonzero] / np.sqrt(values[nonzero])

    def __call__(self, rows: Any) -> Floats:
        """Return (m, r) coordinates of (m, d) sparse rows."""
        coordinates: Floats = np.asarray((rows @ self.rows.T) @ self.projection)
        return coordinates

    def unfold(self, weights: Floats) -> Floats:
        """Return (k, d) weights on the features that predict as (k, r) on coordinates do."""
        unfolded: Floats = np.asarray(self.rows.T @ (self.projection @ weights.T)).T
        return unfolded


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
        solution = minimise(loss)
        if binary:
            solution = solution[:, 1:] - solution[:, :1]
        weights, self.intercept_ = solution[:-1].T, solution[-1].astype(np.float64)
        if columns is not None:
            kept, width = weights, features.shape[1]
            weights = np.zeros((len(kept), width), np.float32)
            weights[:, columns] = kept
        self.coef_ = weights

    def predict_proba(self, features: Any) -> Floats:
        """Return (n, classes) probabilities."""
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
    columns: npt.NDArray[np.int64] = np.sort(np.argsort(-counts, kind="stable")[:most])
    return columns


class _Loss:
    """The mean log loss with an L2 penalty, of (d + 1, classes) weights; the intercepts last."""

    def __init__(
        self, features: Any, places: npt.NDArray[np.int64], classes: int, penalty: float
    ) -> None:
        self.rows, self.places = features.astype(np.float32), places
        self.shape, self.penalty = (features.shape[1] + 1, classes), penalty
        self.step = max(1, _BLOCK // classes)

    def __call__(self, weights: Weights) -> tuple[float, Weights]:
        """Return the loss and its gradient."""
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


class Loss(Protocol):
    """A function of weights to minimise."""

    shape: tuple[int, int]

    def __call__(self, weights: Weights) -> tuple[float, Weights]:
        """Return the loss and its gradient."""
        ...


def minimise(loss: Loss) -> Weights:
    """Return the weights at which the largest entry of the gradient is within the tolerance.

    Single precision may not get there. scipy's solver, in double precision, takes 1.4 to 3 times
    as long (3,000 rows with 77 labels; 1,000 rows with 48 labels each against the rest).
    """
    weights = np.zeros(loss.shape, np.float32)
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
