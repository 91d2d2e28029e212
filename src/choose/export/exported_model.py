"""Predict texts with an exported model, and write the predictions as CSV or JSON Lines."""

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain, islice, repeat
from pathlib import Path
from typing import Any, Literal, Self, TextIO

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from choose.data.readers.unlabelled_texts import fields_of_row
from choose.engines.hardware.device_and_dtype import check_compute
from choose.errors import ChooseError, DataError, StoreError, StrategyError, StudyError
from choose.files import NotRegularError, csv_cell, file_sha256, read_text
from choose.formatting import clean, plural
from choose.outside_values import plain_reason
from choose.run.predict_test_rows import predict
from choose.strategy import Saves, Strategy, build, find
from choose.tasks.extraction import Extraction
from choose.tasks.kinds import read_task
from choose.tasks.multilabel import Multilabel
from choose.tasks.ranking import Ranking
from choose.types import Answers, Item, Task

MANIFEST_FILE = "export.json"


MODEL_FOLDER = "model"

Why = Literal["recommended", "meanwhile", "named"]


class Router(BaseModel):
    """Which rows go on to a language model: those of which the export is less sure.

    On the study's rows it answers `share` of them, and both lose at most `most` of the score.
    """

    model_config = ConfigDict(frozen=True)

    threshold: float = Field(ge=0, le=1)
    to: str
    share: float
    most: float


class Manifest(BaseModel):
    """What was exported.

    Attributes:
        why: recommended by the study, to use meanwhile, or named by the user.
        stored_task: the facts of the task.
        text_column: the columns with the study's texts, if they were named.
        fields: further input columns.
        fingerprint: the digest of the labelled data.
        rows: number of training rows.
        teacher: whose answers it learned from in place of labels; empty for labels.
        router: which rows it leaves to a language model; null if it answers all.
        doubtful: confidence below which most of the study's answers were wrong; null for none.
        files: the SHA-256 of every file of the model, by its path in `MODEL_FOLDER`.
    """

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    schema_version: Literal[2] = Field(default=2, alias="schema", serialization_alias="schema")
    choose: str
    candidate: str
    strategy: str
    revision: int
    params: Mapping[str, Any]
    seed: int
    why: Why
    stored_task: Mapping[str, Any] = Field(alias="task", serialization_alias="task")
    text_column: str | None = None
    fields: tuple[str, ...] = ()
    dataset: str
    fingerprint: str
    rows: int
    teacher: str = ""
    router: Router | None = None
    doubtful: float | None = None
    files: Mapping[str, str] = {}

    @field_validator("stored_task")
    @classmethod
    def _known_task(cls, facts: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            read_task(facts)
        except (LookupError, TypeError, AttributeError) as error:
            raise ValueError("it describes no task") from error
        return facts

    @cached_property
    def task(self) -> Task:
        return read_task(self.stored_task)


def read_manifest(folder: Path) -> Manifest:
    try:
        return Manifest.model_validate_json(read_text(folder / MANIFEST_FILE))
    except ValidationError as invalid:
        first = invalid.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise StoreError(_unreadable(folder, f"{where}: {plain_reason(first)}")) from invalid
    except (NotRegularError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", "it is not UTF-8 text")
        raise StoreError(_unreadable(folder, why)) from error
    except OSError as error:
        raise StoreError(
            f"{str(folder)!r} is not an export: it has no readable {MANIFEST_FILE}. "
            "Make one with choose export STORE FOLDER."
        ) from error


def _unreadable(folder: Path, why: str) -> str:
    return (
        f"Cannot read {str(folder / MANIFEST_FILE)!r}: {why}. Install the version of choose that "
        "wrote it (see requirements.txt), or export it again."
    )


def digests_of(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file in a folder and below, by its path in it."""
    files = (file for file in sorted(folder.rglob("*")) if file.is_file())
    return {file.relative_to(folder).as_posix(): file_sha256(file) for file in files}


def load_strategy(folder: Path, manifest: Manifest) -> Strategy:
    if find(manifest.strategy).revision != manifest.revision:
        raise StrategyError(
            f"{str(folder)!r} was written by revision {manifest.revision} of "
            f"{manifest.strategy!r}; revision {find(manifest.strategy).revision} is installed and "
            "may answer differently. Install what its requirements.txt lists, or export it again."
        )
    strategy = build(manifest.strategy, **{**manifest.params, "seed": manifest.seed})
    if not isinstance(strategy, Saves):
        raise StrategyError(
            f"Strategy {manifest.strategy!r} has no load method. Install what its requirements.txt "
            "lists."
        )
    _check_files(folder / MODEL_FOLDER, manifest.files)
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
    labels = getattr(getattr(loaded, "head", loaded), "labels", manifest.task.labels)
    if tuple(labels) != manifest.task.labels:
        where = str(folder / MODEL_FOLDER)
        raise StrategyError(f"{MANIFEST_FILE} has other labels than {where!r}. Export it again.")
    return loaded


def _check_files(folder: Path, digests: Mapping[str, str]) -> None:
    present = (file for file in folder.rglob("*") if not file.is_dir() and file.name[0] != ".")
    for name in sorted({*digests, *(file.relative_to(folder).as_posix() for file in present)}):
        try:
            known = file_sha256(folder / name) == digests.get(name)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise StrategyError(
                f"Cannot read {str(folder / name)!r}: {reason}. Put it right, or export it again."
            ) from error
        if not known:
            raise StrategyError(
                f"{str(folder / name)!r} is not the file that {MANIFEST_FILE} lists: its SHA-256 "
                "differs. Put it right, or export it again."
            )


# Rows predicted at a time; the first chunks are smaller, so that output starts early.
CHUNK = 256


NO_TEXT, UNSURE, DOUBTFUL = "no text", "unsure", "doubtful"


@dataclass(frozen=True, slots=True)
class Prediction:
    """The prediction for one text.

    `label` is the answer: a label, or a text as the task writes it. If it is None, `status` says
    why: `no text`, `unsure`, `ask MODEL` of a router, or a status of the strategy. Of a label it is
    `ok`, or `doubtful` where most answers of such confidence were wrong in the study.
    `confidence` is that of the answer, or None if the strategy gives none.
    """

    id: str
    text: str
    label: str | None
    confidence: float | None
    status: str


class Model:
    """An exported candidate, loaded for prediction."""

    def __init__(self, folder: Path, manifest: Manifest, strategy: Strategy) -> None:
        self.folder, self.manifest, self._strategy = folder, manifest, strategy

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Load a folder that `choose export` wrote.

        Raises:
            StoreError: if the folder is no export.
            StrategyError: if its strategy is not installed or cannot read its files.
            ModelError: if its weights are missing.
        """
        check_compute()
        path = Path(folder)
        manifest = read_manifest(path)
        return cls(path, manifest, load_strategy(path, manifest))

    def __repr__(self) -> str:
        rows, data = plural(self.manifest.rows, "row"), clean(self.manifest.dataset)
        return f"<Model {clean(self.manifest.candidate)}, trained on {rows} of {data}>"

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that it predicts; none where its answers are texts."""
        return self.manifest.task.labels

    def predict(
        self, texts: str | Sequence[str], fields: Sequence[Mapping[str, Any]] | None = None
    ) -> Any:
        """Return an array (n,) with the answer to each text; for a single text, its answer.

        An answer is a label, a list of labels or of documents, a record, or a text; None for an
        empty text or where the model gave no usable answer. `fields` as for `table`.
        """
        asked = [texts] if isinstance(texts, str) else texts
        said = [p.label for p in self.stream(self._items(asked, fields))]
        answers = np.empty(len(said), dtype=object)
        answers[:] = [None if label is None else self._parsed(label) for label in said]
        return answers[0] if isinstance(texts, str) else answers

    def table(
        self,
        texts: Sequence[str],
        min_confidence: float | None = None,
        fields: Sequence[Mapping[str, Any]] | None = None,
    ) -> pl.DataFrame:
        """Return the label, the confidence and the status of each text, in their order.

        Below `min_confidence` the label is null and the status ``unsure``. A model whose answers
        are no single label has a column ``answer`` instead, with texts or JSON. `fields` are the
        further inputs of each text by name, such as ``[{"received": "2025-03-01"}]``, for a model
        that was fitted with some (``manifest.fields``); others are not read.
        """
        items = self._items([texts] if isinstance(texts, str) else texts, fields)
        predictions = list(self.stream(items, min_confidence))
        schema = {self.answer: pl.String, "confidence": pl.Float64, "status": pl.String}
        columns = [[p.label, p.confidence, p.status] for p in predictions]
        return pl.DataFrame(columns, schema=schema, orient="row")

    def _items(
        self, texts: Sequence[str], fields: Sequence[Mapping[str, Any]] | None
    ) -> list[Item]:
        wanted = self.manifest.fields
        if fields is None and wanted and len(texts):
            shown = ", ".join(f"{name!r}: ..." for name in wanted)
            raise DataError(
                f"This model reads {', '.join(wanted)} beside the text. Give them for each text: "
                f"predict(texts, fields=[{{{shown}}}, ...])."
            )
        rows = [{}] * len(texts) if fields is None else fields
        if len(rows) != len(texts):
            raise DataError(
                f"Fields of {plural(len(rows), 'row')} are given for {plural(len(texts), 'text')}. "
                "Give one mapping for each text."
            )
        return [
            Item(id=str(i), text=text, fields=fields_of_row(row, wanted, i))
            for i, (text, row) in enumerate(zip(texts, rows, strict=True), start=1)
        ]

    @property
    def answer(self) -> str:
        """What its answers are called: ``label``, or ``answer`` where these are no single label."""
        return "label" if self.labels else "answer"

    def _parsed(self, text: str) -> Any:
        task = self.manifest.task
        return json.loads(text) if isinstance(task, Extraction | Multilabel | Ranking) else text

    def write(
        self, out: TextIO, predictions: Iterable[Prediction], with_text: bool, as_json: bool
    ) -> None:
        """Write predictions as they come: JSON Lines, or CSV with cells from `csv_cell`."""
        table, text = csv.writer(out, lineterminator="\n"), ["text"] if with_text else []
        if not as_json:
            table.writerow(["id", *text, self.answer, "confidence", "status"])
        for p in predictions:
            if as_json:
                row: dict[str, Any] = {"id": p.id, "text": p.text} if with_text else {"id": p.id}
                row[self.answer] = None if p.label is None else self._parsed(p.label)
                chance = None if p.confidence is None else round(p.confidence, 6)
                out.write(json.dumps({**row, "confidence": chance, "status": p.status}) + "\n")
            else:
                shown_chance = "" if p.confidence is None else f"{p.confidence:.4f}"
                cells = [p.id, *([p.text] if with_text else []), p.label or ""]
                table.writerow([*map(csv_cell, cells), shown_chance, csv_cell(p.status)])
            out.flush()

    def stream(
        self, items: Iterable[Item], min_confidence: float | None = None
    ) -> Iterator[Prediction]:
        """Yield a prediction for each item, in order, holding one chunk in memory.

        Raises:
            StudyError: if `min_confidence` is not between 0 and 1.
            StrategyError: if it is set and the strategy gives no confidence.
        """
        if min_confidence is not None and not 0 <= min_confidence <= 1:
            raise StudyError(
                f"The smallest confidence is {min_confidence:g}; it must be between 0 and 1."
            )
        rows, sizes = iter(items), chain((1, 2, 4, 8, 16, 32, 64, 128), repeat(CHUNK))
        chunks = iter(lambda: list(islice(rows, next(sizes))), [])
        return chain.from_iterable(self._chunk(chunk, min_confidence) for chunk in chunks)

    def _chunk(self, chunk: Sequence[Item], threshold: float | None) -> Iterator[Prediction]:
        # New ids, because training rows are never retrieved for an item with their own id.
        with_text = [item for item in chunk if item.text.strip()]
        items = [replace(item, id=f"asked {i}") for i, item in enumerate(with_text)]
        answers = self._answers(items)
        if answers.scores is None is answers.confidence and threshold is not None and items:
            raise StrategyError(
                f"{self.manifest.candidate!r} gives labels without a confidence, so it cannot "
                "abstain. Predict without a smallest confidence."
            )
        unsure, router = UNSURE, self.manifest.router
        if threshold is None and router is not None:
            unsure, threshold = f"ask {router.to}", router.threshold
        found = zip(answers.outputs, confidences(answers, self.labels), answers.status, strict=True)
        for item in chunk:
            label, chance, status = next(found) if item.text.strip() else (None, None, NO_TEXT)
            unsure_of = threshold is not None and chance is not None and chance < threshold
            if label is not None and unsure_of:
                label, status = None, unsure
            elif label is not None and (chance or 1.0) < (self.manifest.doubtful or 0.0):
                status = DOUBTFUL
            yield Prediction(item.id, item.text, label, chance, status)

    def _answers(self, items: Sequence[Item]) -> Answers:
        try:
            return predict(self._strategy, items, self.manifest.task)
        except ChooseError:
            raise
        except Exception as error:  # files that do not fit together can raise anything
            reason = " ".join(str(error).split())
            raise StrategyError(
                f"The model in {str(self.folder)!r} cannot predict ({type(error).__name__}: "
                f"{reason}). Export it again."
            ) from error


def confidences(answers: Answers, labels: Sequence[str]) -> list[Any]:
    """Return the confidence of each answer; None where there is none."""
    if answers.confidence is not None:
        return [float(chance) for chance in answers.confidence]
    if answers.scores is None:
        return [None] * len(answers)
    return [
        float(row[labels.index(output)]) if output is not None else None
        for row, output in zip(np.exp(answers.scores), answers.outputs, strict=True)
    ]
