"""What was fixed before two studies ran, and differs between them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from choose.judge.record import Decision
from choose.judge.versus import Change
from choose.provenance import method_of, settings
from choose.store import Store

# Said elsewhere: which rows and labels meet, and which rule judged.
_APART = ("rule",)


def differences(
    before: Store, first: Decision, after: Store, second: Decision
) -> tuple[Change, ...]:
    """Return what differs: data, settings, prices, models, prompts, versions; in that order."""
    old, new = dict(_facts(before, first)), dict(_facts(after, second))
    return tuple(
        Change(what=what, before=old.get(what), after=new.get(what))
        for what in {**new, **old}
        if old.get(what) != new.get(what)
    )


def _facts(store: Store, decision: Decision) -> Iterator[tuple[str, str]]:
    data = decision.dataset
    yield "data: fingerprint", data.fingerprint
    yield "data: labelled rows", f"{data.rows:,}"
    yield "data: rows asked", f"{data.test_rows:,}"
    yield "data: division", data.division
    task = store.dataset.task
    yield "task: instruction", task.instruction or "none"
    for label, name in zip(task.labels, task.names, strict=True):
        yield f"task: how {label} is called", name
    study = {k: v for k, v in settings(store.study).items() if k not in _APART}
    yield from _flat(study, "study: ")
    yield from _candidates(store)
    yield "version: decision rule", decision.rule
    for name, value in decision.machine.items():
        yield f"version: {name}", str(value)


def _candidates(store: Store) -> Iterator[tuple[str, str]]:
    candidates, trials = store.grid()
    for candidate in candidates:
        place = f"candidate {candidate['name']}: "
        yield f"{place}strategy", candidate["strategy"]
        yield from _flat(candidate["params"], place)
    for trial in trials:
        place = f"candidate {trial.candidate}: "
        yield f"{place}revision", str(trial.revision)
        if trial.weights:
            yield f"{place}weights", trial.weights
    for prompt in method_of(store).prompts:
        setting = f" ({prompt.setting})" if prompt.setting else ""
        yield f"candidate {prompt.candidate}: prompt{setting}", prompt.text


def _flat(values: Mapping[str, Any], place: str) -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{place}{key}.")
        else:
            yield f"{place}{key}", value if isinstance(value, str) else json.dumps(value)
