"""The base class of all records, and commands."""

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Record(BaseModel):
    """A frozen part of the decision that refuses unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def __dir__(self) -> list[str]:
        """List the fields and what subclasses add, without the methods of pydantic."""
        added = {name for cls in type(self).__mro__ for name in vars(cls)} - set(dir(BaseModel))
        public = {name for name in added if not name.startswith("_")}
        return sorted(public - {"model_config"} | set(type(self).model_fields))


class File(Record):
    """A record that is a file of its own; `choose` is the version that wrote it."""

    schema_version: Literal[1] = Field(default=1, alias="schema", serialization_alias="schema")
    choose: str

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Command(Record):
    """A command of choose with its arguments; `report.words` says how it is typed, or called.

    Attributes:
        verb: such as ``compare``.
        study: the folder of the study that it reads or goes on with; null for none.
        path: the file of rows that it reads, or what it writes; null for none.
        options: values by flag, such as ``budget``; an empty one is a flag alone, and ``set`` may
            hold several with spaces between them.
        in_python: whether the rows were passed in Python, so that it can be called alone.
    """

    verb: str
    study: str | None = None
    path: str | None = None
    options: Mapping[str, str] = {}
    in_python: bool = False
