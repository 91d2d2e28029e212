"""What goes to which worker of a cluster, and what becomes of requests whose worker ends.

The cluster here is a table of nodes; tests/run/test_ray_cluster.py starts a real one.
"""

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from io import StringIO
from math import inf
from types import SimpleNamespace
from typing import Any

import pytest

from choose.data.scenarios import Pools
from choose.errors import StudyError
from choose.run import cluster as module
from choose.run.cluster import (
    FAST,
    Cluster,
    ClusterWorker,
    Node,
    RayExecutor,
    Size,
    connect,
    settings_of,
    sizes_of,
    why_not,
)
from choose.run.trial import Limits
from choose.run.worker import GroupRequest, GroupResult
from choose.schema.study_sections import RunSection
from choose.types import Candidate
from support.studies import dataset, jobs_of, study

DATA = dataset(rows=60)
JOBS = jobs_of(study("tfidf", "knn", "probe"), DATA)
FACTS = {"numpy": "2.1.0", "the source of choose": "a", "the strategy 'mine'": "b"}


class Ended(Exception):
    """A worker has ended."""


@dataclass
class Method:
    """A method of a worker: calls return a reference that `Nodes` answers."""

    worker: "Worker"
    name: str

    def remote(self, *arguments: Any, **_: Any) -> tuple["Worker", str, Any]:
        self.worker.calls.append((self.name, *arguments))
        return (self.worker, self.name, id(arguments))


@dataclass(eq=False)
class Worker:
    node: Node
    size: Size
    calls: list[tuple[Any, ...]] = field(default_factory=list)
    alive: bool = True

    def __getattr__(self, name: str) -> Method:
        return Method(self, name)

    @property
    def request(self) -> GroupRequest:
        return self.calls[-1][1]


class Nodes(Cluster):
    """A cluster whose workers answer at once, unless a test says otherwise."""

    def __init__(self, *nodes: Node) -> None:
        super().__init__(SimpleNamespace(), "a:1")
        self.there, self.workers, self.slow = list(nodes), list[Worker](), set[str]()
        self.lacking = set[str]()  # nodes with other weights
        self.outcome: Callable[[Worker], Any] = lambda worker: worker.request
        self.facts: Callable[[Node], Any] = lambda node: FACTS
        self.ray.put, self.ray.shutdown = (lambda value: value), lambda: None
        self.ray.wait, self.ray.get = self.wait, self.get

    def alive(self) -> list[Node]:
        return self.there

    def start(self, node: Node, size: Size, settings: Mapping[str, str]) -> Worker:
        self.workers.append(Worker(node, size))
        return self.workers[-1]

    def end(self, handle: Worker) -> None:
        handle.alive = False

    def wait(self, refs: list[Any], **_: Any) -> tuple[list[Any], list[Any]]:
        ready = [ref for ref in refs if ref[1] not in self.slow]
        return ready, [ref for ref in refs if ref not in ready]

    def get(self, ref: tuple[Worker, str, int]) -> Any:
        worker, name, _ = ref
        value = self.outcome(worker) if name == "run" else self.facts(worker.node)
        if isinstance(value, Exception):
            raise value
        if name == "begin":
            return why_not(FACTS, value)
        lost = "other weights" if worker.node.id in self.lacking else ""
        return GroupResult(number=value.number, lost=lost)


def node(id: str, cores: float = 1.0, gpus: float = 0.0) -> Node:
    return Node(id, f"10.0.0.{id}", cores, gpus)


def executor(cluster: Nodes, said: list[str] | None = None, **sizes: Size) -> RayExecutor:
    asked = {job.trial.candidate: FAST for job in JOBS} | sizes
    say = (said if said is not None else []).extend
    made = RayExecutor(cluster, Pools(DATA), asked, (), say)
    made.begin()
    return made


def request(number: int, candidate: str = "tfidf", **more: Any) -> GroupRequest:
    job = next(j for j in JOBS if j.trial.candidate == candidate)
    return GroupRequest(number=number, jobs=(job,), **more)


def drain(made: RayExecutor) -> list[GroupResult]:
    return [result for _ in range(5) for result in made.results()]


@pytest.fixture(autouse=True)
def same_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "facts_of", lambda strategies: FACTS)


def test_every_request_is_run_once_by_workers_that_fit_the_nodes() -> None:
    cluster = Nodes(node("1"), node("2", cores=3.0))
    made = executor(cluster)
    assert made.free == 4
    for number in range(9):
        made.submit(request(number))
    found = list[int]()
    while len(found) < 9:
        found += [result.number for result in made.results()]
    assert sorted(found) == list(range(9))
    assert list(made.results()) == []
    assert [sum(w.node.id == id for w in cluster.workers) for id in ("1", "2")] == [1, 3]
    made.close()
    assert not any(worker.alive for worker in cluster.workers)


def test_a_request_goes_where_its_model_is_loaded() -> None:
    cluster = Nodes(node("1", cores=2.0))
    made = executor(cluster)
    for number, candidate in enumerate(("tfidf", "knn")):  # one for each worker
        made.submit(request(number, candidate))
    drain(made)
    made.submit(request(2, "knn"))
    drain(made)
    sent = [[c[1].candidate for c in w.calls if c[0] == "run"] for w in cluster.workers]
    assert sent == [["tfidf"], ["knn", "knn"]]


def test_a_fit_that_a_worker_kept_is_gone_on_with_there() -> None:
    cluster = Nodes(node("1"), node("2"))
    made = executor(cluster)
    first = request(1, "knn")
    made.submit(first)
    list(made.results())
    (holder,) = [a for a in made.actors if a.request is None and a.models]
    holder.fits.add(first.jobs[0].trial.key)
    cluster.slow = {"run"}
    made.submit(request(2, "tfidf"))  # both workers are idle
    made.submit(request(3, "tfidf"))
    made.submit(request(4, "knn"))
    assert [r.number for r, _ in made.waiting] == [4]
    cluster.slow = set()
    while made.waiting:
        list(made.results())
    assert holder.handle.request.number == 4


def test_a_request_that_has_waited_has_less_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(module, "monotonic", lambda: clock[0])
    cluster = Nodes(node("1"))
    made = executor(cluster)
    made.submit(request(1))
    made.submit(request(2, limits=Limits(60.0, 50.0, enough=10.0)))
    clock[0] += 15.0
    list(made.results())
    sent = cluster.workers[0].request
    assert (sent.number, sent.limits) == (2, (45.0, 35.0, inf, 0.0))


def test_a_request_goes_to_the_smallest_worker_that_is_large_enough() -> None:
    cluster = Nodes(node("1", cores=4.0, gpus=1.0))
    made = executor(cluster, knn=Size(gpus=1, cores=2))
    for number, candidate in enumerate(("tfidf", "knn")):
        made.submit(request(number, candidate))
        list(made.results())
    sent = [[c[1].candidate for c in w.calls if c[0] == "run"] for w in cluster.workers]
    assert [w.size.cores for w in cluster.workers] == [2.0, 1.0, 1.0]
    assert sent == [["knn"], ["tfidf"], []]


def ending(cluster: Nodes, error: Exception) -> None:
    """Let the first request end with an error."""
    left = [error]
    cluster.outcome = lambda worker: left.pop(0) if left else worker.request


def test_what_is_lost_says_why_and_what_to_do() -> None:
    cluster = Nodes(node("1"))
    ending(cluster, Ended("x\nValueError: a\nbug"))
    made = executor(cluster)
    made.submit(request(1))
    (result,) = drain(made)
    assert result.number == 1
    assert result.lost.startswith("On the node 10.0.0.1: bug. If its memory ran out, name")
    made.submit(request(2))  # the study goes on with another worker
    assert [(r.number, r.lost) for r in drain(made)] == [(2, "")]


@pytest.mark.parametrize("head", [(), (node("9", cores=0.0),)])
def test_a_study_whose_nodes_are_all_gone_ends_with_what_to_do(monkeypatch, head):
    """A head without cores never leaves, and is no usable node."""
    monkeypatch.setattr(module, "LOOK", 0.0)
    monkeypatch.setattr(module, "STRANDED", 0.0)
    looks = iter(range(50))
    monkeypatch.setattr(module, "sleep", lambda seconds: next(looks))
    cluster = Nodes(*head, node("1"))
    ending(cluster, Ended("gone"))
    made = executor(cluster)
    assert made.free == 1
    made.submit(request(1))
    cluster.there.pop()
    assert [bool(r.lost) for r in made.results()] == [True]
    assert made.free == 1  # nothing is under way, and nodes may come
    made.submit(request(2))
    with pytest.raises(StudyError, match=r"lost its last usable node\. What has finished is kept"):
        drain(made)


def test_what_was_lost_on_a_node_is_tried_on_another() -> None:
    """A folder of weights may be another on one node, whose worker answers at once and is free."""
    cluster = Nodes(node("1"), node("2"))
    made = executor(cluster)
    first = request(1, "knn")
    made.submit(first)
    cluster.lacking = {a.node.id for a in made.actors if a.request}
    (lost,) = drain(made)
    made.submit(replace(first, number=2))
    (again,) = drain(made)
    assert (lost.lost, again.lost) == ("other weights", "")
    assert len({w.node.id for w in cluster.workers if w.calls[-1][0] == "run"}) == 2


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({**FACTS, "numpy": "2.2.0"}, "numpy is 2.2.0 there and 2.1.0 here. Install the same"),
        ({**FACTS, "torch": "2.6"}, "torch is 2.6 there and missing here"),
        ({**FACTS, "the source of choose": "b"}, "the source of choose is b there and a here"),
        ({"numpy": "2.1.0", "the source of choose": "a"}, "the strategy 'mine' is missing there"),
    ],
)
def test_a_node_that_would_answer_differently_is_refused_in_a_line(changed, says):
    cluster, said = Nodes(node("1"), node("2")), list[str]()
    cluster.facts = lambda node: changed if node.id == "2" else {**FACTS, "numpy": "2.1.0+cu1"}
    made = executor(cluster, said)
    (line,) = said
    assert line.startswith("The node 10.0.0.2 of the Ray cluster is not used: ")
    assert says in line
    assert made.free == 1
    made.submit(request(1))
    list(made.results())
    assert {w.node.id for w in cluster.workers if w.alive} == {"1"}


def test_models_compute_in_the_number_type_of_this_machine_on_every_node(monkeypatch):
    monkeypatch.setattr("choose.engines.hardware.device_and_dtype.dtype", lambda: "torch.bfloat16")
    monkeypatch.setenv("CHOOSE_KEEP_GB", "2")
    settings = settings_of([Candidate(name="a", strategy="probe", params={"encoder": "x/y"})])
    assert settings == {"CHOOSE_KEEP_GB": "2", "CHOOSE_DTYPE": "bfloat16"}
    remote = Candidate(name="b", strategy="zero-shot", params={"model": "endpoint:big"})
    assert "CHOOSE_DTYPE" not in settings_of([remote, Candidate(name="c", strategy="tfidf")])
    monkeypatch.setattr(os, "environ", {})
    ClusterWorker(settings, 3)
    assert os.environ == {**settings, "CHOOSE_THREADS": "3"}


def test_a_node_whose_workers_end_as_they_begin_is_given_up_and_without_another_nothing_begins():
    cluster, said = Nodes(node("1"), node("2")), list[str]()
    cluster.facts = lambda node: Ended("a fault") if node.id == "2" else FACTS
    made = executor(cluster, said)
    for number in range(12):
        made.submit(request(number))
    while made.waiting:
        list(made.results())
    assert sum(w.node.id == "2" for w in cluster.workers) == 1
    assert len(said) == 1
    cluster.facts = lambda node: Ended("ModuleNotFoundError: No module named 'choose'")
    with pytest.raises(StudyError, match=r"No module named 'choose'.*Install choose-llm"):
        executor(cluster)


def test_a_slow_candidate_gets_cores_and_a_gpu_where_a_node_has_one() -> None:
    both = [Candidate(name=name, strategy=name) for name in ("tfidf", "lora")]
    nodes = [node("1", cores=2.0), node("2", cores=16.0, gpus=2.0)]
    assert sizes_of(both, nodes, "a:1") == {"tfidf": FAST, "lora": Size(gpus=1, cores=4)}
    assert sizes_of(both, nodes[:1], "a:1")["lora"] == Size(gpus=0, cores=2)
    with pytest.raises(StudyError, match="No node of the Ray cluster 'a:1' has a core"):
        sizes_of(both, [node("1", cores=0.0)], "a:1")


@pytest.mark.parametrize(
    ("cores", "gpus", "slow", "fast"), [(0, 0, 0, 0), (4, 0, 0, 4), (5, 2, 2, 1), (64, 1, 1, 15)]
)
def test_workers_for_slow_candidates_come_first_and_others_fill_the_node(cores, gpus, slow, fast):
    large = Size(gpus=1, cores=2)
    assert node("1", cores, gpus).layout([FAST, large, FAST]) == [large] * slow + [FAST] * fast


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("127.0.0.1:9", "No Ray cluster answers at '127.0.0.1:9'. Start one with `ray start"),
        ("127.0.0.1:99999", "No Ray cluster answers at"),
        ("ray://head:10001", "is for Ray's client"),
        ("head", "is not HOST:PORT"),
        ("", "is not HOST:PORT"),
        ("head:port", "is not HOST:PORT"),
    ],
)
def test_an_address_without_a_cluster_is_one_line(refusal, address: str, says: str) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: it has no wheel for this Python")
    section = RunSection(executor="ray", address=address)
    assert says in refusal(StudyError, connect, section, data_may_leave=True)


def test_what_ray_logs_while_it_connects_is_not_shown(monkeypatch, capfd):
    class Ray:
        def init(self, **settings: object) -> None:
            os.write(2, b"[2026-01-01 E 1 1] gcs_rpc_client: Failed to connect\n" * 20)
            raise ConnectionError("no cluster")

    monkeypatch.setattr(module.socket, "create_connection", lambda *_: StringIO())
    with pytest.raises(StudyError, match="No Ray cluster answers at '10\\.0\\.0\\.1:6379'"):
        module._join(Ray(), "10.0.0.1:6379", ())
    os.write(2, b"ours")
    assert capfd.readouterr().err == "ours"


def test_rows_stay_on_this_machine_where_the_study_says_so(refusal, monkeypatch) -> None:
    nodes = [
        {"NodeID": id, "NodeManagerAddress": f"10.0.0.{id}", "Alive": id != "3", "Resources": {}}
        for id in "123"
    ]
    there = nodes[:]
    ray = SimpleNamespace(
        is_initialized=lambda: True,
        nodes=lambda: there,
        get_runtime_context=lambda: SimpleNamespace(get_node_id=lambda: "1"),
    )
    monkeypatch.setitem(sys.modules, "ray", ray)
    section = RunSection(address="10.0.0.1:6379")
    said = refusal(StudyError, connect, section, data_may_leave=False)
    assert "has nodes on other machines (10.0.0.2)" in said
    assert [n.id for n in connect(section, data_may_leave=True).nodes()] == ["1", "2"]
    del there[1]
    alone = connect(section, data_may_leave=False)
    there.append(nodes[1])
    assert [n.id for n in alone.nodes()] == ["1"], "a node that comes later gets no rows"


def test_workers_see_no_key_of_an_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither of a cluster that is started here nor of one whose nodes had them."""
    monkeypatch.setenv("CHOOSE_THREADS", "1")
    monkeypatch.setenv("OPENAI_API_KEY", "a")
    monkeypatch.setenv("OUR_KEY", "b")
    monkeypatch.setenv("HF_TOKEN", "for weights that nodes fetch")
    seen = dict[str, str]()
    ray = SimpleNamespace(
        is_initialized=lambda: False,
        init=lambda **_: seen.update(os.environ),
        nodes=list,
        get_runtime_context=None,
    )
    monkeypatch.setitem(sys.modules, "ray", ray)
    cluster = connect(RunSection(executor="ray", address="local"), True, ["OUR_KEY"])
    assert "HF_TOKEN" in seen
    assert not {"OPENAI_API_KEY", "OUR_KEY"} & seen.keys()
    assert os.environ["OUR_KEY"] == "b", "this process asks the endpoint"
    assert {"OPENAI_API_KEY", "OUR_KEY", "GEMINI_API_KEY"} <= cluster.withheld
    ClusterWorker({}, 1, cluster.withheld)
    assert not {"OPENAI_API_KEY", "OUR_KEY"} & os.environ.keys()
    assert "HF_TOKEN" in os.environ


def test_what_an_endpoint_answers_does_not_keep_the_nodes_waiting() -> None:
    made = executor(Nodes(node("1")))
    asked = list[int]()

    class Endpoint:
        busy = True

        def submit(self, request: GroupRequest) -> None:
            asked.append(request.number)

        def ready(self) -> list[GroupResult]:
            return []

    made.local = Endpoint()
    job = request(1).jobs[0]
    remote = replace(job, trial=replace(job.trial, params={"model": "endpoint:big"}))
    made.submit(replace(request(1), jobs=(remote,)))
    made.submit(request(2))
    assert [result.number for result in made.results()] == [2]
    assert asked == [1]
