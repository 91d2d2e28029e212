"""What goes to which worker of a cluster, and what becomes of requests whose worker ends.

The cluster here is a table of nodes; tests/run/test_ray_cluster.py starts a real one.
"""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import pytest

from choose.data.scenarios import Pools
from choose.errors import StudyError
from choose.run.cluster import ray_cluster, ray_executor
from choose.run.cluster.node_worker import (
    ClusterWorker,
    Node,
    NodeFacts,
    Question,
    Resources,
    resources_of,
    why_not,
)
from choose.run.cluster.ray_cluster import Cluster, connect
from choose.run.cluster.ray_executor import RayExecutor
from choose.run.records import GroupRequest, GroupResult
from choose.schema.study_sections import RunSection
from choose.types import Candidate
from support.studies import dataset, jobs_of, study

DATA = dataset(rows=60)
JOBS = jobs_of(study("tfidf", "knn", "probe"), DATA)
FACTS = NodeFacts(versions={"numpy": "2.1.0"}, code="a", dtype="float32")


class Ended(Exception):
    """A worker has ended."""


@dataclass
class Method:
    """A method of a worker: calls return a reference that `Nodes` answers."""

    worker: "Worker"
    name: str

    def remote(self, *arguments: Any) -> tuple["Worker", str, Any]:
        self.worker.calls.append((self.name, *arguments))
        return (self.worker, self.name, id(arguments))


@dataclass(eq=False)
class Worker:
    node: Node
    asked: Resources
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

    def here(self) -> Node:
        return self.there[0]

    def start(self, node: Node, asked: Resources) -> Worker:
        self.workers.append(Worker(node, asked))
        return self.workers[-1]

    def end(self, handle: Worker) -> None:
        handle.alive = False

    def wait(self, refs: list[Any], **_: Any) -> tuple[list[Any], list[Any]]:
        ready = [ref for ref in refs if ref[1] not in self.slow]
        return ready, [ref for ref in refs if ref not in ready]

    def get(self, ref: tuple[Worker, str, int]) -> Any:
        worker, name, _ = ref
        value = {"facts": lambda: self.facts(worker.node), "begin": lambda: None}.get(
            name, lambda: self.outcome(worker)
        )()
        if isinstance(value, Exception):
            raise value
        lost = "other weights" if worker.node.id in self.lacking else ""
        return GroupResult(number=value.number, lost=lost) if name == "run" else value


def node(id: str, cores: float = 1.0, gpus: float = 0.0) -> Node:
    return Node(id, f"10.0.0.{id}", cores, gpus)


def executor(cluster: Nodes, said: list[str] | None = None, **resources: Resources) -> RayExecutor:
    names = {job.trial.candidate for job in JOBS}
    asked = {name: resources.get(name, Resources(cores=1.0, gpus=0.0)) for name in names}
    say = (said if said is not None else []).extend
    made = RayExecutor(cluster, Pools(DATA), asked, Question(()), say)
    made.begin()
    made.here = FACTS
    return made


def request(number: int, candidate: str = "tfidf", **more: Any) -> GroupRequest:
    job = next(j for j in JOBS if j.trial.candidate == candidate)
    return GroupRequest(number=number, jobs=(job,), **more)


@pytest.fixture(autouse=True)
def same_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Question, "facts", lambda self: FACTS)


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
    by_node = [sum(w.node.id == id for w in cluster.workers) for id in ("1", "2")]
    assert by_node == [1, 3]
    made.close()
    assert not any(worker.alive for worker in cluster.workers)


def test_a_request_goes_where_its_model_is_loaded() -> None:
    cluster = Nodes(node("1", cores=2.0))
    made = executor(cluster)
    for number in range(6):
        made.submit(request(number, "knn" if number % 2 else "tfidf"))
        list(made.results())
    sent = [{c[1].candidate for c in w.calls if c[0] == "run"} for w in cluster.workers]
    assert sum("knn" in names for names in sent) == 1


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
    monkeypatch.setattr(ray_executor, "monotonic", lambda: clock[0])
    cluster = Nodes(node("1"))
    made = executor(cluster)
    made.submit(request(1))
    made.submit(request(2, seconds=60.0, fit_seconds=50.0))
    clock[0] += 15.0
    list(made.results())
    sent = cluster.workers[0].request
    assert (sent.number, sent.seconds) == (2, 45.0)
    assert sent.fit_seconds == 35.0


def test_an_idle_worker_makes_room_for_one_with_other_resources() -> None:
    cluster = Nodes(node("1", cores=2.0))
    made = executor(cluster, knn=Resources(cores=2.0))
    made.submit(request(1, "knn"))
    assert [r.number for _ in range(5) for r in made.results()] == [1]
    assert [w.asked.cores for w in cluster.workers if w.alive] == [2.0]


def ending(cluster: Nodes, *errors: Exception) -> None:
    """Let the first requests end with errors."""
    left = list(errors)
    cluster.outcome = lambda worker: left.pop(0) if left else worker.request


def test_what_is_lost_says_why_and_what_to_do() -> None:
    cluster = Nodes(node("1"))
    ending(cluster, Ended("x\nValueError: a\nbug"))
    made = executor(cluster)
    made.submit(request(1))
    (result,) = [r for _ in range(5) for r in made.results()]
    assert result.number == 1
    assert result.lost.startswith("On the node 10.0.0.1: bug. If its memory ran out, name")
    made.submit(request(2))  # the study goes on with another worker
    assert [(r.number, r.lost) for _ in range(5) for r in made.results()] == [(2, "")]


@pytest.mark.parametrize("head", [(), (node("9", cores=0.0),)])
def test_a_study_whose_nodes_are_all_gone_ends_with_what_to_do(monkeypatch, head):
    """A head without cores never leaves, and is no usable node."""
    monkeypatch.setattr(ray_executor, "LOOK", 0.0)
    monkeypatch.setattr(ray_executor, "STRANDED", 0.0)
    looks = iter(range(50))
    monkeypatch.setattr(ray_executor, "sleep", lambda seconds: next(looks))
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
        [list(made.results()) for _ in range(5)]


def test_what_was_lost_on_a_node_is_tried_on_another() -> None:
    """A folder of weights may be another on one node, whose worker answers at once and is free."""
    cluster = Nodes(node("1"), node("2"))
    made = executor(cluster)
    first = request(1, "knn")
    made.submit(first)
    cluster.lacking = {a.node.id for a in made.actors if a.request}
    (lost,) = [r for _ in range(5) for r in made.results()]
    made.submit(replace(first, number=2))
    (again,) = [r for _ in range(5) for r in made.results()]
    assert (lost.lost, again.lost) == ("other weights", "")
    assert len({w.node.id for w in cluster.workers if w.calls[-1][0] == "run"}) == 2


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"versions": {"numpy": "2.2.0"}}, "numpy is 2.2.0 there and 2.1.0 here"),
        ({"versions": {"numpy": "2.1.0", "torch": "2.6"}}, "torch is 2.6 there and missing here"),
        ({"code": "b"}, "the source of choose or of a strategy is another there"),
        ({"dtype": "bfloat16"}, "compute in bfloat16 there and in float32 elsewhere"),
        ({"lacks": ("mine",)}, "it lacks the strategies mine"),
    ],
)
def test_a_node_that_would_answer_differently_is_refused_in_a_line(changed, says):
    cluster, said = Nodes(node("1"), node("2")), list[str]()
    cluster.facts = lambda node: replace(FACTS, **changed) if node.id == "2" else FACTS
    made = executor(cluster, said)
    (line,) = said
    assert line.startswith("The node 10.0.0.2 of the Ray cluster is not used: ")
    assert says in line
    assert made.free == 1
    made.submit(request(1))
    list(made.results())
    assert {w.node.id for w in cluster.workers if w.alive} == {"1"}


def test_a_build_for_gpus_is_the_same_version_and_a_stated_number_type_holds_everywhere(
    monkeypatch,
):
    gpu = replace(FACTS, versions={"torch": "2.6.0+cu124"})
    cpu = replace(FACTS, versions={"torch": "2.6.0+cpu"})
    assert why_not(cpu, gpu) is None
    other = replace(FACTS, dtype="bfloat16")
    assert "float32" in (why_not(FACTS, other) or "")
    monkeypatch.setenv("CHOOSE_DTYPE", "float32")
    assert why_not(FACTS, other) is None


@pytest.mark.parametrize(
    ("decided", "able", "computes"),
    [("float32", True, "float32"), ("bfloat16", True, "bfloat16"), ("bfloat16", False, None)],
)
def test_a_worker_computes_in_the_number_type_of_the_study_where_its_hardware_can(
    monkeypatch, decided, able, computes
):
    monkeypatch.setattr("choose.engines.hardware.compute_settings.has_bfloat16", lambda: able)
    monkeypatch.setattr(ray_executor, "why_not", lambda here, there: None)
    cluster = Nodes(node("1"))
    monkeypatch.setattr(Question, "facts", lambda self: replace(FACTS, dtype=decided))
    executor(cluster)
    (asked,) = [c[1] for c in cluster.workers[0].calls if c[0] == "facts"]
    assert asked.dtype == decided
    with monkeypatch.context() as changed:
        changed.setattr(os, "environ", {})
        ClusterWorker({}, 3).facts(asked)
        assert os.environ.get("CHOOSE_DTYPE") == computes
        assert os.environ["CHOOSE_THREADS"] == "3"


def test_without_a_usable_node_nothing_begins() -> None:
    cluster = Nodes(node("1"))
    cluster.facts = lambda node: Ended("ModuleNotFoundError: No module named 'choose'")
    with pytest.raises(StudyError, match=r"No module named 'choose'.*Install choose-llm"):
        executor(cluster)


def test_a_node_whose_workers_end_as_they_begin_is_given_up() -> None:
    cluster, said = Nodes(node("1"), node("2")), list[str]()
    cluster.facts = lambda node: Ended("a fault") if node.id == "2" else FACTS
    made = executor(cluster, said)
    for number in range(12):
        made.submit(request(number))
    while made.waiting:
        list(made.results())
    assert sum(w.node.id == "2" for w in cluster.workers) == 1
    assert len(said) == 1


def candidates() -> list[Candidate]:
    return [Candidate(name="tfidf", strategy="tfidf"), Candidate(name="lora", strategy="lora")]


def test_a_slow_candidate_gets_cores_and_a_gpu_where_a_node_has_one() -> None:
    nodes = [node("1", cores=2.0), node("2", cores=16.0, gpus=2.0)]
    usual = resources_of(candidates(), nodes, "a:1")
    assert usual == {"tfidf": Resources(cores=1.0), "lora": Resources(cores=4.0, gpus=1.0)}
    assert resources_of(candidates(), nodes[:1], "a:1")["lora"] == Resources(cores=2.0)
    with pytest.raises(StudyError, match="No node of the Ray cluster 'a:1' has a core"):
        resources_of(candidates(), [node("1", cores=0.0)], "a:1")


def test_how_many_workers_a_node_holds() -> None:
    assert node("1", cores=4.0).count(Resources(cores=1.5)) == 2
    assert node("1", cores=4.0, gpus=1.0).count(Resources(cores=1.0, gpus=0.5)) == 2
    assert node("1", cores=4.0).count(Resources(cores=1.0, gpus=1.0)) == 0


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
def test_an_address_without_a_cluster_is_one_line(address: str, says: str) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: it has no wheel for this Python")
    with pytest.raises(StudyError) as error:
        connect(RunSection(executor="ray", address=address), data_may_leave=True)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_what_ray_logs_while_it_connects_is_not_shown(monkeypatch, capfd):

    class Ray:
        def init(self, **settings: object) -> None:
            os.write(2, b"[2026-01-01 E 1 1] gcs_rpc_client: Failed to connect\n" * 20)
            raise ConnectionError("no cluster")

    monkeypatch.setattr(ray_cluster, "_listens", lambda address: True)
    with pytest.raises(StudyError, match="No Ray cluster answers at '10\\.0\\.0\\.1:6379'"):
        ray_cluster._join(Ray(), "10.0.0.1:6379", ())
    os.write(2, b"ours")
    assert capfd.readouterr().err == "ours"


def test_rows_stay_on_this_machine_where_the_study_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: it has no wheel for this Python")
    monkeypatch.setattr(ray_cluster, "_join", lambda *_: None)
    here, elsewhere = node("1"), node("2")
    monkeypatch.setattr(Cluster, "alive", lambda self: [here, elsewhere])
    monkeypatch.setattr(Cluster, "here", lambda self: here)
    section = RunSection(address="10.0.0.1:6379")
    with pytest.raises(StudyError) as error:
        connect(section, data_may_leave=False)
    assert "has nodes on other machines (10.0.0.2)" in str(error.value)
    assert connect(section, data_may_leave=True).nodes() == [here, elsewhere]
    monkeypatch.setattr(Cluster, "alive", lambda self: [here])
    alone = connect(section, data_may_leave=False)
    monkeypatch.setattr(Cluster, "alive", lambda self: [here, elsewhere])
    assert alone.nodes() == [here], "a node that comes later gets no rows"


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
    cluster = Nodes(node("1"))
    made = executor(cluster)
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
