"""What a smaller budget would have measured of a study: its slow trials, cut where time ran out.

Fast candidates are always complete, as in a run. Slow ones answer the same number of rows of their
first fold in the same order, then fold after fold and repetition after repetition, all candidates
in turn; the last trial that a budget reaches is cut in the middle. The order is random: a run asks
each label in proportion, which replays do not know.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from choose.data.stratify import stratified_order
from choose.judge.evidence import Evidence, Items
from choose.types import CLEAN, Answers, Run

# Rows that the smallest budget reaches of each slow candidate: a chunk of the runner.
LEAST = 25


def budgets(study: Evidence) -> list[int]:
    """Return rows of slow candidates together: the whole study, and halves down to 25 rows each."""
    trials = list(_slow(study))
    rows = sum(len(run.asked[CLEAN]) for run in trials)
    each = LEAST * len({run.trial.candidate for run in trials})
    found = [rows]
    while found[-1] >= 2 * each:
        found.append(found[-1] // 2)
    return found[::-1]


def thin(study: Evidence, rows: int, rng: np.random.Generator) -> Evidence:
    """Return the study with so many answers of slow candidates, all of them together.

    `rng` orders the rows of a fold and the candidates; the same state gives nested studies.
    """
    trials, reached = list(_slow(study)), []
    names = sorted({run.trial.candidate for run in trials})
    turn = {name: place for place, name in enumerate(rng.permutation(names).tolist())}
    order = order_of(study, int(rng.integers(2**31)))
    left, first = rows, [run for run in trials if _place(run) == (0, 0)]
    # First passes are cut alike; the candidates with fewer rows leave theirs to the others.
    for number, run in enumerate(sorted(first, key=lambda run: len(run.asked[CLEAN]))):
        share = min(len(run.asked[CLEAN]), left // (len(first) - number))
        reached.append(cut(run, share, order))
        left -= share
    later = [run for run in trials if _place(run) != (0, 0)]
    for run in sorted(later, key=lambda run: (*_place(run)[::-1], turn[run.trial.candidate])):
        share = min(len(run.asked[CLEAN]), left)
        reached.append(cut(run, share, order))
        left -= share
    kept = {id(run) for run in trials}
    whole = [run for run in study.runs if id(run) not in kept and _affordable(study, run, reached)]
    return replace(study, runs=(*whole, *(run for run in reached if run is not None)))


def order_of(study: Evidence, seed: int) -> dict[str, int]:
    """Return the place of each row, as `asking_order` has it without labels."""
    targets = dict.fromkeys(study.items.ids, "")
    ids = stratified_order(sorted(targets), targets, f"asked {seed}")
    return {id: place for place, id in enumerate(ids)}


def cut(run: Run, rows: int, order: dict[str, int]) -> Run | None:
    """Return the run with the answers to the first rows of an order; None without any."""
    ids = run.asked[CLEAN]
    if rows <= 0:
        return None
    if rows >= len(ids):
        return run
    places = sorted(sorted(range(len(ids)), key=lambda place: order[ids[place]])[:rows])
    found = taken(run, places, [ids[place] for place in places])
    return replace(found, unasked=run.unasked + len(ids) - rows)


def taken(run: Run, places: Sequence[int], ids: Sequence[str]) -> Run:
    """Return the run with its clean answers at some places, as those to rows of these ids."""
    answers = run.answers[CLEAN]
    share = len(places) / len(answers)
    scores = {metric: own[[*places]] for metric, own in run.scores.get(CLEAN, {}).items()}
    return replace(
        run,
        asked={CLEAN: tuple(ids)},
        answers={CLEAN: _part(answers, places)},
        scores={CLEAN: scores} if scores else {},
        predict_seconds=None if run.predict_seconds is None else share * run.predict_seconds,
    )


def held(study: Evidence, rows: Mapping[tuple[str, int], int]) -> Evidence:
    """Return a study in which candidates answered so many of the first rows after their pools."""
    order = {id: place for place, id in enumerate(study.items.ids)}
    asked = [(run, rows.get((run.trial.candidate, run.trial.train_size), 0)) for run in study.runs]
    runs = [cut(run, count, order) for run, count in asked]
    return replace(study, runs=tuple(run for run in runs if run is not None))


def redrawn(study: Evidence, ids: Sequence[str]) -> Evidence:
    """Return a study of these rows, of which each may come several times."""
    place, items = {id: i for i, id in enumerate(study.items.ids)}, study.items
    new, runs = [f"row {i}" for i in range(len(ids))], []
    for run in study.runs:
        at = {id: i for i, id in enumerate(run.asked[CLEAN])}
        known = {name: at[id] for name, id in zip(new, ids, strict=True) if id in at}
        if known:
            runs.append(taken(run, [*known.values()], [*known]))
    rows = Items(
        ids=tuple(new),
        targets=tuple(items.targets[place[id]] for id in ids),
        clusters=tuple(new),
        fields=tuple(items.fields[place[id]] for id in ids) if items.fields else (),
    )
    return replace(study, items=rows, runs=tuple(runs))


def _part(answers: Answers, places: Sequence[int]) -> Answers:
    at = np.array(places)
    columns = {
        name: None if (column := getattr(answers, name)) is None else column[at]
        for name in ("scores", "tokens_in", "tokens_cached", "tokens_out", "latency")
    }
    return replace(
        answers,
        outputs=tuple(answers.outputs[place] for place in places),
        status=tuple(answers.status[place] for place in places),
        evidence=answers.evidence and tuple(answers.evidence[place] for place in places),
        **columns,
    )


def _slow(study: Evidence) -> Iterator[Run]:
    """Yield the trials of slow candidates on clean rows of the whole pool that answered any."""
    slow = {c.name for c in study.candidates if not c.cheap}
    pools: dict[str, int] = {}
    for run in study.runs:
        name = run.trial.candidate
        pools[name] = max(pools.get(name, 0), run.trial.train_size)
    for run in study.runs:
        trial = run.trial
        if trial.candidate in slow and trial.scenario.kind == "standard" and not trial.variant:
            # Folds differ by a few rows, smaller pools by half or more.
            whole = trial.train_size >= 0.9 * pools[trial.candidate]
            if whole and CLEAN in run.asked:
                yield run


def _place(run: Run) -> tuple[int, int]:
    return run.trial.fold, run.trial.draw


def _affordable(study: Evidence, run: Run, reached: Sequence[Run | None]) -> bool:
    """Return whether another trial is run: of a slow candidate, only after its first passes."""
    slow = {c.name for c in study.candidates if not c.cheap}
    if run.trial.candidate not in slow:
        return True
    own = [one for one in reached if one is not None and one.trial.candidate == run.trial.candidate]
    return bool(own) and all(not one.unasked for one in own)
