"""Select and repeat the fit to export: a candidate on all labelled rows, or a stored trial."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from choose.data.scenarios import Pools
from choose.data.stratify import sampling_order
from choose.errors import StoreError, StudyError, did_you_mean
from choose.files import digest_rows
from choose.judge.evidence import GIVEN
from choose.progress import as_decided
from choose.schema.decision import Verdict
from choose.store.store import Store
from choose.strategy import Prepares, Saves, Strategy, Weighted, build, find
from choose.types import STANDARD, Example, Task, Trial

Why = Literal["recommended", "meanwhile", "named", "trial"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The fit to export: strategy, training rows, and why it was selected.

    `weights` and `revision` are those of the study's trials; the installed ones must match.
    `shortened` is what time decided in the study's fit, which is made again alike.
    """

    candidate: str
    strategy: str
    family: str
    params: Mapping[str, Any]
    seed: int
    rows: Sequence[Example]
    why: Why
    weights: str
    revision: int
    shortened: Mapping[str, float] = field(default_factory=dict)
    trial: Trial | None = None


def select_candidate(store: Store, verdict: Verdict, name: str | None) -> Selection:
    """Select a candidate by name, else the recommended one, else the one to use meanwhile.

    Its training rows are all labelled rows of the study.

    Raises:
        StudyError: if the study has no such candidate.
        StoreError: if the study was stored without texts.
    """
    why: Why = "named" if name else "recommended" if verdict.recommended else "meanwhile"
    wanted = name or verdict.recommended or verdict.use_meanwhile
    candidates, trials = store.grid()
    known = {c["name"]: c for c in candidates}
    if wanted not in known:
        raise StudyError(
            f"The study has no candidate {wanted!r}.{did_you_mean(wanted, known)} "
            f"It has {', '.join(known)}."
        )
    own = next(t for t in trials if t.candidate == wanted and not t.variant)
    if own.strategy == GIVEN:
        raise StudyError(
            f"Of {wanted!r} the study has the answers alone, which cannot be exported. Name a "
            "candidate that ran with --candidate."
        )
    return Selection(
        candidate=wanted,
        strategy=own.strategy,
        family=known[wanted]["family"],
        params=known[wanted]["params"],
        seed=0,
        rows=_all_rows(store),
        why=why,
        weights=own.weights,
        revision=own.revision,
        shortened=_shortened(store, _plain(t for t in trials if t.candidate == wanted)),
    )


def select_trial(store: Store, key: str) -> Selection:
    """Select a trial of the study by its key or a prefix of it.

    Raises:
        StudyError: if no trial or several match.
        StoreError: if its training rows are not available any more.
    """
    candidates, trials = store.grid()
    matches = {t.key: t for t in trials if key and t.key.startswith(key)}
    if len(matches) != 1:
        what = "No trial" if not matches else f"{len(matches)} trials"
        raise StudyError(
            f"{what} of this study has a key that begins with {key!r}. "
            f"The keys are the names of the folders in {str(store.path / 'trials')!r}."
        )
    trial = next(iter(matches.values()))
    rows = Pools(_with_texts(store).dataset).of(trial).pool
    if digest_rows(row.content for row in rows) != trial.pool:
        raise StoreError(
            f"The rows in {str(store.path)!r} are not the training rows of trial {trial.key}, "
            "so it cannot be repeated. Run choose compare again."
        )
    return Selection(
        candidate=trial.candidate,
        strategy=trial.strategy,
        family=next(c["family"] for c in candidates if c["name"] == trial.candidate),
        params=trial.params,
        seed=trial.seed,
        rows=rows,
        why="trial",
        weights=trial.weights,
        revision=trial.revision,
        shortened=_shortened(store, [trial]),
        trial=trial,
    )


def _plain(trials: Iterable[Trial]) -> list[Trial]:
    return [trial for trial in trials if trial.scenario == STANDARD and not trial.variant]


def _shortened(store: Store, trials: Sequence[Trial]) -> Mapping[str, float]:
    """Return what time decided in the fit on most rows among those of some trials."""
    known = [run for run in map(store.get, trials) if run is not None and run.error is None]
    most = max(known, key=lambda run: (run.trial.train_size, -run.trial.fold), default=None)
    return most.shortened if most else {}


def fit_selection(choice: Selection, task: Task) -> Strategy:
    """Fit the selected candidate or trial.

    Raises:
        StudyError: if the strategy cannot be saved, or has changed since the study.
    """
    strategy = build(choice.strategy, seed=choice.seed, **choice.params)
    _check_same(choice, strategy)
    if isinstance(strategy, Prepares):
        strategy.prepare()
    with as_decided(choice.shortened):
        strategy.fit(task, choice.rows)
    return strategy


def _check_same(choice: Selection, strategy: Strategy) -> None:
    if not isinstance(strategy, Saves):
        raise StudyError(
            f"Strategy {choice.strategy!r} cannot be exported: it has no save and load methods. "
            "Choose another candidate with --candidate."
        )
    if find(choice.strategy).revision != choice.revision:
        raise StudyError(
            f"Strategy {choice.strategy!r} has changed since the study (revision "
            f"{choice.revision} then, {find(choice.strategy).revision} now), so the study's "
            "figures do not apply to it. Run choose compare again."
        )
    if isinstance(strategy, Weighted) and strategy.weights() != choice.weights:
        raise StudyError(
            f"The weights of {choice.candidate!r} have changed since the study, so its figures do "
            "not apply to them. Restore the weights, or run choose compare again."
        )


def _all_rows(store: Store) -> list[Example]:
    rows = _with_texts(store).dataset.examples
    order = sampling_order(rows, {id: e.target for id, e in rows.items()}, draw=0)
    return [rows[id] for id in order]


def _with_texts(store: Store) -> Store:
    if not any(e.text for e in store.dataset.examples.values()):
        raise StoreError(
            f"{str(store.path)!r} was stored without texts, so nothing can be trained from it. "
            "Run choose compare again and store them."
        )
    return store
