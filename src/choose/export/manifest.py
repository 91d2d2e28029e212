"""`export.json`: what an exported folder contains, and loading its strategy."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from choose.errors import ChooseError, StoreError, StrategyError
from choose.files import NotRegularError, check_regular, file_sha256, read_text
from choose.strategy import Saves, Strategy, build, find
from choose.tasks.kinds import read_task
from choose.tasks.labels import Classification
from choose.types import Task
from choose.untrusted import plain_reason, shown

MANIFEST_FILE = "export.json"


MODEL_FOLDER = "model"


class Manifest(BaseModel):
    """What was exported.

    Attributes:
        why: recommended by the study, to use meanwhile, named by the user, or a fit of the study.
        stored_task: the facts of a task whose answers are no labels; empty for labels.
        text_column: the columns with the study's texts, if they were named.
        fields: further input columns.
        fingerprint: the digest of the labelled data.
        rows: number of training rows.
        trial: the key of the study's trial, or null if it was fitted on all labelled rows.
        doubtful_below: the confidence below which most answers of the study were wrong; null where
            none was shown.
        files: the SHA-256 of every other file of the folder, by its path in it.
    """

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    schema_version: Literal[1] = Field(default=1, alias="schema", serialization_alias="schema")
    choose: str
    candidate: str
    strategy: str
    revision: int
    params: Mapping[str, Any]
    seed: int
    why: Literal["recommended", "meanwhile", "named", "trial"]
    labels: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    descriptions: Mapping[str, str] = {}
    instruction: str | None = None
    stored_task: Mapping[str, Any] = Field(default={}, alias="task", serialization_alias="task")
    text_column: str | None = None
    fields: tuple[str, ...] = ()
    dataset: str
    fingerprint: str
    rows: int
    trial: str | None = None
    doubtful_below: float | None = None
    files: Mapping[str, str] = {}

    @field_validator("params")
    @classmethod
    def _no_seed(cls, params: Mapping[str, Any]) -> Mapping[str, Any]:
        if "seed" in params:
            raise ValueError("'seed' has a field of its own")
        return params

    @field_validator("files")
    @classmethod
    def _files_inside(cls, files: Mapping[str, str]) -> Mapping[str, str]:
        for name in files:
            drive = PureWindowsPath(name).anchor or "\0" in name or "\\" in name
            if drive or ".." in name.split("/") or str(PurePosixPath(name)) != name or name == ".":
                raise ValueError(f"{shown(name)} is no file of the folder")
        if files and not any(name.startswith(f"{MODEL_FOLDER}/") for name in files):
            raise ValueError(f"it lists no file of {MODEL_FOLDER}/")
        return files

    @field_validator("stored_task")
    @classmethod
    def _known_task(cls, facts: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            if facts:
                read_task(facts)
        except (LookupError, TypeError, AttributeError) as error:
            raise ValueError("it describes no task") from error
        return facts

    @property
    def task(self) -> Task:
        """The task it answers."""
        if self.stored_task:
            return read_task(self.stored_task)
        return Classification(
            labels=self.labels,
            names=self.names,
            descriptions=dict(self.descriptions),
            instruction=self.instruction,
        )


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of an exported folder.

    Raises:
        StoreError: if it is no export, or this version cannot read it.
    """
    try:
        text = read_text(folder / MANIFEST_FILE)
    except NotRegularError as error:
        raise StoreError(_unreadable(folder, str(error))) from error
    except OSError as error:
        raise StoreError(
            f"{str(folder)!r} is not an export: it has no readable {MANIFEST_FILE}. "
            "Make one with choose export STORE FOLDER."
        ) from error
    except UnicodeDecodeError as error:
        raise StoreError(_unreadable(folder, "it is not UTF-8 text")) from error
    try:
        manifest = Manifest.model_validate_json(text)
    except ValidationError as invalid:
        first = invalid.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise StoreError(_unreadable(folder, f"{where}: {plain_reason(first)}")) from invalid
    if not manifest.files:
        raise StoreError(_unreadable(folder, "it lists no files"))
    return manifest


def digests_of(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file in a folder and below, by its path in it."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): file_sha256(file) for file in files}


def foreign_files(folder: Path) -> list[str]:
    """Return what is not the export's in an exported folder, sorted: added or edited since.

    Files are edited whose SHA-256 is not that of the manifest.
    """
    try:
        listed = json.loads(read_text(folder / MANIFEST_FILE))["files"]
        ours = {
            str(name)
            for name, sha in listed.items()
            if not (folder / name).is_file() or file_sha256(folder / name) == sha
        }
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        ours, listed = set(), {}
    names = {file.relative_to(folder) for file in folder.rglob("*")}
    folders = {parent.as_posix() for name in (*listed, *ours) for parent in Path(name).parents}
    known = {MANIFEST_FILE, MODEL_FOLDER, *ours, *folders}
    return sorted(name.as_posix() for name in names if name.as_posix() not in known)


def load_strategy(folder: Path, manifest: Manifest) -> Strategy:
    """Load the fitted strategy of an exported folder.

    Raises:
        StrategyError: if it is not installed, has changed since, or cannot read its files, or one
            is not what was exported.
        ModelError: if its weights are missing.
    """
    if find(manifest.strategy).revision != manifest.revision:
        raise StrategyError(
            f"{str(folder)!r} was written by revision {manifest.revision} of "
            f"{manifest.strategy!r}; revision {find(manifest.strategy).revision} is installed and "
            "may answer differently. Install what its requirements.txt lists, or export it again."
        )
    strategy = build(manifest.strategy, seed=manifest.seed, **manifest.params)
    if not isinstance(strategy, Saves):
        raise StrategyError(
            f"Strategy {manifest.strategy!r} has no load method. Install what its requirements.txt "
            "lists."
        )
    _check_files(folder, manifest)
    try:
        strategy.load(folder / MODEL_FOLDER)
    except ChooseError:
        raise
    except Exception as error:  # damaged files can raise anything
        reason = " ".join(str(error).split())
        raise StrategyError(
            f"Cannot read the files in {str(folder / MODEL_FOLDER)!r} "
            f"({type(error).__name__}: {reason}). Export it again."
        ) from error
    loaded: Strategy = strategy
    labels = getattr(loaded, "labels", manifest.labels)
    if tuple(labels) != manifest.labels:
        where = str(folder / MODEL_FOLDER)
        raise StrategyError(f"{MANIFEST_FILE} has other labels than {where!r}. Export it again.")
    return loaded


def _check_files(folder: Path, manifest: Manifest) -> None:
    """Compare the files that a strategy loads with their digests."""
    prefix = f"{MODEL_FOLDER}/"
    for file in sorted((folder / MODEL_FOLDER).rglob("*")):
        if file.exists() and not file.is_dir():
            _check_regular(file)
    listed = {name: sha for name, sha in manifest.files.items() if name.startswith(prefix)}
    present = {
        file.relative_to(folder).as_posix(): file
        for file in (folder / MODEL_FOLDER).rglob("*")
        if file.is_file() and not file.name.startswith(".")
    }
    for name in sorted(listed.keys() | present.keys()):
        if name not in present:
            wrong = "is missing"
        elif name not in listed:
            wrong = "was not written by the export"
        elif file_sha256(present[name]) != listed[name]:
            wrong = f"is not the file that {MANIFEST_FILE} lists: its SHA-256 differs"
        else:
            continue
        raise StrategyError(f"{str(folder / name)!r} {wrong}. Put it right, or export it again.")


def _check_regular(file: Path) -> None:
    try:
        check_regular(file)
    except OSError as error:
        raise StrategyError(
            f"Cannot read {str(file)!r}: {error.strerror or error}. Put it right, or export it "
            "again."
        ) from error


def _unreadable(folder: Path, why: str) -> str:
    return (
        f"Cannot read {str(folder / MANIFEST_FILE)!r}: {why}. Install the version of choose that "
        "wrote it (see requirements.txt), or export it again."
    )
