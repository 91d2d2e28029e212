"""Fit what was chosen and write its folder, whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from choose.artefact.card import Facts, card
from choose.artefact.choice import Choice, fit
from choose.artefact.folder import whole_folder
from choose.artefact.manifest import MODEL, NAME, Manifest, load_strategy
from choose.artefact.requirements import requirements
from choose.artefact.traces import rows_inside
from choose.errors import StrategyError
from choose.files import write_json, write_text
from choose.judge.record import Decision
from choose.run.asking import ask
from choose.run.group import versions
from choose.store import Store
from choose.strategy import Portable, Saves, Strategy
from choose.types import Item

# Rows that the folder is asked before it is handed over.
PROOF = 20


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written where; `rows_inside` counts the labelled texts that can be read in it."""

    folder: Path
    manifest: Manifest
    rows_inside: int


def write_export(
    store: Store, decision: Decision, choice: Choice, folder: Path, force: bool = False
) -> Exported:
    """Fit, save, read back, compare, describe; then put the folder in its place.

    Raises:
        StudyError: if the strategy cannot be saved or is not the study's any more.
        StoreError: if the folder is not empty, or cannot be written.
        StrategyError: if what is read back answers otherwise than what was saved.
    """
    manifest = _manifest(store, decision, choice)
    with whole_folder(folder, force) as beside:
        strategy = fit(choice, store.dataset.task)
        assert isinstance(strategy, Saves)
        strategy.save(beside / MODEL)
        write_text(beside / NAME, manifest.model_dump_json(by_alias=True, indent=1) + "\n")
        _prove(strategy, beside, manifest, [row.item() for row in choice.rows[:PROOF]])
        inside = rows_inside(beside / MODEL, choice.rows)
        _describe(beside, folder, decision, choice, strategy, inside)
    return Exported(folder, manifest, inside)


def _manifest(store: Store, decision: Decision, choice: Choice) -> Manifest:
    task = store.dataset.task
    return Manifest(
        choose=versions()["choose-llm"],
        candidate=choice.candidate,
        strategy=choice.strategy,
        revision=choice.revision,
        params=dict(choice.params),
        seed=choice.seed,
        why=choice.why,
        labels=task.labels,
        names=task.names,
        descriptions=dict(task.descriptions),
        instruction=task.instruction,
        text_column=store.study.get("data", {}).get("text_column"),
        dataset=decision.dataset.name,
        fingerprint=decision.dataset.fingerprint,
        rows=len(choice.rows),
        trial=choice.trial.key if choice.trial else None,
    )


def _prove(fitted: Strategy, folder: Path, manifest: Manifest, items: Sequence[Item]) -> None:
    again = load_strategy(folder, manifest)
    before, after = (ask(s, items, manifest.task).outputs for s in (fitted, again))
    if before != after:
        wrong = sum(a != b for a, b in zip(before, after, strict=True))
        raise StrategyError(
            f"Read back, {manifest.candidate!r} answers {wrong} of {len(items)} rows otherwise "
            "than before it was saved, so nothing was exported. The save or load of the strategy "
            f"{manifest.strategy!r} has a bug."
        )


def _describe(
    beside: Path, folder: Path, decision: Decision, choice: Choice, strategy: Strategy, inside: int
) -> None:
    needed = requirements(choice.strategy)
    usage = strategy.usage(f"{folder.name}/{MODEL}") if isinstance(strategy, Portable) else None
    facts = Facts(decision, choice, _labels(choice, decision), needed, inside, folder.name, usage)
    write_json(beside / "labels.json", list(decision.dataset.labels))
    write_text(
        beside / "decision.json",
        json.dumps(decision.model_dump(mode="json", by_alias=True), indent=1) + "\n",
    )
    write_text(beside / "requirements.txt", "\n".join(needed) + "\n")
    write_text(beside / "README.md", card(facts))


def _labels(choice: Choice, decision: Decision) -> dict[str, int]:
    counts: dict[str, int] = dict.fromkeys(decision.dataset.labels, 0)
    for row in choice.rows:
        counts[row.target] += 1
    return counts


def as_plain(exported: Exported) -> dict[str, Any]:
    """Return what was exported as values for JSON."""
    about = exported.manifest.model_dump(mode="json", by_alias=True)
    return {"folder": str(exported.folder), **about, "rows_inside": exported.rows_inside}
