"""Sections of a study file: where the labelled rows are, what the task is, where trials run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from choose.errors import did_you_mean
from choose.untrusted import Settings, Several

# Keys of [data] that name files or folders.
FILES = ("path", "test", "documents")

EXECUTORS = ("local", "ray")

Estimand = Literal["new-questions", "new-documents"]


@dataclass(frozen=True, slots=True)
class Flag:
    """Marks a field that has a flag of its name; `takes` is what help shows for its value.

    Help for every day shows the first sentence of the field's description.
    """

    takes: str = ""


class DataSection(Settings):
    """Where the labelled rows are and how to read them."""

    path: str | None = Field(
        default=None, description="CSV, TSV, JSON, JSONL or Parquet file, or `sample:NAME`."
    )
    test: Annotated[str | None, Flag("FILE")] = Field(
        default=None, description="File with your own test rows."
    )
    text_column: Annotated[str | None, Flag("COLUMN")] = Field(
        default=None,
        description="Column of the text (default: found, and shown). Several are joined: "
        "subject,body.",
    )
    label_column: Annotated[str | None, Flag("COLUMN")] = Field(
        default=None, description="Column of the label (default: found, and shown)."
    )
    teacher_column: Annotated[str | None, Flag("COLUMN")] = Field(
        default=None,
        description="Column of an LLM's answers: candidates learn from them, and are scored on the "
        "labels.",
    )
    separator: str | None = Field(
        default=None,
        min_length=1,
        max_length=5,
        description="What separates several labels in a cell, such as ';'. Default: guessed.",
    )
    fields: Several[str] = Field(
        default=(),
        description="Further input columns, such as the date of an e-mail.",
    )
    time_column: str | None = Field(default=None, description="Column of the timestamp.")
    group_column: str | None = Field(
        default=None, description="Column of a group, such as the customer; a group is never split."
    )
    source_column: str | None = Field(
        default=None,
        description="Column of the source, such as the customer or the channel: each is left out "
        "in turn, to see what is lost on one that no training row is from.",
    )
    documents: Annotated[str | None, Flag("PATH")] = Field(
        default=None,
        description="Documents to answer from, or to rank. A folder of .txt and .md files, a table "
        "(JSONL, JSON, CSV, TSV, Parquet) with id, title and text, or `sample:NAME`.",
    )
    evidence_column: str | None = Field(
        default=None,
        description="Column of the documents, or spans of them, that hold the answer or are "
        "relevant. Default: one with a usual name, else the places of the answer's text.",
    )
    estimand: Estimand = Field(
        default="new-questions",
        description="What figures are about, with documents: new-questions on known documents, or "
        "new-documents (questions that share a document are never split).",
    )
    test_rows: int | None = Field(
        default=None, ge=2, description="Use only N test rows, a stratified sample."
    )
    folds: int | None = Field(
        default=None,
        ge=2,
        le=20,
        description="Number of cross-validation folds where there is no test file.",
    )

    @property
    def teacher(self) -> str | None:
        """Return the column to learn from; None also where its answers are taken for right."""
        return self.teacher_column if self.teacher_column != self.label_column else None

    @field_validator("path", "test", "documents")
    @classmethod
    def _file_is_named(cls, name: str | None) -> str | None:
        if name is not None and not name.strip():
            raise ValueError("write the name of a file")
        return name


class AnswersSection(Settings):
    """Answers that exist already, which are judged beside those of the candidates that run."""

    answers: Annotated[Several[str], Flag("WHICH")] = Field(
        default=(),
        description="Columns or files: gpt4,mine or gpt4=out.jsonl. With the price in dollars for "
        "1,000 answers: gpt4=2.50/1k. Repeatable.",
    )
    family: Several[str] = Field(
        default=(),
        description="Families of these answers: NAME=fine-tuning (or prompting, retrieval, "
        "baseline). Default: guessed from the name, and shown.",
    )
    ends: Several[str] = Field(
        default=(),
        description="Answers whose model will be switched off, by name: compared, never named.",
    )

    @field_validator("family", mode="before")
    @classmethod
    def _by_name(cls, said: object) -> object:
        return [f"{k}={v}" for k, v in said.items()] if isinstance(said, Mapping) else said


class TaskSection(Settings):
    """What kind of task it is, and how prompts describe it."""

    kind: Annotated[str | None, Flag("NAME")] = Field(
        default=None,
        description="Kind of task: classification, multilabel (sets of labels), extraction "
        "(records), writing (texts), answering (questions) or ranking (documents). Default: what "
        "the targets look like.",
    )
    instruction: str | None = Field(
        default=None, description="What a model should do with a text, in every prompt."
    )
    names: Mapping[str, str] = Field(default={}, description="Readable names, by label.")
    descriptions: Mapping[str, str] = Field(
        default={}, description="What belongs under a label, by label; or in a field, by field."
    )
    fields: Mapping[str, str] = Field(
        default={},
        description="Type of each field of a record: text, number, date or list. Default: what its "
        "values are.",
    )
    day_first: bool = Field(
        default=True, description="Whether 3/4/2025 in a field of dates is the 3rd of April."
    )


class Resources(Settings):
    """What a worker of a cluster gets for the trials of a candidate."""

    cores: float | None = Field(default=None, gt=0, le=10_000, description="Processor cores.")
    gpus: float | None = Field(
        default=None, ge=0, le=64, description="GPUs; 0.5 lets two workers share one."
    )
    memory_gb: float | None = Field(default=None, gt=0, le=100_000, description="Memory, in GB.")


class RunSection(Settings):
    """Where trials run. That changes no answer, so it makes no other study."""

    executor: str | None = Field(
        default=None,
        description="Where trials run: local (this process) or ray (workers of a Ray cluster, to "
        "which rows are sent). Default: local, or ray if an address is given.",
    )
    address: str | None = Field(
        default=None,
        description="HOST:PORT of the head of the Ray cluster. Default: auto, the cluster that "
        "this machine is a node of.",
    )
    resources: Mapping[str, Resources] = Field(
        default={},
        description="What a worker gets for the trials of a candidate, by candidate or family. "
        "Default: a core for fast candidates; for others up to four cores, and a GPU where nodes "
        "have some.",
    )

    @field_validator("executor")
    @classmethod
    def _known_executor(cls, name: str | None) -> str | None:
        if name is not None and name not in EXECUTORS:
            hint = did_you_mean(name, EXECUTORS).removesuffix("?").replace(" Did", "; did")
            raise ValueError(f"it must be {' or '.join(EXECUTORS)}{hint}")
        return name

    @model_validator(mode="after")
    def _address_of_ray(self) -> Self:
        if self.executor == "local" and self.address is not None:
            raise ValueError("run.address is for executor = 'ray'; leave one of them out")
        return self

    @property
    def on_ray(self) -> bool:
        """Return whether trials run on a Ray cluster."""
        return self.executor == "ray" or (self.executor is None and self.address is not None)
