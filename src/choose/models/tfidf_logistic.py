"""TF-IDF features and logistic regression, as the baselines use them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from choose.models.classical.logistic_solver import MAX_PASSES, BoundedLogistic, is_large
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
            with warnings.catch_warnings():
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
