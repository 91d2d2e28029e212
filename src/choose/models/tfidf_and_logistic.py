"""TF-IDF features, logistic regressions of labels and of sets of labels, and the choice of C."""

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from time import perf_counter
from typing import Any, Self

import numpy as np

from choose.data.duplicates import clusters_of, index_texts
from choose.data.stratify import strata_of, stratified_sample
from choose.progress import decided_in_time, report_progress, seconds_to_aim
from choose.tasks.multilabel import Multilabel, read_set, set_text
from choose.types import Answers, Bools, Counts, Example, Floats, Task

# The probability of a label that the pool lacks, since 0 has no logarithm.
FLOOR = 1e-9

# Most passes of a fit, and most weights for the terms of a vectoriser: the solver holds some 25
# copies of each in double precision.
MAX_PASSES, MOST_WEIGHTS = 1_000, 8_000_000

# Texts, or columns, between two reports of progress.
_REPORT_EVERY = 1_000

# Options of scikit-learn's vectoriser by name; saved strategies hold these names. Single-character
# words and digits carry meaning in short texts, and the default pattern drops them.
VECTORISERS: Mapping[str, Mapping[str, Any]] = {
    "words": {"ngram_range": (1, 2), "sublinear_tf": True, "token_pattern": r"(?u)\b\w+\b|[^\w\s]"},
    "characters": {"analyzer": "char_wb", "ngram_range": (2, 4), "sublinear_tf": True, "min_df": 2},
    # For a pool of blanks, or of one row, in which the others find no term.
    "letters": {"analyzer": "char", "lowercase": False},
}


class TfidfFeatures:
    """Texts as sparse TF-IDF rows; the vocabulary and the weights come from the pool alone.

    `most` limits the terms of each vectoriser to the most frequent ones.
    """

    def __init__(self, *vectorisers: str, most: int | None = None) -> None:
        self.vectorisers, self.most = vectorisers, most

    def fit(self, texts: Sequence[str]) -> Any:
        """Learn the vocabulary and return the (n, d) matrix of the training texts."""
        try:
            return self._fit(texts)
        except ValueError:  # no term left
            self.vectorisers = ("letters",)
            return self._fit(texts)

    def __call__(self, texts: Sequence[str]) -> Any:
        """Return (n, d) features; none at all for no texts, which scikit-learn refuses."""
        return self.union.transform(_Reported(texts or [""]))[: len(texts)]

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        fitted = dict(self.union.transformer_list)
        terms = {name: one.get_feature_names_out().tolist() for name, one in fitted.items()}
        return {"terms": terms}, {f"idf {name}": one.idf_ for name, one in fitted.items()}

    @classmethod
    def restored(cls, facts: Mapping[str, Any], arrays: Mapping[str, Any]) -> Self:
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
            [
                (name, TfidfVectorizer(**VECTORISERS[name], max_features=self.most))
                for name in self.vectorisers
            ]
        )
        return self.union.fit_transform(_Reported(texts))


class _Reported(list[str]):
    """Texts that report progress while a vectoriser reads them."""

    def __iter__(self) -> Iterator[str]:
        for number, text in enumerate(super().__iter__()):
            if number % _REPORT_EVERY == 0:
                report_progress(number, len(self), "vectorising")
            yield text


def merging_of(rows: Any) -> Any:
    """Return a sparse (d, r) matrix that merges columns which are multiples of each other.

    Weights under an L2 penalty lie in the space that the training rows span (the representer
    theorem; Schoelkopf, Herbrich and Smola 2001), so they are shared within a group in proportion
    to its columns, and merging changes neither the fit nor the solver's path. Of 5,452 questions
    52,673 columns become 24,773, and the fit takes 1.4 s instead of 2.6 s.
    """
    from scipy.sparse import csr_matrix

    columns = rows.tocsc()
    columns.sort_indices()
    counts = np.diff(columns.indptr)
    column = np.repeat(np.arange(len(counts)), counts)
    lengths = np.sqrt(np.bincount(column, columns.data**2, minlength=len(counts)))
    # Rounded, since the same ratios are computed in different ways.
    directions, ends = np.round(columns.data / lengths[column], 10), columns.indptr.tolist()
    numbers: dict[bytes, int] = {}
    group = np.zeros(len(counts), dtype=np.int64)
    for place, (a, b) in enumerate(pairwise(ends)):
        if place % _REPORT_EVERY == 0:
            report_progress(place, len(ends), "merging columns")
        content = columns.indices[a:b].tobytes() + directions[a:b].tobytes()
        group[place] = numbers.setdefault(content, len(numbers))
    whole = np.sqrt(np.bincount(group, lengths**2))
    share = np.divide(lengths, whole[group], out=np.zeros_like(lengths), where=lengths > 0)
    return csr_matrix((share, (np.arange(len(group)), group)))


def logistic_weights(features: Any, groups: Sequence[Sequence[Any]], C: float) -> list[Floats]:
    """Fit a logistic regression to (n, d) features, dense or sparse, for each list of n classes.

    Return (k, d + 1) weights of each, the intercepts last; k is 1 for two classes, and for a single
    one, whose weights are 0.
    """
    from scipy.sparse import issparse
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    merging = merging_of(features) if issparse(features) and features.nnz else None
    rows = features if merging is None else (features @ merging).tocsr()
    if merging is not None and len(groups) == 1:
        rows = _reporting(rows)
    found = []
    # The solver's products are so small that threads wait for each other: 8,000 rows of 384
    # features with 20 labels take 0.2 s of a core on one thread, 3 s on two. A fit that stops
    # at its last pass is used as it is.
    with threadpool_limits(limits=1, user_api="blas"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number, classes in enumerate(groups):
            if len(groups) > 1:
                report_progress(number, len(groups), "logistic fits")
            if len({*classes}) < 2:
                found.append(np.zeros((1, features.shape[1] + 1)))
                continue
            model = LogisticRegression(C=C, max_iter=MAX_PASSES)
            model.fit(rows, list(classes))
            weights = model.coef_ if merging is None else (merging @ model.coef_.T).T
            found.append(np.hstack([weights, model.intercept_[:, None]]))
    return found


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


class LogisticHead:
    """Multinomial logistic regression that also accepts a pool with a single class.

    Attributes:
        labels: all that may be answered.
        seen: those of the pool, sorted.
        weights: (k, d + 1), as `logistic_weights` returns them; they hold no row of the pool.
    """

    def __init__(self, labels: Sequence[str], C: float) -> None:
        self.labels, self.C = tuple(labels), C

    def fit(self, features: Any, targets: Sequence[str]) -> None:
        """Learn from (n, d) features, dense or sparse."""
        self.seen = sorted(set(targets))
        [self.weights] = logistic_weights(features, [targets], self.C)

    def scores(self, features: Any) -> Floats:
        """Return (n, labels) log-probabilities."""
        from scipy.special import softmax

        logits = _logits(features, self.weights)
        if len(self.seen) == 2:
            logits = np.hstack([np.zeros_like(logits), logits])
        full = np.full((len(logits), len(self.labels)), FLOOR)
        full[:, [self.labels.index(label) for label in self.seen]] += softmax(logits, axis=1)
        return np.asarray(np.log(full / full.sum(axis=1, keepdims=True)))

    def answers(self, features: Any) -> Answers:
        return Answers.from_scores(self.labels, self.scores(features))

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        return {"labels": self.labels, "C": self.C, "seen": self.seen}, {"weights": self.weights}


def _logits(features: Any, weights: Floats) -> Floats:
    return np.asarray(features @ weights[:, :-1].T) + weights[:, -1]


# Parts of a pool, each of which is held out in turn where thresholds or C are chosen.
PARTS = 3

# A label's own threshold counts against the common one as its rows against so many.
COMMON_ROWS = 10.0

# Thresholds that are tried for all labels together.
TRIED = 40

# Probabilities of the largest confidence that a threshold can ask for.
EDGE = 1e-6

# Log-odds of a label that every row of a pool has.
CERTAIN = 10.0


def members_of(choices: Sequence[str], targets: Sequence[str]) -> Bools:
    """Return (n, labels) which labels each set holds."""
    place = {label: number for number, label in enumerate(choices)}
    found = np.zeros((len(targets), len(choices)), dtype=np.bool_)
    for row, target in enumerate(targets):
        found[row, [place[label] for label in read_set(target)]] = True
    return found


def set_answers(
    choices: Sequence[str], chosen: Bools, chances: Floats | None = None, **facts: Any
) -> Answers:
    """Return (n, labels) chosen labels as answers.

    With (n, labels) `chances`, the confidence is that every label is right, as if independent.
    """
    outputs = tuple(set_text(choices[i] for i in np.flatnonzero(row).tolist()) for row in chosen)
    if chances is not None:
        sure = np.where(chosen, chances, 1 - chances).clip(EDGE, 1.0)
        facts["confidence"] = np.exp(np.log(sure).sum(axis=1))
    return Answers(outputs=outputs, status=tuple("ok" for _ in outputs), **facts)


def example_f1s(chosen: Bools, members: Bools) -> Floats:
    """Return (n,) example-F1; 1 where both sets are empty."""
    total = chosen.sum(axis=1) + members.sum(axis=1)
    both = 2.0 * (chosen & members).sum(axis=1)
    return np.divide(both, total, out=np.ones(len(total)), where=total > 0)


def best_set(members: Bools, weights: Floats) -> Bools:
    """Return (labels,) the set with the highest mean example-F1 against weighted sets."""
    return best_sets(members[None], weights[None])[0]


def best_sets(members: Bools, weights: Floats) -> Bools:
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

    def __call__(self, chances: Floats) -> Bools:
        chosen: Bools = chances >= self.least
        if self.never_empty and chances.shape[1]:
            empty = np.flatnonzero(~chosen.any(axis=1))
            chosen[empty, (chances[empty] / self.least).argmax(axis=1)] = True
        return chosen

    @classmethod
    def chosen(cls, chances: Floats, members: Bools) -> Self:
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


def _best_cut(chances: Floats, members: Bools) -> float:
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
        choices: all labels that a set may hold.
        weights: (labels, d + 1), the intercepts last.
        thresholds: chosen on probabilities of rows that were left out of a fit.
    """

    def __init__(self, choices: Sequence[str], C: float) -> None:
        self.choices, self.C = tuple(choices), C

    def fit(self, features: Any, targets: Sequence[str]) -> None:
        """Learn from (n, d) features, dense or sparse."""
        members = members_of(self.choices, targets)
        parts = np.arange(len(members)) % PARTS
        chances = np.zeros(members.shape)
        for part in range(min(PARTS, len(members))):
            own = parts == part
            self.weights = self._fitted(features[~own], members[~own])
            chances[own] = self.probabilities(features[own])
        self.thresholds = Thresholds.chosen(chances, members)
        self.weights = self._fitted(features, members)

    def _fitted(self, features: Any, members: Bools) -> Floats:
        weights = np.vstack(logistic_weights(features, [*members.T], self.C))
        # The log-odds of a label that all rows have, or none has.
        always, never = members.all(axis=0), ~members.any(axis=0)
        weights[:, -1] += CERTAIN * (always & ~never) - CERTAIN * never
        return weights

    def probabilities(self, features: Any) -> Floats:
        from scipy.special import expit

        return np.asarray(expit(_logits(features, self.weights)))

    def answers(self, features: Any) -> Answers:
        chances = self.probabilities(features)
        return set_answers(self.choices, self.thresholds(chances), chances)

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        arrays = {"weights": self.weights, "least": self.thresholds.least}
        facts = {"labels": self.choices, "C": self.C}
        return {**facts, "never_empty": self.thresholds.never_empty}, arrays


def head_for(task: Task, C: float) -> LogisticHead | SetHead:
    """Return a head that can learn a task's labels, or its sets of labels."""
    if isinstance(task, Multilabel):
        return SetHead(task.choices, C)
    return LogisticHead(task.labels, C)


def head_from(facts: Mapping[str, Any], arrays: Mapping[str, Any]) -> LogisticHead | SetHead:
    labels, C = tuple(facts["labels"]), float(facts["C"])
    head: LogisticHead | SetHead
    if "never_empty" in facts:
        head = SetHead(labels, C)
        head.thresholds = Thresholds(arrays["least"], bool(facts["never_empty"]))
    else:
        head = LogisticHead(labels, C)
        head.seen = list(facts["seen"])
    head.weights = arrays["weights"]
    return head


# Values of C, the usual one first.
STRENGTHS = (10.0, 1.0, 3.0, 30.0, 100.0)

# Rows a label, on average, from which on C is chosen. Below the choice gains nothing.
ROWS_A_LABEL = 10


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

    Rows are (n, d) features, targets (n,), clusters (n,) numbers, each held out as a whole.
    """
    if len(rows) < ROWS_A_LABEL * len(set(targets)):
        return STRENGTHS[0]
    part = clusters % PARTS
    labels, codes = np.unique(targets, return_inverse=True)
    likelihood = np.zeros((len(STRENGTHS), len(rows)))
    parts, done, start = np.unique(part), 0, perf_counter()
    for held in (part == number for number in parts):
        for setting, C in enumerate(STRENGTHS):
            head = LogisticHead(labels.tolist(), C)
            head.fit(rows[~held], labels[codes[~held]].tolist())
            # Rounded, since the last digits of a fold without one of the labels say nothing.
            scores = head.scores(rows[held]).round(5)
            likelihood[setting, held] = scores[np.arange(len(scores)), codes[held]]
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
