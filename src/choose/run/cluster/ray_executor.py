"""Run requests on the nodes of a Ray cluster.

The driver keeps the store, the ledger of money and what goes to endpoints. Each worker is an actor
of Ray's: it gets the labelled set once, from the object store of its node, keeps the models and
fits that it has, and sends back runs. A request goes to the worker that keeps its fit, else to the
idle one that has least to load.
"""

from __future__ import annotations

import sys
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from time import monotonic, sleep
from typing import Any

from choose.data.scenarios import Pools
from choose.engines.weights.spec import names_endpoint
from choose.errors import StudyError
from choose.run.cluster.node_worker import facts_of, models_of, settings_of
from choose.run.cluster.ray_cluster import Cluster, Node, Size, connect, last_line, sizes_of
from choose.run.worker import ThreadExecutor, Worker
from choose.run.worker_messages import GroupRequest, GroupResult
from choose.study.config import Study
from choose.types import Candidate

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
        """Wait for something to end, at most some seconds; return the results of requests."""
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
            self.looked, why = 0.0, last_line(error)  # another starts at once
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
        """See which nodes have come or gone, and start the workers that they lack."""
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
