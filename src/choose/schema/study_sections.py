"""Sections of a study file: where the labelled rows are, what the task is, where trials run."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from choose.outside_values import Settings, Several

# Keys of [data] that name files or folders.
FILES = ("path", "test", "documents")

FieldType = Literal["text", "number", "date", "list"]


@dataclass(frozen=True, slots=True)
class Flag:
    """Marks a field that has a flag of its name; `takes` is what help shows for its value.

    Help for every day shows the first sentence of the field's description.
    """

    takes: str = ""


def option(description: str, default: Any = None, **limits: Any) -> Any:
    """Return a field of a section; the description is its help everywhere."""
    return Field(default, description=description, **limits)


class DataSection(Settings):
    """Where the labelled rows are and how to read them."""

    path: str | None = option("CSV, TSV, JSON, JSONL or Parquet file, or `sample:NAME`.")
    test: Annotated[str | None, Flag("FILE")] = option("File with your own test rows.")
    text_column: Annotated[str | None, Flag("COLUMN")] = option(
        "Column of the text (default: found, and shown). Several are joined: subject,body."
    )
    label_column: Annotated[str | None, Flag("COLUMN")] = option(
        "Column of the label (default: found, and shown)."
    )
    teacher_column: Annotated[str | None, Flag("COLUMN")] = option(
        "Column of an LLM's answers: candidates learn from them, and are scored on the labels."
    )
    fields: Several[str] = option(
        "Further input columns, such as the date of an e-mail.", default=()
    )
    time_column: str | None = option("Column of the timestamp.")
    group_column: str | None = option(
        "Column of a group, such as the customer; a group is never split."
    )
    source_column: str | None = option(
        "Column of the source, such as the customer or the channel: each is left out in turn, to "
        "see what is lost on one that no training row is from."
    )
    documents: Annotated[str | None, Flag("PATH")] = option(
        "Documents to answer from, or to rank. A folder of .txt and .md files, a table (JSONL, "
        "JSON, CSV, TSV, Parquet) with id, title and text, or `sample:NAME`."
    )
    evidence_column: str | None = option(
        "Column of the documents, or spans of them, that hold the answer or are relevant. Default: "
        "one with a usual name, else the places of the answer's text."
    )
    folds: int | None = option(
        "Number of cross-validation folds where there is no test file.", ge=2, le=20
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

    answers: Annotated[Several[str], Flag("WHICH")] = option(
        "Columns or files: gpt4,mine or gpt4=out.jsonl. With the price in dollars for 1,000 "
        "answers: gpt4=2.50/1k. Repeatable.",
        default=(),
    )
    family: Several[str] = option(
        "Families of these answers: NAME=fine-tuning (or prompting, retrieval, baseline). Default: "
        "guessed from the name, and shown.",
        default=(),
    )
    ends: Several[str] = option(
        "Answers whose model will be switched off, by name: compared, never named.", default=()
    )

    @field_validator("family", mode="before")
    @classmethod
    def _by_name(cls, said: object) -> object:
        return [f"{k}={v}" for k, v in said.items()] if isinstance(said, Mapping) else said

    @field_validator("answers", "family")
    @classmethod
    def _one_each(cls, said: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(part.strip() for text in said for part in text.split(",") if part.strip())


class TaskSection(Settings):
    """What kind of task it is, and how prompts describe it."""

    kind: Annotated[str | None, Flag("NAME")] = option(
        "Kind of task: classification, multilabel (sets of labels), extraction (records), writing "
        "(texts), answering (questions) or ranking (documents). Default: what the targets look "
        "like."
    )
    instruction: str | None = option("What a model should do with a text, in every prompt.")
    names: Mapping[str, str] = option("Readable names, by label.", default={})
    descriptions: Mapping[str, str] = option(
        "What belongs under a label, by label; or in a field, by field.", default={}
    )
    fields: Mapping[str, FieldType] = option(
        "Type of each field of a record: text, number, date or list. Default: what its values are.",
        default={},
    )
    day_first: bool = option(
        "Whether 3/4/2025 in a field of dates is the 3rd of April.", default=True
    )


class RunSection(Settings):
    """Where trials run. That changes no answer, so it makes no other study."""

    executor: Literal["local", "ray"] | None = option(
        "Where trials run: local (this process) or ray (workers of a Ray cluster, to which rows "
        "are sent). Default: local, or ray if an address is given."
    )
    address: str | None = option(
        "HOST:PORT of the head of the Ray cluster. Default: auto, the cluster that this machine is "
        "a node of."
    )

    @model_validator(mode="after")
    def _address_of_ray(self) -> Self:
        if self.executor == "local" and self.address is not None:
            raise ValueError("run.address is for executor = 'ray'; leave one of them out")
        return self

    @property
    def on_ray(self) -> bool:
        return self.executor == "ray" or (self.executor is None and self.address is not None)
