"""What is on this machine: models and stored studies."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A model and what is here of it.

    Attributes:
        name: how people call it.
        role: what it is used for; None for a model that was fetched by name.
        spec: what to write after --model, tune or encoder; None where it is not known.
        licence: of the weights.
        download_mb: what fetching it takes, in megabytes.
        cached_mb: its size here; None where it is not here, or damaged.
    """

    name: str
    role: str | None = None
    spec: str | None = None
    licence: str | None = None
    download_mb: float | None = None
    cached_mb: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredStudy:
    """A study on disk, with what was decided; `kind` is None where nothing was yet."""

    path: str
    written: datetime
    data: str = ""
    metric: str = ""
    kind: str | None = None
    candidate: str | None = None
    score: float | None = None
    chance: float | None = None
    unmeasured: tuple[str, ...] = ()

    def record(self) -> dict[str, Any]:
        return {**asdict(self), "written": self.written.isoformat(timespec="seconds")}
