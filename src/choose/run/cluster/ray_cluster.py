"""A Ray cluster: connecting to it, its nodes, and the workers on them.

Nothing here imports Ray before it is asked for.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Literal

from choose.errors import StudyError
from choose.models.endpoints.providers import PROVIDERS
from choose.run.cluster.node_worker import ClusterWorker, Node, Resources
from choose.run.records import GroupRequest
from choose.schema.study_sections import RunSection

# Seconds to wait for the head of a cluster before it counts as absent.
CONNECT_TIMEOUT = 5.0

# Settings of this process that hold for workers too; folders are those of each node.
SETTINGS = ("CHOOSE_DTYPE", "CHOOSE_KEEP_GB")


@dataclass(eq=False)
class Actor:
    """A worker as the driver sees it.

    Attributes:
        handle: Ray's.
        node: where it is.
        asked: its resources.
        pending: Ray's reference to what it does; None where it waits for a request.
        used: when it was last given something to do.
        step: what it does or has done last: first facts of its node, then the labelled set.
        request: what it runs.
        models: specs that it has loaded.
        fits: keys of trials whose fits it keeps.
    """

    handle: Any
    node: Node
    asked: Resources
    pending: Any
    used: float
    step: Literal["facts", "begin", "run"] = "facts"
    request: GroupRequest | None = None
    models: set[str] = field(default_factory=set)
    fits: set[str] = field(default_factory=set)

    @property
    def idle(self) -> bool:
        return self.pending is None


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
                str(node["NodeID"]),
                str(node["NodeManagerAddress"]),
                float(node["Resources"].get("CPU", 0.0)),
                float(node["Resources"].get("GPU", 0.0)),
            )
            for node in self.ray.nodes()
            if node["Alive"]
        ]

    def nodes(self) -> list[Node]:
        """Return the nodes that rows may be sent to."""
        alive = self.alive()
        if not self.alone:
            return alive
        own = self.here().address
        return [node for node in alive if node.address == own]

    def here(self) -> Node:
        """Return the node that this process is connected to."""
        id = self.ray.get_runtime_context().get_node_id()
        return next(node for node in self.alive() if node.id == id)

    def start(self, node: Node, asked: Resources) -> Any:
        """Start a worker on a node, with these resources, and return Ray's handle of it."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        settings = {name: os.environ[name] for name in SETTINGS if name in os.environ}
        actor = self.ray.remote(ClusterWorker).options(
            num_cpus=asked.cores,
            num_gpus=asked.gpus,
            scheduling_strategy=NodeAffinitySchedulingStrategy(node.id, soft=False),
            max_restarts=0,
        )
        return actor.remote(settings, max(1, int(asked.cores)), self.withheld)

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
    if address != "local" and not _listens(address):
        raise absent
    _keep_quiet()
    try:
        started = {"include_dashboard": False} if address == "local" else {}
        with _without(keys), _silent():
            ray.init(address=address, log_to_driver=False, logging_level=logging.FATAL, **started)
    except Exception as error:
        with suppress(Exception):
            ray.shutdown()
        if "ersion mismatch" in str(error):
            raise StudyError(_other_version(str(error))) from error
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


def _keep_quiet() -> None:
    """Keep Ray from writing to stdout that a worker has ended: it has no setting for that.

    A study says so itself, and its stdout is the record.
    """
    with suppress(Exception):
        from ray._private import worker

        if callable(worker.print_to_stdstream):
            worker.print_to_stdstream = lambda *_, **__: None


def _listens(address: str) -> bool:
    """Return whether a server listens there: Ray asks for 20 s or more."""
    if address == "auto":
        return True
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), CONNECT_TIMEOUT).close()
    except (OSError, OverflowError):
        return False
    return True


def _other_version(message: str) -> str:
    """Return one line of Ray's message about two versions, which has them one below another."""
    named = [line.strip() for line in message.splitlines() if line.startswith("    ")]
    there, here = " and ".join(named[:2]), " and ".join(named[2:4])
    return (
        f"The cluster runs another version: {there} there, {here} here. Install the cluster's "
        "versions of Python and of ray here, or this one's there."
    )


def last_line(error: Exception) -> str:
    """Return the last line of an error of Ray's, which is that of what was raised on the node."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:200].rstrip(".")
