"""Fit what was chosen and write its folder, whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from uuid import uuid4

from choose.errors import StoreError, StrategyError
from choose.export.card import Facts, card
from choose.export.manifest import MODEL, NAME, Manifest, load_strategy
from choose.export.selection import Choice, fit
from choose.files import write_json, write_text
from choose.run.timed_predict import predict
from choose.run.trial import versions
from choose.schema.decision import Decision
from choose.store.store import Store
from choose.strategy import Portable, Saves, Strategy, available
from choose.types import Example, Item


@contextmanager
def whole_folder(folder: Path, force: bool) -> Iterator[Path]:
    """Give a new folder beside `folder` to be filled, and rename it into place at the end.

    Raises:
        StoreError: if there is something that may not be replaced, or no folder can be made.
    """
    place = folder.resolve()
    check_free(place, folder, force)
    beside = place.with_name(f".{place.name}.{uuid4().hex[:8]}")
    try:
        try:
            beside.mkdir(parents=True)
            yield beside
            _put(beside, place)
        except OSError as error:
            reason = error.strerror or str(error)
            raise StoreError(
                f"Cannot write {str(folder)!r}: {reason}. Free some space or choose another place."
            ) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def check_free(place: Path, named: Path, force: bool) -> None:
    """Refuse a folder with something in it; with `force`, one with anything but an export.

    Raises:
        StoreError: before anything is computed.
    """
    if not place.exists():
        return
    if not place.is_dir():
        raise StoreError(f"{str(named)!r} is a file. Name a new folder.")
    if not any(place.iterdir()):
        return
    if not (place / NAME).is_file():
        raise StoreError(
            f"{str(named)!r} holds files that are no export, so it is left alone. "
            "Name a new folder."
        )
    if not force:
        raise StoreError(
            f"{str(named)!r} holds an export already. "
            "Name a new folder, or replace it with --force."
        )


def _put(beside: Path, place: Path) -> None:
    if not place.exists():
        os.replace(beside, place)
        return
    old = place.with_name(f"{beside.name}.old")
    os.replace(place, old)
    try:
        os.replace(beside, place)
    except OSError:
        os.replace(old, place)
        raise
    shutil.rmtree(old, ignore_errors=True)


# Module -> distribution; only those that the fit has really loaded are listed.
_PACKAGES = {
    "numpy": "numpy",
    "sklearn": "scikit-learn",
    "scipy": "scipy",
    "torch": "torch",
    "transformers": "transformers",
    "tokenizers": "tokenizers",
    "peft": "peft",
    "sentence_transformers": "sentence-transformers",
    "faiss": "faiss-cpu",
    "safetensors": "safetensors",
    "gguf": "gguf",
    "openai": "openai",
}


def requirements(strategy: str) -> list[str]:
    """Return pinned requirements: the strategy's own package, and what is loaded now."""
    names = {"choose-llm"}
    entry = available().get(strategy)
    if entry is not None and entry.dist is not None:
        names.add(entry.dist.name)
    names |= {package for module, package in _PACKAGES.items() if module in sys.modules}
    pinned = []
    for name in sorted(names):
        try:
            # What follows the plus sign is one index's own build and cannot be asked of another.
            pinned.append(f"{name}=={version(name).partition('+')[0]}")
        except PackageNotFoundError:
            continue
    return pinned


# Texts that are looked for at most.
SOUGHT = 500


def rows_inside(folder: Path, rows: Sequence[Example]) -> int:
    """Return how many of up to 500 rows can be read in a folder's files.

    Texts of fewer than three words are not looked for: they are found in any vocabulary.
    """
    sought = [_forms(row.text) for row in rows if len(row.text.split()) >= 3][:SOUGHT]
    files = [path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()]
    return sum(any(form in data for form in forms for data in files) for forms in sought)


def _forms(text: str) -> tuple[bytes, ...]:
    plain = text.encode("utf-8", "surrogatepass")
    escaped = json.dumps(text)[1:-1].encode()
    unescaped = json.dumps(text, ensure_ascii=False)[1:-1].encode("utf-8", "surrogatepass")
    return tuple(dict.fromkeys((plain, escaped, unescaped)))


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
    before, after = (predict(s, items, manifest.task).outputs for s in (fitted, again))
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
