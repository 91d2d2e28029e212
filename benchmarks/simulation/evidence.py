"""Simulate a study: draw its rows, the answers of its candidates and the runs it would store."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from choose.judge.evidence import Evidence, Items
from choose.run.race import Race
from choose.types import STANDARD, Answers, Run, Scenario, Trial
from simulation.setting import EACH, HARD_MEAN, Codes, Contestant, Floats, Setting, difficulties

# How far a wrong answer is as sure as a right one would be, drawn anew for each fit: from one that
# nearly knows its mistakes to one that is surer of them.
CONFIDENCE_IN_WRONG = (0.3, 1.2)

# On the latent scale: half as sure as can be at about this distance.
CONFIDENCE_SCALE = 1.5

LABELS = tuple("abcdefghijkl")

NOISED = Scenario(kind="noise", rate=0.2)


@dataclass(frozen=True)
class Rows:
    """The asked rows: what is true of them, what their labels say, and what candidates learn."""

    truth: Codes
    labelled: Codes
    learnt: Codes
    difficulty: Floats
    fold: Codes
    group: Codes
    age: Floats


def hard(difficulty: Floats) -> NDArray[np.bool_]:
    """Return which items are hard enough for annotators to err on."""
    return np.asarray(difficulty > HARD_MEAN - 0.5, dtype=np.bool_)


def flip_chance(setting: Setting, difficulty: Floats) -> Floats:
    """Return the chance that the label of an item of each difficulty is wrong."""
    even = np.full(len(difficulty), setting.mislabelled)
    return even * hard(difficulty) if setting.hard_only else even


def draw_rows(setting: Setting, rng: np.random.Generator) -> Rows:
    """Draw the rows of one study."""
    n, k = setting.rows, setting.labels
    truth = rng.choice(k, n, p=setting.share)
    group = np.arange(n) // setting.cluster
    difficulty = difficulties(rng, n)[group] if setting.cluster > 1 else difficulties(rng, n)
    labelled = learnt = truth
    if setting.mislabelled:
        wrong = rng.random(n) < flip_chance(setting, difficulty)
        labelled = np.where(wrong, (truth + rng.integers(1, k, n)) % k, truth)
        if setting.taught:
            learnt = np.where(rng.random(n) < setting.taught, labelled, truth)
    # Groups stay whole, as they do in a real division.
    fold = rng.permutation(int(group.max()) + 1)[group] % setting.folds
    # Rows lie in the order in which they are asked, fold by fold, as in a store.
    order = np.argsort(fold, kind="stable")
    found = (truth, labelled, learnt, difficulty, fold, group, rng.random(n) - 0.5)
    return Rows(*(part[order] for part in found))


def log_probabilities(
    codes: Codes, truth: Codes, ahead: Floats, labels: int, rng: np.random.Generator
) -> Floats:
    """Return (n, labels) log-probabilities whose likeliest label is the answer.

    How sure it is grows with the distance from where it would have answered otherwise. What is left
    is dealt out at random, to the true label of a wrong answer first.
    """
    wrong = codes != truth
    distance = np.abs(ahead) * np.where(wrong, rng.uniform(*CONFIDENCE_IN_WRONG), 1.0)
    least = 1 / labels
    top = least + (0.999 - least) * np.tanh(distance / CONFIDENCE_SCALE)
    shares = rng.dirichlet(np.ones(labels), len(codes))
    each = np.arange(len(codes))
    shares[each, truth] += wrong
    shares[each, codes] = 0.0
    rest = shares / shares.sum(axis=1, keepdims=True) * (1 - top)[:, None]
    # No other label may pass the answer.
    found = np.minimum(rest, 0.999 * top[:, None])
    found[each, codes] = top
    return np.log(np.maximum(found / found.sum(axis=1, keepdims=True), 1e-9))


def evidence(setting: Setting, rng: np.random.Generator) -> Evidence:
    """Simulate one study."""
    rows = draw_rows(setting, rng)
    ids = tuple(f"r{i}" for i in range(setting.rows))
    labels = LABELS[: setting.labels]
    items = Items(
        ids=ids,
        targets=_words(labels, rows.labelled),
        clusters=tuple(f"c{g}" for g in rows.group.tolist()),
    )
    runs = tuple(_raced(setting, items, list(_runs(setting, rows, items, rng))))
    return Evidence(
        name="world",
        fingerprint="0" * 32,
        rows=setting.rows + (setting.pool if setting.folds == 1 else 0),
        labels=labels,
        division="held-out" if setting.folds == 1 else "cross-fit",
        items=items,
        candidates=tuple(c.info for c in setting.contestants),
        pool_rows=(setting.pool,) * setting.folds,
        runs=runs,
        dated=0,
    )


def _runs(setting: Setting, rows: Rows, items: Items, rng: np.random.Generator) -> Iterator[Run]:
    most = max(c.seeds for c in setting.contestants) + 1
    common = rng.standard_normal((setting.folds, most))
    asked = [np.flatnonzero(rows.fold == fold) for fold in range(setting.folds)]
    ids = np.array(items.ids, dtype=object)
    named = [tuple(ids[place].tolist()) for place in asked]
    for contestant in setting.contestants:
        own = _own(contestant, rows, rng)
        for scenario, share, ability, seeds in _places(contestant):
            luck = _luck(setting, contestant, common, rng)
            for repetition in range(seeds):
                for fold in range(_folds_done(setting, contestant, repetition)):
                    place = asked[fold]
                    level = ability + luck[fold, repetition]
                    ahead = _ahead(contestant, rows, place, own, level, rng)
                    codes = _codes(rows.learnt[place], ahead, setting, rng)
                    scores = None
                    if setting.scored and contestant.info.cheap:
                        scores = log_probabilities(
                            codes, rows.learnt[place], ahead, setting.labels, rng
                        )
                    trial = _trial(setting, contestant, scenario, share, fold, repetition)
                    main = scenario is STANDARD and share == 1.0
                    view = None
                    if main and contestant.viewed is not None and not repetition:
                        # As in a real study, at most 200 rows are asked again.
                        by = contestant.shifted(contestant.viewed) - contestant.ability
                        seen = _ahead(contestant, rows, place, own, level + by, rng)
                        view = _answers(_codes(rows.learnt[place], seen, setting, rng)[:200])
                    yield _run(contestant, trial, named[fold], _answers(codes, scores), view)


def _places(contestant: Contestant) -> Iterator[tuple[Scenario, float, float, int]]:
    seeds = max(contestant.seeds, 1)
    yield STANDARD, 1.0, contestant.ability, seeds
    for share, by in contestant.at.items():
        yield STANDARD, share, contestant.shifted(by), min(seeds, 3)
    if contestant.noised is not None:
        yield NOISED, 1.0, contestant.shifted(contestant.noised), min(seeds, 3)


def _own(contestant: Contestant, rows: Rows, rng: np.random.Generator) -> Floats:
    own = rng.standard_normal(len(rows.truth))
    if rows.group.max() + 1 < len(own):
        shared = rng.standard_normal(len(own))[rows.group]
        own = np.sqrt(0.5) * (own + shared)
    return contestant.own * own


def _luck(
    setting: Setting, contestant: Contestant, common: Floats, rng: np.random.Generator
) -> Floats:
    """Return (folds, repetitions) what each fit has in ability over the expected one."""
    if not contestant.seeds:
        return np.zeros((setting.folds, 1))
    shape = (setting.folds, contestant.seeds)
    own = rng.standard_normal(shape)
    if setting.folds > 1:
        own = np.sqrt(0.5) * (own + rng.standard_normal(contestant.seeds)[None, :])
    share = setting.together
    luck = np.sqrt(share) * common[:, : contestant.seeds] + np.sqrt(1 - share) * own
    chance, depth = contestant.collapse
    return contestant.luck * luck - depth * (rng.random(shape) < chance)


def _folds_done(setting: Setting, contestant: Contestant, repetition: int) -> int:
    done = setting.folds_done.get(contestant.name, setting.folds)
    last = repetition and repetition == contestant.seeds - 1
    return max(done // 2, 1) if last and contestant.name in setting.last_cut else done


def _ahead(
    contestant: Contestant,
    rows: Rows,
    place: Codes,
    own: Floats,
    level: float,
    rng: np.random.Generator,
) -> Floats:
    """Return by how much a fit is above what each of its questions asks for; right above 0."""
    n, sd = len(place), np.hypot(contestant.interaction, EACH)
    by_label = np.array(contestant.by_label)
    more = by_label[rows.truth[place]] if contestant.by_label else 0.0
    beaten = rows.difficulty[place] + own[place] + sd * rng.standard_normal(n)
    if contestant.decline:
        beaten = beaten + contestant.decline * rows.age[place]
    return np.asarray(level + more - beaten)


def _codes(truth: Codes, ahead: Floats, setting: Setting, rng: np.random.Generator) -> Codes:
    wrong = (truth + rng.integers(1, setting.labels, len(truth))) % setting.labels
    return np.where(ahead > 0, truth, wrong)


def _trial(
    setting: Setting, c: Contestant, scenario: Scenario, share: float, fold: int, draw: int
) -> Trial:
    return Trial(
        candidate=c.name,
        strategy=c.name,
        revision=1,
        params={},
        variant="",
        scenario=scenario,
        fold=fold,
        draw=draw,
        train_size=int(share * setting.pool),
        seed=draw if c.seeds else 0,
        weights="",
        task="",
        # Every fit has a pool of its own, and so a key of its own.
        pool=f"{scenario.kind} {share} {fold} {draw}",
        questions="",
    )


def _run(
    c: Contestant,
    trial: Trial,
    named: tuple[str, ...],
    clean: Answers,
    view: Answers | None,
) -> Run:
    answers, asked = {("clean", 0): clean}, {("clean", 0): named}
    if view is not None:
        answers["typos", 0], asked["typos", 0] = view, named[: len(view)]
    return Run(
        trial=trial,
        answers=answers,
        asked=asked,
        fit_seconds=c.seconds,
        predict_seconds=c.seconds * len(clean) / 1000,
        seconds_alone=c.seconds,
        seconds_spent=c.seconds,
    )


def _answers(codes: Codes, scores: Floats | None = None) -> Answers:
    return Answers(outputs=_words(LABELS, codes), status=("ok",) * len(codes), scores=scores)


def _words(labels: tuple[str, ...], codes: Codes) -> tuple[str, ...]:
    return tuple(np.array(labels, dtype=object)[codes].tolist())


def _raced(setting: Setting, items: Items, runs: list[Run]) -> Iterator[Run]:
    """Yield the runs that racing lets happen: folds one by one, then the repetitions."""
    if not setting.racing:
        yield from runs
        return
    targets = dict(zip(items.ids, items.targets, strict=True))
    race = Race(targets, setting.margin, dict(zip(items.ids, items.clusters, strict=True)))
    seconds = {c.name: c.seconds for c in setting.contestants}
    standard = [c.name for c in setting.contestants if c.info.cheap]
    for run in sorted(runs, key=lambda r: (r.trial.draw, r.trial.fold, seconds[r.trial.candidate])):
        if run.trial.candidate not in standard and race.drop(run.trial.candidate):
            continue
        if not run.trial.draw:
            race.add(run)
        yield run
