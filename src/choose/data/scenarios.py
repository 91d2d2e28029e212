"""Training pool and test rows of every trial: standard, noise, time, source, new class."""

import re
from bisect import bisect_left, bisect_right
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import blake2b
from itertools import chain, islice, zip_longest
from random import Random

from choose.corpus import Corpus
from choose.data.stratify import (
    disjoint_from,
    folds_of,
    sampling_order,
    strata_of,
    stratified_sample,
    training_pool,
)
from choose.tasks.answering import corpus_of, with_corpus
from choose.tasks.evidence_spans import evidence_of_another
from choose.tasks.kinds import KINDS
from choose.tasks.ranking import read_scores
from choose.types import Dataset, Example, Fold, Item, Scenario, Task, Trial

# Other rows that are tried, in the order of a ring, for a target that differs.
DONORS = 200


def noisy(
    pool: Sequence[Example],
    task: Task,
    rate: float,
    seed: int,
    donors: Sequence[Example] | None = None,
) -> list[Example]:
    """Return a pool in which each row has another target with probability `rate`, in its order.

    A label becomes any of the others, a set loses or gains a label, a ranking gets the document of
    another question, and records and texts swap rows; evidence follows the answer
    (`evidence_of_another`). Whether a row changes, and to what, depends on its id, its target and
    the seed alone, so that a higher rate changes a superset of the rows in the same way. What a row
    takes from other rows, it takes from `donors` (by default the pool), which should be the whole
    pool of a fold, so that smaller pools get the same noise.
    """
    if not rate:
        return list(pool)
    flips = [row for row in pool if _uniform("flip", seed, row.id) < rate]
    changed = {row.id: row for row in _disturbed(flips, task, seed, donors or pool)}
    return [changed.get(row.id, row) for row in pool]


def _disturbed(
    rows: Sequence[Example], task: Task, seed: int, donors: Sequence[Example]
) -> Iterator[Example]:
    kind = KINDS[task.kind]
    if kind.disturb is None:
        for row in rows:
            others = [label for label in task.labels if label != row.target]
            yield replace(row, target=others[int(_uniform("label", seed, row.id) * len(others))])
        return
    ring = sorted(donors, key=lambda e: (_uniform("donor", seed, e.id), e.id))
    places = [_uniform("donor", seed, row.id) for row in ring]
    follows = corpus_of(task) if kind.reads_passages else None
    for row in rows:
        draw = partial(_uniform, seed=seed, id=row.id)
        start = bisect_right(places, draw("donor"))
        donated = (ring[(start + i) % len(ring)].target for i in range(min(DONORS, len(ring))))
        target = kind.disturb(row.target, donated, draw)
        if target != row.target:
            row = replace(row, target=target, accepted=())
            if row.evidence and follows is not None:
                row = replace(row, evidence=evidence_of_another(row, follows))
        yield row


def _uniform(purpose: str, seed: int, id: str) -> float:
    hashed = blake2b(f"{purpose} {seed} {id}".encode("utf-8", "surrogatepass"), digest_size=7)
    return int.from_bytes(hashed.digest(), "big") / 2**56


# Swapping two letters of these gives another word; the rest carry a meaning by themselves.
_KEPT = re.compile(
    "angel|angle|brat|calm|casual|causal|clam|cannot|could|cloud|dairy|diary|form|from|marital"
    "|martial|never|none|nothing|quiet|quite|sacred|scared|silver|sliver|tired|trail|trial|tried"
    "|united|unless|untied|until|without",
    re.IGNORECASE,
)

_WORD = re.compile(r"(?<![\w@#/.'-])[^\W\d_]{4,}(?![\w@/'-]|\.\w|:/)")


def with_typos(
    items: Sequence[Item], copied: Mapping[str, Sequence[str]] | None = None
) -> list[Item]:
    """Return items with typos, which depend on their id and text alone.

    `copied` are, by id, texts that a right answer copies from the input. They stay as they are, or
    typos would change what is right.
    """
    kept = copied or {}
    return [
        replace(item, text=typos(item.text, Random(f"typos-0-{item.id}"), kept.get(item.id, ())))
        for item in items
    ]


def typos(text: str, random: Random, kept: Sequence[str] = ()) -> str:
    """Swap two inner letters in one word of ten, at least one; names, links and codes stay."""
    fixed = bytearray(len(text))
    for part in filter(None, kept):
        for match in re.finditer(re.escape(part), text):
            fixed[match.start() : match.end()] = b"\1" * len(part)
    words = [m for m in _WORD.finditer(text) if not _KEPT.fullmatch(m[0]) and _swaps(m[0])]
    words = [m for m in words if not any(fixed[m.start() : m.end()])]
    chosen = random.sample(words, min(len(words), max(1, round(len(words) / 10))))
    letters = list(text)
    for match in chosen:
        i = match.start() + random.choice(_swaps(match[0]))
        letters[i], letters[i + 1] = letters[i + 1], letters[i]
    return "".join(letters)


def _swaps(word: str) -> list[int]:
    # The first and the last letter stay: so written, words are still read without effort.
    return [i for i in range(1, len(word) - 2) if word[i] != word[i + 1]]


# References to rows that are cached, of pools and test rows together: 64 MB at 8 bytes each. A
# study of 10,000 rows has about 200 splits, so all of its pools fit.
CACHED_ROWS = 8_000_000

# Rolling origins, as shares of the dated rows; the tenth that follows each is its test set.
ORIGINS = (0.5, 0.6, 0.7, 0.8)
TEST_SHARE = 0.1

# The share of rows that must have a date, and the rows needed on either side of an origin.
MIN_DATED = 0.95
MIN_ROWS = 20

# Sources that are left out in turn, the largest first, and rows that each needs.
SOURCES, SOURCE_ROWS = 6, 40

# A class is late if nine tenths of its rows come after the first third of all rows; the first tenth
# allows for rows with its label by mistake.
EARLY, LATE = 0.1, 1 / 3

# Rows that the withheld class must have in every pool and among the test rows.
MIN_POOL_ROWS, MIN_TEST_ROWS = 20, 10

# Classes, the withheld one included.
FEWEST_CLASSES = 3


@dataclass(frozen=True, slots=True)
class Apart:
    """Rows, those to train on and those to test on: before an origin and after it, or by source."""

    rows: Sequence[Example]
    past: Sequence[Example]
    test: Sequence[Example]


def timeline(dataset: Dataset) -> list[Example]:
    """Return the dated rows by time; without the test rows where they are held out."""
    dated = [(e.timestamp, e.id, e) for e in _rows(dataset) if e.timestamp is not None]
    return [row for _, _, row in sorted(dated)]


def _rows(dataset: Dataset) -> list[Example]:
    """Return the rows of scenarios: all, or those of the pool where test rows are held out."""
    if dataset.division == "held-out":
        rows = [dataset.examples[id] for id in dataset.folds[0].pool]
    else:
        rows = list(dataset.examples.values())
    return [row for row in rows if row.labelled]


def sources(dataset: Dataset) -> tuple[str, ...]:
    """Return the sources that are left out in turn, the largest first; none if there is but one."""
    rows = _rows(dataset)
    counts = Counter(e.source for e in rows if e.source is not None)
    found = []
    for name, count in counts.most_common(SOURCES):
        others = [e.target for e in rows if e.source != name]
        if count >= SOURCE_ROWS and len(others) >= MIN_ROWS and len(set(others)) > 1:
            found.append(name)
    return tuple(found) if len(counts) > 1 else ()


def time_split(dataset: Dataset, cut: float) -> Apart:
    """Return the dated rows in order, before and after an origin; the same moment is after it."""
    rows = timeline(dataset)
    times = [e.timestamp for e in rows if e.timestamp is not None]
    first, end = (round(share * len(rows)) for share in (cut, cut + TEST_SHARE))
    first, end = (bisect_left(times, times[n]) if n < len(rows) else n for n in (first, end))
    return Apart(rows, rows[:first], rows[first:end])


def origins(dataset: Dataset) -> tuple[float, ...]:
    """Return the origins with enough rows on either side; none where rows have no dates."""
    dated = len(timeline(dataset))
    total = len(dataset.folds[0].pool if dataset.division == "held-out" else dataset.examples)
    if dated < MIN_DATED * total or dated * TEST_SHARE < MIN_ROWS:
        return ()
    found = []
    for cut in ORIGINS:
        split = time_split(dataset, cut)
        past = disjoint_from(split.past, {e.id for e in split.test}, dataset.clusters)
        units = {dataset.clusters.get(e.id, f"alone {e.id}") for e in split.test}
        if min(len(past), len(units)) >= MIN_ROWS and len({e.target for e in past}) > 1:
            found.append(cut)
    return tuple(found)


def new_class(dataset: Dataset) -> str | None:
    """Choose the class to withhold by a rule that looks at no score; None if no class is eligible.

    It is the class that appears last, where the dates show one to be late, else the class of median
    size. A class needs two others, 20 rows in every pool and 10 test rows.
    Of records, a class is a field; those that most rows fill cannot be withheld.
    """
    eligible = _eligible(dataset)
    classes = {name for e in dataset.examples.values() for name in dataset.task.classes(e.target)}
    if not eligible or len(classes) < FEWEST_CLASSES:
        return None
    late = {label: start for label, start in _starts(dataset).items() if label in eligible}
    last = max(late, key=lambda label: (late[label], label), default=None)
    if last is not None and late[last] >= LATE:
        return last
    rows = _class_counts(dataset, dataset.examples)
    by_size = sorted(eligible, key=lambda label: (rows[label], label))
    return by_size[len(by_size) // 2]


def _eligible(dataset: Dataset) -> set[str]:
    tested = _class_counts(dataset, dataset.asked)
    pools = [_class_counts(dataset, fold.pool) for fold in dataset.folds]
    # A field is left out with all rows that fill it: a common one would leave too few rows.
    most = None if dataset.task.labels else len(dataset.examples) / 2
    total = _class_counts(dataset, dataset.examples)
    return {
        label
        for label in total
        if tested[label] >= MIN_TEST_ROWS
        and min(pool[label] for pool in pools) >= MIN_POOL_ROWS
        and (most is None or total[label] <= most)
    }


def _class_counts(dataset: Dataset, ids: Iterable[str]) -> Counter[str]:
    classes, rows = dataset.task.classes, dataset.examples
    return Counter(name for id in ids for name in classes(rows[id].target))


def _starts(dataset: Dataset) -> dict[str, float]:
    rows = timeline(dataset)
    positions: dict[str, list[int]] = {}
    for position, example in enumerate(rows):
        for name in dataset.task.classes(example.target):
            positions.setdefault(name, []).append(position)
    return {label: at[int(EARLY * len(at))] / len(rows) for label, at in positions.items()}


@dataclass(frozen=True, slots=True)
class SplitSpec:
    """A fold (or part of a scenario), a draw, a pool size (None: all) and a scenario.

    `taught` pools have the teacher's answers as targets.
    """

    fold: int
    draw: int
    size: int | None
    scenario: Scenario
    taught: bool = False


@dataclass(frozen=True, slots=True)
class Split:
    """The training pool in order, and test rows."""

    pool: list[Example]
    questions: tuple[str, ...]

    @property
    def size(self) -> int:
        return len(self.pool) + len(self.questions)


def to_learn_from(task: Task, rows: Iterable[Example], taught: bool) -> Iterator[Example]:
    """Yield the rows that have a label; if `taught`, those with a usable answer as their target."""
    for row in rows:
        if not taught:
            if row.labelled:
                yield row
        elif row.taught is not None and task.problem_with(row.taught) is None:
            yield replace(row, target=row.taught, accepted=(), taught=None)


# Test rows of a fold with evidence without which a part of the documents answers too little.
FEWEST_ASKED = 25

# Most passages of the documents about a row in a part: larger ones are in none, so that they do not
# end a small part.
MOST_ABOUT = 250


def with_some_documents(dataset: Dataset, most: int) -> Dataset | None:
    """Return a dataset with documents of at most so many passages, and the rows about these.

    Documents about a test row, those about a training row, and others take turns, in an order that
    ids decide: more passages only add documents and rows. Rows without evidence keep their share.
    None where a fold would have too few test rows, or documents were not read.
    """
    corpus, task, rows = corpus_of(dataset.task), dataset.task, dataset.examples
    if corpus is None:
        return None
    about = {
        id: {*read_scores(e.target)} if task.kind == "ranking" else {s.document for s in e.evidence}
        for id, e in rows.items()
    }
    asked = {*dataset.asked}
    parts = (asked, rows.keys() - asked)
    turns = [
        *([about[id] for id in _hashed(ids) if about[id]] for ids in parts),
        [{id} for id in _hashed(corpus.by_id)],
    ]
    kept = _first_documents(corpus, filter(None, chain.from_iterable(zip_longest(*turns))), most)
    known = {id for id in rows if about[id] and about[id] <= kept}
    for ids in parts:
        located = {id for id in ids if about[id]}
        share = len(located & known) / max(1, len(located))
        known |= {id for id in ids - located if _uniform("documents", 0, id) < share}

    def within(ids: Sequence[str]) -> tuple[str, ...]:
        return tuple(id for id in ids if id in known)

    folds = tuple(Fold(pool=within(f.pool), questions=within(f.questions)) for f in dataset.folds)
    for fold, whole in zip(folds, dataset.folds, strict=True):
        some, all_of = (sum(bool(about[id]) for id in one.questions) for one in (fold, whole))
        if some < max(1, min(FEWEST_ASKED, all_of)):
            return None
    documents = Corpus(tuple(d for d in corpus.documents if d.id in kept))
    examples = {id: rows[id] for id in rows if id in known}
    return replace(dataset, task=with_corpus(task, documents), examples=examples, folds=folds)


def _first_documents(corpus: Corpus, parts: Iterable[set[str]], most: int) -> set[str]:
    """Return the ids of the first of these that have at most so many passages in all."""
    sizes = Counter(passage.span.document for passage in corpus.passages())
    kept, left = set[str](), most
    for some in parts:
        if sum(sizes[id] for id in some) > MOST_ABOUT:
            continue
        left -= sum(sizes[id] for id in some - kept)
        if left < 0:
            break
        kept |= some
    return kept


def _hashed(ids: Iterable[str]) -> list[str]:
    return sorted(ids, key=lambda id: (_uniform("documents", 0, id), id))


def pool_rows(dataset: Dataset, taught: bool) -> tuple[int, ...]:
    """Return how many rows of each fold's pool can be learned from."""
    if not dataset.teacher:
        return tuple(len(fold.pool) for fold in dataset.folds)
    pools = ([dataset.examples[id] for id in fold.pool] for fold in dataset.folds)
    return tuple(sum(1 for _ in to_learn_from(dataset.task, pool, taught)) for pool in pools)


def labels_in_pools(dataset: Dataset) -> bool:
    """Return whether every pool has rows of two labels that a person gave."""
    examples = dataset.examples
    pools = ({examples[id].target for id in f.pool if examples[id].labelled} for f in dataset.folds)
    return not dataset.teacher or all(len(labels) > 1 for labels in pools)


def make_split(dataset: Dataset, spec: SplitSpec) -> Split:
    """Return the training pool and the test rows; they do not depend on the candidate.

    The draw decides which rows a smaller pool holds. The whole pool has the same order in every
    draw, so that a strategy without a seed is trained on it only once.
    """
    kind = spec.scenario.kind
    if kind == "inner":
        # A part of the pool of draw 0 is asked, and the rest of it is trained on.
        pool = _labelled(training_pool(dataset, 0, 0, None))
        test = _parts(dataset, pool, spec.scenario)[spec.fold]
        return Split(disjoint_from(pool, set(test), dataset.clusters), tuple(test))
    if kind == "time":
        return _apart(dataset, spec, time_split(dataset, spec.scenario.cut))
    if kind == "source":
        rows, name = _rows(dataset), spec.scenario.label
        others, own = ([e for e in rows if (e.source == name) is so] for so in (False, True))
        return _apart(dataset, spec, Apart(rows, others, own))
    if kind == "new-class":
        return _new_class(dataset, spec)
    size, draw = spec.size, spec.draw if spec.size is not None else 0
    if dataset.teacher:
        whole = training_pool(dataset, spec.fold, draw, None)
        pool = [*islice(to_learn_from(dataset.task, whole, spec.taught), size)]
    else:
        pool = training_pool(dataset, spec.fold, draw, size)
    if kind == "noise":
        donors = [dataset.examples[id] for id in dataset.folds[spec.fold].pool]
        pool = noisy(pool, dataset.task, spec.scenario.rate, spec.draw, donors)
    return Split(pool, dataset.folds[spec.fold].questions)


def _labelled(rows: Iterable[Example]) -> list[Example]:
    return [row for row in rows if row.labelled]


def split_spec(trial: Trial, dataset: Dataset) -> SplitSpec:
    size = None
    if trial.scenario.kind in ("standard", "noise"):
        whole = pool_rows(dataset, trial.taught)[trial.fold]
        size = trial.train_size if trial.train_size < whole else None
    return SplitSpec(trial.fold, trial.draw, size, trial.scenario, trial.taught)


def _apart(dataset: Dataset, spec: SplitSpec, split: Apart) -> Split:
    """Test on rows that are apart; train on the other side, or on as many rows of both."""
    scenario, clusters = spec.scenario, dataset.clusters
    ids = [e.id for e in split.test]
    targets = strata_of(dataset.task, split.rows)
    test = stratified_sample(ids, targets, scenario.ask or len(ids), scenario.kind)
    past = disjoint_from(split.past, set(test), clusters)
    if scenario.learns_from != "any":
        return Split(_first(past, targets, len(past), spec.draw), tuple(test))
    rows = (dataset.examples[id] for id in test)
    part = folds_of(dataset.task, rows, clusters, scenario.parts)[spec.fold]
    others = disjoint_from(split.rows, set(part), clusters)
    return Split(_first(others, targets, len(past), spec.draw), tuple(part))


def _new_class(dataset: Dataset, spec: SplitSpec) -> Split:
    """Test on the usual rows; train on a pool in which one class has few rows or none."""
    scenario = spec.scenario
    pool = _labelled(training_pool(dataset, spec.fold, 0, None))
    own = {e.id for e in pool if scenario.label in dataset.task.classes(e.target)}
    order = sampling_order(own, dict.fromkeys(own, scenario.label), spec.draw)
    gone = {*order[scenario.examples :]}
    return Split([e for e in pool if e.id not in gone], dataset.folds[spec.fold].questions)


def _first(
    rows: Sequence[Example], targets: Mapping[str, str], size: int, draw: int
) -> list[Example]:
    by_id = {e.id: e for e in rows}
    order = sampling_order(by_id, targets, draw if size < len(rows) else 0)
    return [by_id[id] for id in order[:size]]


def _parts(dataset: Dataset, pool: Sequence[Example], scenario: Scenario) -> list[list[str]]:
    """Return the test ids of each stratified part; with a limit, a stratified sample of them."""
    targets = strata_of(dataset.task, pool)
    most = scenario.ask or len(targets)
    chosen = set(stratified_sample(list(targets), targets, most, scenario.kind))
    parts = folds_of(dataset.task, pool, dataset.clusters, scenario.parts)
    return [[id for id in part if id in chosen] for part in parts]


@dataclass
class Pools:
    """Draw a split on first use and cache those used last.

    Planning, spending forecasts and the run share one object, so that each split is drawn once.
    """

    dataset: Dataset
    limit: int = CACHED_ROWS
    _kept: OrderedDict[SplitSpec, Split] = field(default_factory=OrderedDict, repr=False)
    _size: int = 0

    def of(self, trial: Trial) -> Split:
        return self.at(split_spec(trial, self.dataset))

    def at(self, spec: SplitSpec) -> Split:
        """Return the split of a spec; the pool is a list of its own, so callers may reorder it."""
        rows = self._kept.get(spec)
        if rows is None:
            rows = self._kept[spec] = make_split(self.dataset, spec)
            self._size += rows.size
            while self._size > self.limit and len(self._kept) > 1:
                self._size -= self._kept.popitem(last=False)[1].size
        self._kept.move_to_end(spec)
        return replace(rows, pool=list(rows.pool))
