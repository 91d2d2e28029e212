"""Run requests on the nodes of a Ray cluster.

The driver keeps the store, the ledger of money and what goes to endpoints. Each worker is an actor:
it gets the labelled set once, from the object store of its node, keeps the models that it has
loaded, and sends back runs and the results that it cached. A request goes to a worker that has its
models loaded, else to a new worker, else to any that is free.
"""

from __future__ import annotations

import sys
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from time import monotonic, sleep
from typing import cast

from choose.data.scenarios import Pools
from choose.engines.weights.spec import names_endpoint
from choose.errors import StudyError
from choose.run.cluster.node_worker import (
    LIBRARIES,
    Node,
    NodeFacts,
    Question,
    Resources,
    models_of,
    resources_of,
    why_not,
)
from choose.run.cluster.ray_cluster import Actor, Cluster, connect, last_line
from choose.run.records import GroupRequest, GroupResult
from choose.run.worker import ThreadExecutor, Worker
from choose.study.config import Study
from choose.types import Candidate

# Seconds between two looks at which nodes are there, and at what has come from endpoints.
LOOK, SHORT = 2.0, 0.05

# Seconds that the nodes have to answer before a study begins without those that did not.
FIRST_ANSWERS = 120.0

# Seconds without any node after which a study gives up.
STRANDED = 60.0

# Seconds after which a worker that has not started counts as held up: others use its node.
SLOW_START = 20.0

# Workers of a node that end before they begin, after which the node is not used; one is enough
# where none has begun.
UNSTARTED = 3


@dataclass
class RayExecutor:
    """Runs requests on a cluster, and those for endpoints in this process.

    Attributes:
        cluster: the connection.
        pools: the pools of the study.
        resources: what a worker gets, by candidate.
        question: what nodes are asked before they take part.
        say: called with sentences about nodes.
        local: runs what goes to endpoints, in a thread.
        here: the answer of this machine.
        actors: the workers.
        waiting: requests that no worker has begun, each with when it came.
        refused: node -> why it takes no part.
        lost_on: trial key -> the node where it was lost, which is not the next to try it.
    """

    cluster: Cluster
    pools: Pools
    resources: Mapping[str, Resources]
    question: Question
    say: Callable[[Sequence[str]], None]
    local: ThreadExecutor = field(init=False)
    here: NodeFacts = field(init=False)
    actors: list[Actor] = field(init=False, default_factory=list)
    waiting: deque[tuple[GroupRequest, float]] = field(init=False, default_factory=deque)
    refused: dict[str, str] = field(init=False, default_factory=dict)
    lost_on: dict[str, str] = field(init=False, default_factory=dict)
    _never_began: Counter[str] = field(init=False, default_factory=Counter)

    def begin(self) -> None:
        """Start a worker on each node and wait until the nodes have answered.

        Raises:
            StudyError: if none can take part.
        """
        self.local = ThreadExecutor(Worker(self.pools))
        self.here = self.question.facts()
        # The number type that models compute in, without a GPU and with one. Workers without a GPU
        # do not see that of their node, so where this machine has one the first worker decides.
        self.dtypes = {} if self.cluster.here().gpus else {False: self.here.dtype}
        self.data = self.cluster.ray.put(self.pools.dataset)
        self.least = min(self.resources.values(), key=lambda r: (r.gpus, r.cores))
        self.nodes, self.looked, self.seen = self.cluster.nodes(), monotonic(), monotonic()
        for node in self.nodes:
            if node.count(self.least):
                self._start(node, self.least)
        end = monotonic() + FIRST_ANSWERS
        while (starting := [a for a in self.actors if a.pending]) and monotonic() < end:
            self._wait(starting, 1.0)
        if not any(actor.idle for actor in self.actors):
            raise StudyError(
                next(iter(self.refused.values()), "")
                or f"No node of the Ray cluster {self.cluster.address!r} started a worker within "
                f"{FIRST_ANSWERS:g} s. `ray status` shows what keeps it busy."
            )

    @property
    def free(self) -> int:
        """Return how many further requests could begin at once."""
        rooms = sum(self._room(node).count(self.least) for node in self._usable())
        ready = sum(actor.idle or self._starts(actor) for actor in self.actors)
        # Where all nodes have gone, a request waits for others to come.
        least = 0 if self._runs_elsewhere else 1
        return max(least, ready + rooms - len(self.waiting))

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
            results += self._wait([a for a in self.actors if a.pending], wait)
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
        """End all workers and disconnect."""
        self.waiting.clear()
        self.local.close()
        for actor in list(self.actors):
            self._end(actor)
        self.cluster.close()

    def _wait(self, actors: Sequence[Actor], seconds: float) -> list[GroupResult]:
        """Wait for something to end, at most some seconds; return the results of requests."""
        if not actors:
            sleep(min(seconds, 0.5))
            return []
        ray, by_ref = self.cluster.ray, {actor.pending: actor for actor in actors}
        ready, others = ray.wait(list(by_ref), num_returns=1, timeout=seconds)
        if ready and others:
            ready += ray.wait(others, num_returns=len(others), timeout=0)[0]
        return [r for ref in ready if (r := self._go_on(by_ref[ref])) is not None]

    def _go_on(self, actor: Actor) -> GroupResult | None:
        """Take what a worker has done; return the result if it was a request."""
        try:
            value = self.cluster.ray.get(actor.pending)
        except Exception as error:
            return self._lost(actor, error)
        actor.pending = None
        if actor.step == "facts":
            self._admit(actor, value)
        elif actor.step == "begin":
            actor.step = "run"
        else:
            result, request = value, cast(GroupRequest, actor.request)
            actor.request = None
            actor.fits |= set(result.kept)
            self.lost_on |= dict.fromkeys(request.keys if result.lost else (), actor.node.id)
            return cast(GroupResult, result)
        return None

    def _admit(self, actor: Actor, facts: NodeFacts) -> None:
        """Let a worker begin if its node answers as this machine does."""
        dtype = self.dtypes.setdefault(bool(actor.asked.gpus), facts.dtype)
        why = why_not(replace(self.here, dtype=dtype), facts)
        if why is None:
            loaded = [name for name in LIBRARIES if name in sys.modules]
            actor.step, actor.pending = "begin", actor.handle.begin.remote(self.data, loaded)
        else:
            self._refuse(actor, why)

    def _refuse(self, actor: Actor, why: str) -> None:
        self._end(actor)
        if actor.node.id not in self.refused:
            sentence = f"The node {actor.node.address} of the Ray cluster is not used: {why}."
            self.refused[actor.node.id] = sentence
            self.say([sentence])

    def _lost(self, actor: Actor, error: Exception) -> GroupResult | None:
        """Forget a worker that has ended, and report its request as lost."""
        self._end(actor)
        if (request := actor.request) is None:
            self._never_began[actor.node.id] += 1
            begun = any(other.step == "run" for other in self._on([actor.node]))
            if not begun or self._never_began[actor.node.id] >= UNSTARTED:
                install = "Install choose-llm[ray] and the strategies of the study there, as here"
                self._refuse(actor, f"no worker could start ({last_line(error)}). {install}")
            return None
        self.lost_on |= dict.fromkeys(request.keys, actor.node.id)
        why = (
            f"On the node {actor.node.address}: {last_line(error)}. If its memory ran out, "
            "name a smaller model."
        )
        return GroupResult(number=request.number, lost=why)

    def _usable(self, key: str = "", asked: Resources | None = None) -> list[Node]:
        """Return the nodes that take part; for a lost trial other ones, if some hold it."""
        usable = [node for node in self.nodes if node.id not in self.refused]
        others = [node for node in usable if node.id != self.lost_on.get(key)]
        return others if asked and any(node.count(asked) for node in others) else usable

    def _on(self, nodes: Sequence[Node]) -> list[Actor]:
        return [a for a in self.actors if a.node.id in {node.id for node in nodes}]

    def _room(self, node: Node, without: Actor | None = None) -> Node:
        """Return the resources that the workers on a node leave free (all, or all but one)."""
        return node.room(a.asked for a in self._on([node]) if a is not without)

    def _starts(self, actor: Actor) -> bool:
        """Return whether a worker will soon be ready."""
        return actor.step != "run" and monotonic() - actor.used < SLOW_START

    def _look(self) -> None:
        """See which nodes have come or gone."""
        self.looked, self.nodes = monotonic(), self.cluster.nodes()
        # A head without cores never leaves, and runs nothing.
        asked = [self.resources[request.candidate] for request, _ in self.waiting] or [self.least]
        usable = self._usable()
        running = any(actor.request for actor in self._on(usable))
        if running or any(node.count(resources) for node in usable for resources in asked):
            self.seen = self.looked

    def _assign(self) -> None:
        """Give waiting requests to workers, and start workers where there is room."""
        starting = [a.asked for a in self.actors if self._starts(a)]
        for _ in range(len(self.waiting)):
            request, since = self.waiting.popleft()
            asked, key = self.resources[request.candidate], request.jobs[0].trial.key
            holder = next((a for a in self.actors if key in a.fits), None)
            actor = holder if holder is not None else self._least_to_load(request, asked)
            if actor is not None and actor.idle:
                self._run(actor, request, since)
                continue
            self.waiting.append((request, since))
            if asked in starting:
                starting.remove(asked)
            elif holder is None:
                self._make_room(asked, key)

    def _least_to_load(self, request: GroupRequest, asked: Resources) -> Actor | None:
        """Return the idle worker that loads least for a request; None if a new one is better."""
        usable = self._usable(request.jobs[0].trial.key, asked)
        idle = [a for a in self._on(usable) if a.idle and a.asked == asked]
        ready = [a for a in idle if models_of(request) <= a.models] or [
            a for a in idle if not a.models
        ]
        held_up = any(a.step != "run" and not self._starts(a) for a in self.actors)
        if not ready and (held_up or not any(self._room(n).count(asked) for n in usable)):
            ready = idle
        return min(ready, key=lambda a: (len(a.models), -a.used), default=None)

    def _run(self, actor: Actor, request: GroupRequest, since: float) -> None:
        actor.request, actor.used = request, monotonic()
        actor.models |= models_of(request)
        actor.fits -= request.keys
        actor.pending = actor.handle.run.remote(request.after(actor.used - since))

    def _make_room(self, asked: Resources, key: str) -> None:
        """Start a worker on the node with most room; end an idle one of other resources for it."""
        usable = sorted(self._usable(key, asked), key=lambda n: -self._room(n).cores)
        for node in usable:
            if self._room(node).count(asked):
                self._start(node, asked)
                return
        others = [a for a in self._on(usable) if a.idle and a.asked != asked]
        for actor in sorted(others, key=lambda a: (len(a.fits), a.used)):
            if self._room(actor.node, without=actor).count(asked):
                self._end(actor)
                self._start(actor.node, asked)
                return

    def _start(self, node: Node, asked: Resources) -> None:
        handle = self.cluster.start(node, asked)
        dtype = self.dtypes.get(bool(asked.gpus))
        pending = handle.facts.remote(replace(self.question, dtype=dtype))
        self.actors.append(Actor(handle, node, asked, pending, monotonic()))

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
        resources = resources_of(local, cluster.nodes(), cluster.address)
        made = RayExecutor(cluster, pools, resources, Question.about(candidates), say)
        with closing(made) as executor:
            executor.begin()
            yield executor
