"""From a store to how it was measured: prompts, repetitions, looks and settings."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

import tomli_w

from choose.errors import ChooseError
from choose.fit_notes import notes_of
from choose.judge.record_method import Look, Method, PromptText
from choose.store import Store
from choose.strategy import Prompts, build, find
from choose.types import Run

# User and password of an address, and whatever it asks for.
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]*@|(?<=\S)\?\S+=\S*")


def method_of(store: Store, runs: Iterable[Run] = ()) -> Method:
    """Read how a study was measured; a candidate that is no longer installed shows no prompt.

    `runs` are what the store holds of its grid.
    """
    _, trials = store.grid()
    return Method(
        prompts=tuple(_prompts(store)),
        draws=tuple(sorted({trial.draw for trial in trials})),
        looks=tuple(Look(when=look["when"], rule=look["rule"]) for look in store.looks()),
        notes=tuple(notes_of(runs)),
        settings=tomli_w.dumps(settings(store.study)),
    )


def settings(study: Mapping[str, Any]) -> dict[str, Any]:
    """Return a study's settings as they may be passed on: no folders, no passwords."""
    shown = {key: value for key, value in _safe(study).items() if value not in ({}, [])}
    data = dict(shown.get("data", {}))
    for key in ("path", "test"):
        if isinstance(path := data.get(key), str) and not re.match(r"\w{2,}:", path):
            data[key] = PurePosixPath(PureWindowsPath(path).as_posix()).name
    return {**shown, "data": data} if data else shown


def _safe(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _safe(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_safe(inner) for inner in value]
    if isinstance(value, str) and "://" in value:
        return _CREDENTIALS.sub("", value)
    return value


def _prompts(store: Store) -> Iterator[PromptText]:
    candidates, trials = store.grid()
    revisions = {trial.candidate: trial.revision for trial in trials}
    for candidate in candidates:
        name, strategy = candidate["name"], candidate["strategy"]
        try:
            cls = find(strategy)
            if cls.revision != revisions.get(name):
                continue
            variants = {"": {}, **cls.variants}
            planned = {trial.variant for trial in trials if trial.candidate == name}
            seen: set[str] = set()
            for setting in [setting for setting in variants if setting in planned]:
                made = build(strategy, seed=0, **{**candidate["params"], **variants[setting]})
                text = made.prompt(store.dataset.task) if isinstance(made, Prompts) else ""
                if text and text not in seen:
                    seen.add(text)
                    yield PromptText(candidate=name, setting=setting, text=text)
        except (ChooseError, KeyError):
            continue
