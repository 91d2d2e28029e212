"""A Ray cluster: connecting to it, its nodes, and what a worker on them gets.

Nothing here imports Ray before it is asked for.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from choose.errors import StudyError
from choose.models.endpoints.provider_names import PROVIDERS
from choose.run.cluster.node_worker import ClusterWorker
from choose.schema.study_sections import RunSection
from choose.strategy import find
from choose.types import Candidate

# Seconds to wait for the head of a cluster before it counts as absent.
CONNECT_TIMEOUT = 5.0

# Cores of a worker for a candidate that is not fast, at most.
MOST_CORES = 4

# Workers of a node, at most.
MOST_WORKERS = 16


@dataclass(frozen=True, slots=True, order=True)
class Size:
    """What a worker has; one for a slow candidate is larger in both than one for a fast one."""

    gpus: float
    cores: float


FAST = Size(gpus=0.0, cores=1.0)


@dataclass(frozen=True, slots=True)
class Node:
    """A machine of a cluster."""

    id: str
    address: str
    cores: float
    gpus: float = 0.0

    def layout(self, sizes: Iterable[Size]) -> list[Size]:
        """Return the workers that fill it, the largest first; each can run what smaller ones do."""
        found, cores, gpus = list[Size](), self.cores, self.gpus
        for size in sorted(set(sizes), reverse=True):
            while len(found) < MOST_WORKERS and cores >= size.cores and gpus >= size.gpus:
                found.append(size)
                cores, gpus = cores - size.cores, gpus - size.gpus
        return found


def sizes_of(
    candidates: Sequence[Candidate], nodes: Sequence[Node], address: str
) -> dict[str, Size]:
    """Return what a worker has at least for each candidate, by name.

    Fast ones get a core, others up to four, and a GPU where a node has one.

    Raises:
        StudyError: if no node has a core.
    """
    able = [node for node in nodes if node.cores >= 1]
    if not able:
        raise StudyError(
            f"No node of the Ray cluster {address!r} has a core for a trial. Add a node."
        )
    top = max(able, key=lambda node: (node.gpus >= 1, node.cores))
    slow = Size(gpus=float(top.gpus >= 1), cores=min(MOST_CORES, top.cores))
    return {c.name: FAST if find(c.strategy).cheap else slow for c in candidates}


@dataclass
class Cluster:
    """A connection to a cluster; `close` ends it.

    Attributes:
        ray: the module.
        address: what the user named, for messages.
        alone: whether no row may leave this machine.
        own: whether `close` disconnects: a caller who had connected before stays connected.
        withheld: variables that workers do not get, such as keys of endpoints.
    """

    ray: Any
    address: str
    alone: bool = False
    own: bool = True
    withheld: frozenset[str] = frozenset()

    def alive(self) -> list[Node]:
        return [
            Node(
                node["NodeID"],
                node["NodeManagerAddress"],
                cores=node["Resources"].get("CPU", 0.0),
                gpus=node["Resources"].get("GPU", 0.0),
            )
            for node in self.ray.nodes()
            if node["Alive"]
        ]

    def nodes(self) -> list[Node]:
        """Return the nodes that rows may be sent to."""
        alive = self.alive()
        if not self.alone:
            return alive
        id = self.ray.get_runtime_context().get_node_id()
        here = {node.address for node in alive if node.id == id}
        return [node for node in alive if node.address in here]

    def start(self, node: Node, size: Size, settings: Mapping[str, str]) -> Any:
        """Start a worker of a size on a node, and return Ray's handle of it."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        actor = self.ray.remote(ClusterWorker).options(
            num_cpus=size.cores,
            num_gpus=size.gpus,
            scheduling_strategy=NodeAffinitySchedulingStrategy(node.id, soft=False),
            max_restarts=0,
        )
        return actor.remote(settings, int(size.cores), self.withheld)

    def end(self, handle: Any) -> None:
        """End a worker, whatever it does."""
        with suppress(Exception):
            self.ray.kill(handle)

    def close(self) -> None:
        """Disconnect; a cluster that this process started ends with it."""
        if self.own:
            self.ray.shutdown()


def connect(section: RunSection, data_may_leave: bool, keys: Iterable[str] = ()) -> Cluster:
    """Connect to the cluster of a study.

    Workers see no variable that holds a key of an endpoint (`keys`, and those of known providers):
    trials at endpoints stay with this process.

    Raises:
        StudyError: if Ray is not installed or is of another version than the cluster, no cluster
            answers, or rows would leave this machine against the constraints.
    """
    address = "auto" if section.address is None else section.address
    if "://" in address:
        raise StudyError(
            f"run.address {address!r} is for Ray's client, which cannot run a study. Start choose "
            "on a node of the cluster and name HOST:PORT of its head, such as 10.0.0.1:6379."
        )
    try:
        import ray
    except ModuleNotFoundError as error:
        raise StudyError(
            f"A Ray cluster needs the package {error.name!r}: pip install 'choose-llm[ray]', here "
            "and on every node."
        ) from error
    own = not ray.is_initialized()
    known = (key for provider in PROVIDERS.values() for key in provider.keys)
    withheld = frozenset((*keys, *known))
    if own:
        _join(ray, address, withheld)
    cluster = Cluster(ray, address, alone=not data_may_leave, own=own, withheld=withheld)
    others = {node.address for node in cluster.alive()} - {n.address for n in cluster.nodes()}
    if others:
        cluster.close()
        raise StudyError(
            f"The Ray cluster {address!r} has nodes on other machines "
            f"({', '.join(sorted(others)[:3])}), and [constraints] data_may_leave = false forbids "
            "sending rows there. Name a cluster on this machine (--set address=local), or use "
            "--set executor=local."
        )
    return cluster


def _join(ray: Any, address: str, keys: Iterable[str]) -> None:
    """Connect this process to a cluster, or start one where the address is ``local``."""
    absent = StudyError(
        f"No Ray cluster answers at {address!r}. Start one with `ray start --head`, name the "
        "HOST:PORT of its head with --set address=HOST:PORT, or leave executor=ray out."
    )
    host, _, port = address.rpartition(":")
    if address not in ("auto", "local") and not (host and port.isdecimal()):
        raise StudyError(
            f"run.address {address!r} is not HOST:PORT, such as 10.0.0.1:6379; auto and local are "
            "allowed too."
        )
    try:
        if host:  # Ray itself tries for a minute
            socket.create_connection((host, int(port)), CONNECT_TIMEOUT).close()
        started = {"include_dashboard": False} if address == "local" else {}
        with suppress(AttributeError):
            # Else Ray writes to stdout, which is the record, that a worker has ended.
            ray._private.worker.print_to_stdstream = lambda *_, **__: None
        with _without(keys), _silent():
            ray.init(address=address, log_to_driver=False, logging_level=logging.FATAL, **started)
    except Exception as error:
        with suppress(Exception):
            ray.shutdown()
        if "ersion mismatch" in str(error):
            raise StudyError(
                f"The cluster runs another version. {' '.join(str(error).split())}. Install the "
                "cluster's versions of Python and of ray here, or this one's there."
            ) from error
        raise absent from error


@contextmanager
def _without(variables: Iterable[str]) -> Iterator[None]:
    """Take variables out of the environment for processes that are started in the block."""
    held = {name: os.environ.pop(name) for name in variables if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(held)


@contextmanager
def _silent() -> Iterator[None]:
    """Discard what Ray's C++ writes to stderr while it connects: its errors are raised too."""
    stderr, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, 2)
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nothing)


def last_line(error: Exception) -> str:
    """Return the last line of an error of Ray's, which is that of what was raised on the node."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:200].rstrip(".")
