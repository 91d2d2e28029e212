"""Fit a candidate and write it to a folder, atomically, with its model card."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from choose.errors import StoreError, StrategyError
from choose.export.card import CardFacts, model_card
from choose.export.fit_selection import Selection, fit_selection
from choose.export.manifest import (
    MANIFEST_FILE,
    MODEL_FOLDER,
    Manifest,
    digests_of,
    foreign_files,
    load_strategy,
)
from choose.files import explained_errors, temporary_name, write_json, write_text
from choose.run.predict_test_rows import predict
from choose.run.trial import versions
from choose.schema.decision import Decision
from choose.store.store import Store
from choose.strategy import Saves, Strategy, available
from choose.types import Example, Item


@contextmanager
def atomic_folder(folder: Path, force: bool) -> Iterator[Path]:
    """Yield a temporary folder next to `folder`, and rename it to `folder` at the end.

    Raises:
        StoreError: if `folder` may not be replaced, or the folder cannot be written.
    """
    place = folder.resolve()
    check_replaceable(place, folder, force)
    temporary = temporary_name(place)
    try:
        with explained_errors(folder):
            temporary.mkdir(parents=True)
            yield temporary
            check_replaceable(place, folder, force)  # it may have changed meanwhile
            _move(temporary, place)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def check_replaceable(place: Path, named: Path, force: bool) -> None:
    """Refuse a folder that is not empty; with `force`, one that holds anything but an export.

    Raises:
        StoreError: before anything is computed.
    """
    if not place.exists():
        return
    if not place.is_dir():
        raise StoreError(f"{str(named)!r} is a file. Name a new folder.")
    if not any(place.iterdir()):
        return
    if not (place / MANIFEST_FILE).is_file():
        raise StoreError(
            f"{str(named)!r} holds files that are not an export, so it is not replaced. "
            "Name a new folder."
        )
    if not force:
        raise StoreError(
            f"{str(named)!r} already holds an export. "
            "Name a new folder, or replace it with --force."
        )
    if foreign := foreign_files(place):
        more = f" and {len(foreign) - 1:,} more" if len(foreign) > 1 else ""
        raise StoreError(
            f"{str(named)!r} also holds {foreign[0]!r}{more}, which the export did not write, or "
            "not in this form, and --force would delete. Move it elsewhere, or name a new folder."
        )


def _move(temporary: Path, place: Path) -> None:
    if not place.exists():
        os.replace(temporary, place)
        return
    old = place.with_name(f"{temporary.name}.old")
    os.replace(place, old)
    try:
        os.replace(temporary, place)
    except OSError:
        os.replace(old, place)
        raise
    shutil.rmtree(old, ignore_errors=True)


# Distribution by module; only modules that the fit has loaded are listed.
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
    "bm25s": "bm25s",
    "safetensors": "safetensors",
    "gguf": "gguf",
    "openai": "openai",
}


def requirements(strategy: str) -> list[str]:
    """Return pinned requirements: the strategy's own package and the libraries loaded now.

    `choose` itself is in `install_note`: no package index has it.
    """
    names: set[str] = set()
    entry = available().get(strategy)
    if entry is not None and entry.dist is not None:
        names |= {entry.dist.name} - {"choose-llm"}
    names |= {package for module, package in _PACKAGES.items() if module in sys.modules}
    pinned = []
    for name in sorted(names):
        try:
            # The part after a plus sign names a local build, which other indexes do not have.
            pinned.append(f"{name}=={version(name).partition('+')[0]}")
        except PackageNotFoundError:
            continue
    return pinned


def install_note() -> str:
    """Return how to install `choose` itself, as a comment of a requirements file."""
    return (
        f"# Install choose {version('choose-llm')} first, from a checkout or a wheel (no package "
        "index has it):\n#     pip install PATH-TO-CHOOSE\n"
    )


# Most texts to search for in a folder.
MAX_TEXTS = 500


def rows_inside(folder: Path, rows: Sequence[Example]) -> int:
    """Return how many of the first 500 texts occur in a folder's files.

    Texts of fewer than three words are skipped: they occur in any vocabulary.
    """
    searched = [_forms(row.text) for row in rows if len(row.text.split()) >= 3][:MAX_TEXTS]
    files = [path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()]
    return sum(any(form in data for form in forms for data in files) for forms in searched)


def _forms(text: str) -> tuple[bytes, ...]:
    plain = text.encode("utf-8", "surrogatepass")
    escaped = json.dumps(text)[1:-1].encode()
    unescaped = json.dumps(text, ensure_ascii=False)[1:-1].encode("utf-8", "surrogatepass")
    return tuple(dict.fromkeys((plain, escaped, unescaped)))


# Rows to predict with the saved model before the export is complete.
VERIFIED_ROWS = 20


@dataclass(frozen=True, slots=True)
class Exported:
    """An export; `rows_inside` is the number of labelled texts found in its files."""

    folder: Path
    manifest: Manifest
    rows_inside: int


def write_export(
    store: Store, decision: Decision, choice: Selection, folder: Path, force: bool = False
) -> Exported:
    """Fit, save, verify that the loaded model predicts the same, and write the model card.

    Raises:
        StudyError: if the strategy cannot be saved or has changed since the study.
        StoreError: if the folder is not empty, or cannot be written.
        StrategyError: if the loaded model predicts differently from the fitted one.
    """
    manifest = _manifest(store, decision, choice)
    with atomic_folder(folder, force) as temporary:
        strategy = fit_selection(choice, store.dataset.task)
        assert isinstance(strategy, Saves)
        strategy.save(temporary / MODEL_FOLDER)
        _verify(strategy, temporary, manifest, [row.item() for row in choice.rows[:VERIFIED_ROWS]])
        inside = rows_inside(temporary / MODEL_FOLDER, choice.rows)
        _describe(temporary, folder, decision, choice, inside, manifest.text_column)
        manifest = manifest.model_copy(update={"files": digests_of(temporary)})
        write_json(temporary / MANIFEST_FILE, manifest.model_dump(mode="json", by_alias=True))
    return Exported(folder, manifest, inside)


def _manifest(store: Store, decision: Decision, choice: Selection) -> Manifest:
    task = store.dataset.task
    cards = {card.candidate: card for card in decision.scorecards}
    low = cards[choice.candidate].low_confidence if choice.candidate in cards else None
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
        task={} if task.labels else {"kind": task.kind, **task.facts()},
        fields=tuple(choice.rows[0].fields),
        descriptions=dict(task.descriptions),
        instruction=task.instruction,
        text_column=store.study.get("data", {}).get("text_column"),
        dataset=decision.dataset.name,
        fingerprint=decision.dataset.fingerprint,
        rows=len(choice.rows),
        trial=choice.trial.key if choice.trial else None,
        doubtful_below=low.below if low else None,
    )


def _verify(fitted: Strategy, folder: Path, manifest: Manifest, items: Sequence[Item]) -> None:
    loaded = load_strategy(folder, manifest.model_copy(update={"files": digests_of(folder)}))
    before, after = (predict(s, items, manifest.task).outputs for s in (fitted, loaded))
    if before != after:
        different = sum(a != b for a, b in zip(before, after, strict=True))
        raise StrategyError(
            f"After saving and loading, {manifest.candidate!r} answers {different} of {len(items)} "
            "rows differently, so nothing was exported. The save or load method of the strategy "
            f"{manifest.strategy!r} has a bug."
        )


def _describe(
    temporary: Path,
    folder: Path,
    decision: Decision,
    choice: Selection,
    inside: int,
    text_column: str | None,
) -> None:
    packages = requirements(choice.strategy)
    facts = CardFacts(
        decision,
        choice,
        _labels(choice, decision),
        packages,
        inside,
        folder.name,
        text_column,
    )
    if decision.dataset.labels:
        write_json(temporary / "labels.json", list(decision.dataset.labels))
    write_text(
        temporary / "decision.json",
        json.dumps(decision.model_dump(mode="json", by_alias=True), indent=1) + "\n",
    )
    write_text(temporary / "requirements.txt", install_note() + "\n".join(packages) + "\n")
    write_text(temporary / "README.md", model_card(facts))


def _labels(choice: Selection, decision: Decision) -> dict[str, int]:
    """Return training rows by label; empty where answers are no labels."""
    counts = Counter(row.target for row in choice.rows)
    return {label: counts[label] for label in decision.dataset.labels}


def export_record(exported: Exported) -> dict[str, Any]:
    """Return the manifest, the folder and `rows_inside` for JSON."""
    about = exported.manifest.model_dump(mode="json", by_alias=True)
    return {"folder": str(exported.folder), **about, "rows_inside": exported.rows_inside}
