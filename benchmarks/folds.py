"""How much the accuracies of folds differ, and what intervals on one and on all of them cover.

    python benchmarks/folds.py --data DIR     the bundled tickets and three sets of DIR: 10 minutes
    python benchmarks/folds.py --quick        fewer divisions and samples
    python benchmarks/folds.py --coverage     the intervals only

Spread: each set is divided many times, `tfidf`, `probe` and `knn` are cross-fitted, and the
accuracies of the folds compared with the accuracy on all rows. Coverage: small samples are drawn
from a set and divided; the intervals of fold 0 and of all rows are held against the accuracy of the
same fits on the rest of the set, whose own sampling error is added to theirs. Exits with 1 if
intervals cover less than 93 %.
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import polars as pl

from choose.data.dataset import dataset_from, read_rows
from choose.data.duplicates import clusters_of, index_texts
from choose.data.stratify import stratified_folds
from choose.engines.embeddings import load_encoder
from choose.engines.weights.spec import DEFAULT_ENCODER
from choose.schema.study_sections import DataSection, TaskSection
from choose.stats.intervals import growth_of_folds, wilson
from choose.stats.paired import paired_difference
from choose.types import Example, Floats

SETS = ("trec6", "sst2", "fin_phrasebank")

ROWS, SAMPLE, FOLDS = 600, 300, 5

# Least coverage in %, and the intervals by their place in `Held.shares`.
COVERED = 93
WHAT = {0: "fold 0", 2: "all rows", 3: "a pair in fold 0", 4: "a pair on all rows"}

Codes = Any
Classifier = Callable[[Any, Codes, Any], Codes]


@dataclass(frozen=True, slots=True)
class Rows:
    """Labelled rows as arrays, with the features that the classifiers learn from."""

    examples: Sequence[Example]
    codes: Codes
    words: Any
    vectors: Floats | None
    clusters: Mapping[str, str]

    def divided(self, seed: int) -> list[Codes]:
        """Return the places of the rows of each fold."""
        classes = {row.id: (row.target,) for row in self.examples}
        parts = stratified_folds(classes, self.clusters, FOLDS, seed)
        place = {id: number for number, id in enumerate(classes)}
        return [np.array([place[id] for id in part]) for part in parts]


def rows_of(examples: Sequence[Example], embedded: bool) -> Rows:
    """Return rows with TF-IDF features and, where wanted, sentence embeddings."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts = [row.text for row in examples]
    words = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), token_pattern=r"(?u)\b\w+\b")
    vectors = None
    if embedded:
        vectors = load_encoder(DEFAULT_ENCODER).embed(texts).astype(np.float64)
    codes = np.unique([row.target for row in examples], return_inverse=True)[1]
    clusters = clusters_of(examples, index_texts(examples))
    return Rows(examples, codes, words.fit_transform(texts), vectors, clusters)


def logistic(train: Any, codes: Codes, test: Any) -> Codes:
    """Answer with logistic regression."""
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return LogisticRegression(C=10, max_iter=100).fit(train, codes).predict(test)


def nearest(train: Any, codes: Codes, test: Any) -> Codes:
    """Answer with the label that most of the eight nearest rows have, weighted by likeness."""
    likeness = np.asarray(
        (test @ train.T).todense() if hasattr(test, "todense") else test @ train.T
    )
    near = np.argpartition(-likeness, 8, axis=1)[:, :8]
    votes = np.zeros((len(near), codes.max() + 1))
    for column in near.T:
        weight = np.exp(10 * np.take_along_axis(likeness, column[:, None], axis=1)[:, 0])
        np.add.at(votes, (np.arange(len(near)), codes[column]), weight)
    return votes.argmax(axis=1)


def bayes(train: Any, codes: Codes, test: Any) -> Codes:
    """Answer with naive Bayes."""
    from sklearn.naive_bayes import MultinomialNB

    return MultinomialNB(alpha=0.1).fit(train, codes).predict(test)


def fold_accuracies(rows: Rows, features: Any, answer: Classifier, parts: list[Codes]) -> Floats:
    """Return (folds,) accuracies of fits on the other folds."""
    found = []
    for part in parts:
        others = np.setdiff1d(np.arange(len(rows.codes)), part)
        said = answer(features[others], rows.codes[others], features[part])
        found.append(np.mean(said == rows.codes[part]))
    return np.array(found)


def spreads(rows: Rows, divisions: int) -> Iterator[str]:
    """Yield a line for each candidate: accuracy on all rows, and how the folds' differ."""
    candidates = {
        "tfidf": (rows.words, logistic),
        "probe": (rows.vectors, logistic),
        "knn": (rows.vectors, nearest),
    }
    for name, (features, answer) in candidates.items():
        divided = (rows.divided(seed) for seed in range(divisions))
        found = 100 * np.array([fold_accuracies(rows, features, answer, own) for own in divided])
        spread = found.std(axis=1, ddof=1).mean()
        off = np.sqrt(((found[:, 0] - found.mean(axis=1)) ** 2).mean())
        yield f"{name:10}{found.mean():14.1f}{spread:16.1f}{off:16.1f}"


@dataclass
class Held:
    """How often intervals held what they are about, and the accuracies that were measured.

    `narrow` is of accuracies on all rows as if the folds' fits shared no training rows.
    """

    fold: list[bool]
    narrow: list[bool]
    all: list[bool]
    pair: list[bool]
    pairs: list[bool]
    accuracy: list[float]

    @property
    def shares(self) -> list[float]:
        """Return the coverage of each kind of interval in %."""
        kinds = (self.fold, self.narrow, self.all, self.pair, self.pairs)
        return [float(100 * np.mean(kind)) for kind in kinds]


def coverage(population: Rows, samples: int) -> Held:
    """Return what intervals of small samples held.

    The truth of a fit is its accuracy on all rows of the population outside of the sample.
    """
    found = Held([], [], [], [], [], [])
    for seed in range(samples):
        places = np.array(sorted(Random(seed).sample(range(len(population.codes)), SAMPLE)))
        rest = np.setdiff1d(np.arange(len(population.codes)), places)
        sample = Rows(
            [population.examples[place] for place in places],
            population.codes[places],
            population.words[places],
            None,
            {},
        )
        _hold(found, sample, sample.divided(seed), population, (places, rest))
    return found


def _hold(
    held: Held,
    sample: Rows,
    parts: list[Codes],
    population: Rows,
    places: tuple[Codes, Codes],
) -> None:
    """Add one sample; `places` are those of its rows and of all others in the population."""
    count, outside = len(sample.codes), len(places[1])
    right, truth = np.zeros((2, count)), np.zeros((2, len(parts), outside))
    for fold, part in enumerate(parts):
        others = np.setdiff1d(np.arange(count), part)
        for place, answer in enumerate((bayes, nearest)):
            asked = np.concatenate([places[0][part], places[1]])
            said = answer(sample.words[others], sample.codes[others], population.words[asked])
            hit = said == population.codes[asked]
            right[place, part], truth[place, fold] = hit[: len(part)], hit[len(part) :]
    first, sizes = parts[0], [len(part) for part in parts]
    growth = growth_of_folds(sizes, count, count - len(first))
    for own, outer in zip(right, truth, strict=True):
        everywhere = outer.mean(axis=0)
        held.fold.append(_inside(wilson(own[first].sum(), len(first)), outer[0]))
        held.narrow.append(_inside(wilson(own.sum(), count), everywhere))
        held.all.append(_inside(wilson(own.sum() / growth, count / growth), everywhere))
        held.accuracy.append(own.mean() - everywhere.mean())
    a, b = right
    for kept, rows, outer in (
        (held.pair, first, truth[0, 0] - truth[1, 0]),
        (held.pairs, np.arange(count), truth[0].mean(axis=0) - truth[1].mean(axis=0)),
    ):
        pair = paired_difference(a[rows][:, None], b[rows][:, None])
        kept.append(_inside((pair.low, pair.high), outer))


def _inside(interval: tuple[float, float], outer: Floats) -> bool:
    """Return whether an interval holds the mean of other rows, whose own error is added to it."""
    low, high = interval
    error = 1.96 * float(outer.std()) / len(outer) ** 0.5
    half = float(np.hypot((high - low) / 2, error))
    return bool(abs(outer.mean() - (low + high) / 2) <= half)


def read(data: Path, name: str) -> list[Example]:
    """Return the rows of a set's training file."""
    table = pl.read_csv(data / name / "train.csv").select("text", "label")
    rows = enumerate(table.iter_rows())
    return [Example(id=f"r{n}", text=text, target=label) for n, (text, label) in rows]


def main() -> int:
    """Measure, print, and return 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    shared = Path(__file__).resolve().parents[2] / "shared" / "data"
    parser.add_argument("--data", type=Path, default=shared, help="folder of the real sets")
    parser.add_argument("--divisions", type=int, default=20)
    parser.add_argument("--samples", type=int, default=400)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--coverage", action="store_true", help="no spread")
    given = parser.parse_args()
    divisions, samples = (3, 40) if given.quick else (given.divisions, given.samples)
    names = [name for name in SETS if (given.data / name / "train.csv").is_file()]
    if not given.coverage:
        show_spread(given.data, names, divisions)
    return cover(given.data, names, samples)


def show_spread(data: Path, names: Sequence[str], divisions: int) -> None:
    """Print how the accuracies of folds differ."""
    print(
        f"Spread over {FOLDS} folds, points; {divisions} divisions each\n"
        f"{'':10}{'accuracy':>14}{'sd of folds':>16}{'fold 0 is off':>16}"
    )
    section = DataSection(path="sample:tickets")
    tickets = dataset_from(read_rows(section), section, TaskSection())
    for name in ("tickets", *names):
        examples = list(tickets.examples.values())
        if name != "tickets":
            examples = Random(0).sample(read(data, name), ROWS)
        print(f"{name}, {len(examples)} rows", flush=True)
        for line in spreads(rows_of(examples, embedded=True), divisions):
            print(line, flush=True)


def cover(data: Path, names: Sequence[str], samples: int) -> int:
    """Print the coverage of intervals; return 1 where it is wrong."""
    print(
        f"\nCoverage of 95 % intervals, %; {samples} samples of {SAMPLE} rows; naive Bayes and "
        f"knn\n{'':16}{'fold 0':>9}{'as if alone':>13}{'all rows':>10}{'pair, fold 0':>14}"
        f"{'pair, all':>11}{'accuracy less truth':>21}"
    )
    shares = []
    for name in names:
        held = coverage(rows_of(read(data, name), embedded=False), samples)
        bias = 100 * np.mean(held.accuracy)
        error = 100 * np.std(held.accuracy) / np.sqrt(len(held.accuracy))
        cells = held.shares
        print(
            f"{name:16}{cells[0]:9.1f}{cells[1]:13.1f}{cells[2]:10.1f}{cells[3]:14.1f}"
            f"{cells[4]:11.1f}{bias:13.2f} \u00b1 {1.96 * error:.2f}",
            flush=True,
        )
        shares.append(cells)
    found = np.mean(shares, axis=0) if names else {}
    missed = [
        f"{what}: covers {found[place]:.1f} %, at least {COVERED} % asked"
        for place, what in WHAT.items()
        if names and found[place] < COVERED
    ]
    print("\n".join(["", "Missed targets:", *missed] if missed else ["", "All targets are met."]))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
