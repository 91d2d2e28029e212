"""Read a store as evidence for the judge, and the method section of its record."""

import os
import re
import secrets
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import tomli_w

from choose.answers.given import is_model, with_files
from choose.data.scenarios import pool_rows, with_some_documents
from choose.engines.environment_settings import cache_dir
from choose.errors import ChooseError, StoreError
from choose.files import read_text, write_atomic
from choose.judge.evidence import CandidateInfo, Evidence, items_of
from choose.judge.goal import RULE, Rule
from choose.schema.base import Command
from choose.schema.candidate_scorecard import TokenPrices
from choose.schema.decision import Decision, Method, Note, PromptText, Verdict
from choose.schema.study_sections import FILES
from choose.store.store import Store
from choose.strategy import Prompts, build, find
from choose.tasks.document_drill import drill_of
from choose.types import Dataset, Run, Task


def evidence_of(store: Store) -> Evidence:
    # A trial that answers views after the clean rows is in the grid twice. Two scenarios with the
    # same rows share a key and still count as two.
    places = {(t.candidate, t.variant, t.scenario, t.draw, t.key): t for t in store.grid()[1]}
    runs = tuple(run for trial in places.values() if (run := store.get(trial)) is not None)
    return replace(nothing_measured(store), runs=runs, machine=_machine(runs))


def nothing_measured(store: Store) -> Evidence:
    dataset, candidates = store.dataset, store.grid()[0]
    rows, labels = dataset.examples, dataset.task.labels
    told = (f"{c['name']}: {c['warning']}" for c in candidates if c.get("warning"))
    test_rows = set(dataset.asked)
    training = tuple(id for id in rows if id not in test_rows and rows[id].labelled)
    searched = store.searched()
    part = with_some_documents(dataset, searched.passages) if searched else None
    return Evidence(
        name=dataset.name,
        fingerprint=dataset.fingerprint,
        rows=sum(e.labelled for e in rows.values()),
        labels=labels,
        division=dataset.division,
        items=items_of(dataset, dataset.asked),
        pool=items_of(dataset, training),
        candidates=tuple(map(_candidate, candidates)),
        pool_rows=pool_rows(dataset, taught=False),
        taught_rows=pool_rows(dataset, taught=True) if dataset.teacher else (),
        runs=(),
        findings=(*dataset.findings, *told),
        unseen=_unseen(dataset) if labels else {},
        leaked=dataset.leaked,
        task=dataset.task,
        drill=drill_of(part or dataset),
        searched=searched,
    )


def agreement(study: Mapping[str, Any]) -> str:
    """Return the column of right answers if it holds those of a model, by its name or as stated."""
    data = study.get("data", {})
    column = data.get("label_column") or ""
    return column if column and (column == data.get("teacher_column") or is_model(column)) else ""


def rule_of(study: Mapping[str, Any], task: Task | None = None) -> Rule:
    """Return the decision rule that a study fixed before it ran.

    Answers that are no labels are scored by the headline metric of their task.
    """
    goal, limits = study.get("goal", {}), study.get("constraints", {})
    return Rule(
        target=goal.get("target"),
        metric=task.metrics[0] if task and not task.labels else goal.get("metric", Rule().metric),
        margin=goal.get("margin", Rule().margin),
        agreement=agreement(study),
        **study.get("costs", {}),
        max_ms=limits.get("max_ms"),
        max_usd_per_1k=limits.get("max_usd_per_1000"),
        on_premises=limits.get("on_premises", False),
    )


def _candidate(planned: Mapping[str, Any]) -> CandidateInfo:
    known = {name: value for name, value in planned.items() if name != "params"}
    prices = known["token_prices"]
    return CandidateInfo(**{**known, "token_prices": TokenPrices(**prices) if prices else None})


def _unseen(dataset: Dataset) -> Mapping[str, int]:
    found, rows = Counter[str](), dataset.examples
    for fold in (fold for fold in dataset.folds if fold.pool):
        known = {rows[id].target for id in fold.pool}
        found.update(t for id in fold.questions if (t := rows[id].target) not in known)
    return found


def _machine(runs: tuple[Run, ...]) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    for run in runs:
        facts.update(run.versions)
        facts.update({"threads": run.threads} if run.threads is not None else {})
    # Encoders compute in another type than language models may.
    types = sorted({run.dtype for run in runs if run.dtype is not None})
    return facts | ({"dtype": " and ".join(types)} if types else {})


# A number on its own; digits in a name do not count.
_NUMBER = re.compile(r"(?<![\w.])(?<!\d,)\d(?:\d|,(?=\d))*(?:\.\d+)?(?!\w)")

# Most notes of a candidate: a server may word every failure differently.
_MAX_NOTES = 12


def notes_of(runs: Iterable[Run]) -> Iterator[Note]:
    """Yield the notes of the fits behind each candidate's accuracy.

    Of those that differ in their numbers alone, the first.
    """
    alike: dict[tuple[str, tuple[str, ...]], list[str]] = defaultdict(list)
    for run in runs:
        trial = run.trial
        if trial.variant == "" and trial.scenario.kind == "standard" and not trial.scenario.rate:
            for text in run.notes:
                alike[trial.candidate, tuple(_NUMBER.split(text))].append(text)
    shown = Counter[str]()
    for (candidate, _), texts in alike.items():
        shown[candidate] += 1
        if shown[candidate] <= _MAX_NOTES:
            yield Note(candidate=candidate, text=texts[0], fits=len(texts))


# User, password and query of an address.
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]*@|(?<=\S)\?\S+=\S*")


def method_of(store: Store, runs: Iterable[Run] = ()) -> Method:
    """Read how a study was measured; candidates that are no longer installed show no prompt.

    `runs` are the stored runs of its grid.
    """
    return Method(
        prompts=tuple(_prompts(store)),
        notes=tuple(notes_of(runs)),
        settings=tomli_w.dumps(settings(store.study)),
    )


def settings(study: Mapping[str, Any]) -> dict[str, Any]:
    """Return a study's settings without folders and credentials, for sharing."""
    shown = {key: own for key, own in _without_credentials(study).items() if own not in ({}, [])}
    if not any(shown.get("given", {}).values()):
        shown.pop("given", None)
    data = dict(shown.get("data", {}))
    for key in FILES:
        if isinstance(path := data.get(key), str) and not re.match(r"\w{2,}:", path):
            data[key] = PurePosixPath(PureWindowsPath(path).as_posix()).name
    if specs := shown.get("given", {}).get("answers"):
        shown["given"] = {**shown["given"], "answers": with_files(specs, os.path.basename)}
    return {**shown, "data": data} if data else shown


def with_commands(verdict: Verdict, study: Mapping[str, Any], folder: Path) -> Verdict:
    """Put the folder of a study with some settings into the commands of its next steps.

    Without a path the rows were passed in Python; where its rounds are few, a command with a longer
    budget asks for the others too. A folder outside the working folder is named by its last part,
    since the record is meant to be shared.
    """
    here = Path.cwd()
    inside = not folder.is_absolute() or folder.is_relative_to(here)
    home = os.path.relpath(folder, here) if inside else folder.name
    found = {"study": home, "in_python": not study.get("data", {}).get("path")}
    few = study.get("grid", {}).get("rounds") is not None

    def placed(command: Command) -> Command:
        on, own = few and "budget" in command.options, command.options.get("set", "")
        more = {"set": f"{own} rounds=30".strip()} if on else {}  # more than any study has
        options = {**command.options, **more}
        return command.model_copy(update={**found, "options": options})

    steps = tuple(
        step.model_copy(update={"command": step.command and placed(step.command)})
        for step in verdict.steps
    )
    return verdict.model_copy(update={"steps": steps})


def _without_credentials(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_credentials(own) for key, own in value.items() if own != {}}
    if isinstance(value, list):
        return [_without_credentials(inner) for inner in value]
    return _CREDENTIALS.sub("", value) if isinstance(value, str) and "://" in value else value


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
                built = build(strategy, seed=0, **{**candidate["params"], **variants[setting]})
                text = built.prompt(store.dataset.task) if isinstance(built, Prompts) else ""
                if text and text not in seen:
                    seen.add(text)
                    yield PromptText(candidate=name, setting=setting, text=text)
        except (ChooseError, KeyError):
            continue


# Raise when a record derives more from the same evidence, so that older records are rewritten.
RECORD = 27


def state_of(store: Store) -> str:
    """Identify what a decision depends on, and who made it.

    A key of this user is part of it: a decision that came with a folder is judged again, so that
    none of its sentences and commands is shown.
    """
    state = f"{_own_key()} {version('choose-llm')} {RULE} {RECORD} {store.state()}"
    if not store.dataset.task.labels:  # the rule by which answers are scored may have changed
        state += f" {store.dataset.task.scoring}"
    return state


def _own_key() -> str:
    """Return a secret of this user, kept in the cache; a new one where that cannot be written."""
    file = cache_dir() / "decisions.key"
    with suppress(OSError, ValueError):
        return read_text(file)
    key = secrets.token_hex()

    def write(path: Path) -> None:
        path.touch(mode=0o600)
        path.write_text(key, encoding="utf-8")

    with suppress(StoreError):
        write_atomic(file, write)
    return key


def own_decision(store: Store) -> Decision | None:
    """Return the decision of a study as it is now, if this user's choose wrote it."""
    text = store.decided(state_of(store))
    with suppress(ValueError):  # written by another build of choose: judged again
        return None if text is None else Decision.model_validate_json(text)
    return None
