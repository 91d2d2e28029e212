"""The nodes of a cluster: what they have, and what a worker for each candidate gets of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from choose.errors import StudyError
from choose.schema.sections import Resources, RunSection
from choose.strategy import find
from choose.types import Candidate

# Cores of a worker for a candidate that is not fast, at most.
MOST_CORES = 4


@dataclass(frozen=True, slots=True)
class Node:
    """A machine of a cluster, or a part of one."""

    id: str
    address: str
    cores: float
    gpus: float
    memory: float

    def room(self, taken: Iterable[Resources]) -> Node:
        """Return the node with the resources that these workers leave free."""
        used = list(taken)
        return Node(
            self.id,
            self.address,
            self.cores - sum(r.cores or 0.0 for r in used),
            self.gpus - sum(r.gpus or 0.0 for r in used),
            self.memory - 1e9 * sum(r.memory_gb or 0.0 for r in used),
        )

    def holds(self, asked: Resources) -> bool:
        """Return whether a worker with these resources fits."""
        return (
            (asked.cores or 0.0) <= self.cores + 1e-6
            and (asked.gpus or 0.0) <= self.gpus + 1e-6
            and 1e9 * (asked.memory_gb or 0.0) <= self.memory
        )


def how_many(node: Node, asked: Resources) -> int:
    """Return how many workers with these resources a node holds."""
    sides = (
        (node.cores, asked.cores),
        (node.gpus, asked.gpus),
        (node.memory, asked.memory_gb and 1e9 * asked.memory_gb),
    )
    return min((int(max(0.0, there) / each + 1e-6) for there, each in sides if each), default=0)


def resources_of(
    candidates: Sequence[Candidate], section: RunSection, nodes: Sequence[Node], address: str
) -> dict[str, Resources]:
    """Return what a worker gets for each candidate, by name.

    Raises:
        StudyError: if no node has room for it.
    """
    found = {}
    for candidate in candidates:
        cls, name = find(candidate.strategy), candidate.name
        given = section.resources.get(name) or section.resources.get(cls.family) or Resources()
        most = max((node.cores for node in nodes), default=1.0)
        usual = 1.0 if cls.cheap else max(1.0, min(MOST_CORES, most))
        gpus = 0.0 if cls.cheap else min(1.0, max((node.gpus for node in nodes), default=0.0))
        asked = found[name] = Resources(
            cores=usual if given.cores is None else given.cores,
            gpus=gpus if given.gpus is None else given.gpus,
            memory_gb=given.memory_gb,
        )
        if not any(node.holds(asked) for node in nodes):
            raise StudyError(
                f"No node of the Ray cluster {address!r} has room for a trial of {name!r}: it asks "
                f"for {_words(asked)}, and nodes have {_there(nodes)}. Ask for less under "
                f"[run.resources.{name}], or add a node."
            )
    return found


def _words(asked: Resources) -> str:
    parts = [f"{asked.cores:g} cores"]
    parts += [f"{asked.gpus:g} GPUs"] if asked.gpus else []
    parts += [f"{asked.memory_gb:g} GB of memory"] if asked.memory_gb else []
    return ", ".join(parts)


def _there(nodes: Sequence[Node]) -> str:
    """Return the resources of different nodes, the largest first."""
    kinds = sorted({(n.cores, n.gpus, round(n.memory / 1e9, 1)) for n in nodes}, reverse=True)
    said = [
        f"{cores:g} cores, {gpus:g} GPUs and {memory:g} GB" for cores, gpus, memory in kinds[:3]
    ]
    return "; or ".join(said) or "nothing"
