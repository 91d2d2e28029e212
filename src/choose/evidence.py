"""From a store to what the judge reads: the one place where the two meet."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, replace
from datetime import date
from typing import Any

from choose.judge.credible import billions_in
from choose.judge.deployment import Deployment
from choose.judge.evidence import CandidateInfo, Evidence, Items
from choose.judge.measure import Measure
from choose.judge.rule import Rule
from choose.models.endpoints.settings import Endpoint
from choose.models.endpoints.spec import endpoint_name
from choose.prices import TokenPrices
from choose.store import Store
from choose.types import Dataset, Run

_INFO = ("name", "strategy", "family", "model", "cheap", "seeded", "learns")


def evidence_of(store: Store) -> Evidence:
    """Read everything that has been measured of a study's grid."""
    dataset = store.dataset
    candidates, trials = store.grid()
    study = store.study
    # A trial that answers views after the clean rows stands in the grid twice; two scenarios can
    # hand over the same rows and are two places still.
    places = {(t.candidate, t.variant, t.scenario, t.draw, t.key): t for t in trials}
    runs = tuple(run for trial in places.values() if (run := store.get(trial)) is not None)
    return Evidence(
        name=dataset.name,
        fingerprint=dataset.fingerprint,
        rows=len(dataset.examples),
        labels=dataset.task.labels,
        division=dataset.division,
        items=items_of(dataset, dataset.asked),
        pool=items_of(dataset, _only_learnt_from(dataset)),
        candidates=tuple(_candidate(c, study) for c in candidates),
        pool_rows=tuple(len(fold.pool) for fold in dataset.folds),
        runs=runs,
        dated=sum(e.timestamp is not None for e in dataset.examples.values()),
        findings=(*dataset.findings, *_warnings(candidates)),
        machine=_machine(runs),
    )


def rule_of(study: Mapping[str, Any]) -> Rule:
    """Return the rule that a study fixed before it ran."""
    goal, costs = study.get("goal", {}), study.get("costs", {})
    names = {field.name for field in fields(Deployment)}
    return Rule(
        target=goal.get("target"),
        measure=Measure(
            metric=goal.get("metric", "accuracy"), error_costs=goal.get("error_costs", {})
        ),
        margin=goal.get("margin", Rule().margin),
        margin_from="stated" if "margin" in goal else "default",
        minutes_per_label=costs.get("minutes_per_label"),
        hourly_rate=costs.get("hourly_rate"),
        qa_share=costs.get("qa_share", 0.0),
        usd_per_machine_hour=costs.get("usd_per_machine_hour"),
        out_of_scope=study.get("task", {}).get("out_of_scope"),
        deployment=Deployment(**{k: v for k, v in costs.items() if k in names}),
    )


def _candidate(planned: Mapping[str, Any], study: Mapping[str, Any]) -> CandidateInfo:
    info = CandidateInfo(**{k: planned[k] for k in _INFO}, warning=planned.get("warning"))
    days = study.get("models", {}).get("retirement", {})
    day = days.get(info.name, days.get(info.model or ""))
    return replace(
        info,
        retires=date.fromisoformat(str(day)) if day is not None else None,
        **_behind(study.get("endpoints", {}).get(endpoint_name(info.model) or "")),
    )


def _behind(section: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what the judge is told of the endpoint that a candidate asks, if it asks one."""
    if section is None:
        return {}
    endpoint = Endpoint.model_validate(section)
    names = [field.name for field in fields(TokenPrices)]
    prices = {name: section[name] for name in names if section.get(name) is not None}
    return {
        "behind": f"{endpoint.model} at {endpoint.host}",
        "billions": billions_in(endpoint.model),
        "concurrency": endpoint.concurrency,
        "token_prices": TokenPrices(**prices) if prices else None,
    }


def _warnings(candidates: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    for planned in candidates:
        if planned.get("warning"):
            yield f"{planned['name']}: {planned['warning']}"


def _only_learnt_from(dataset: Dataset) -> tuple[str, ...]:
    asked = set(dataset.asked)
    return tuple(id for id in dataset.examples if id not in asked)


def items_of(dataset: Dataset, ids: tuple[str, ...]) -> Items:
    """Return what the judge may know of these rows: never their texts."""
    targets_of_text: dict[str, set[str]] = defaultdict(set)
    for example in dataset.examples.values():
        targets_of_text[_normal(example.text)].add(example.target)
    asked = [dataset.examples[id] for id in ids]
    signed = any(e.annotator is not None for e in asked)
    return Items(
        ids=tuple(e.id for e in asked),
        targets=tuple(e.target for e in asked),
        clusters=tuple(dataset.clusters.get(e.id, e.id) for e in asked),
        conflicting=frozenset(e.id for e in asked if len(targets_of_text[_normal(e.text)]) > 1),
        annotators=tuple(e.annotator for e in asked) if signed else (),
        questions=tuple(_normal(e.text) for e in asked) if signed else (),
    )


def _normal(text: str) -> str:
    return " ".join(text.casefold().split())


def _machine(runs: tuple[Run, ...]) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    for run in runs:
        facts.update(run.versions)
        facts.update({k: v for k in ("threads", "dtype") if (v := getattr(run, k)) is not None})
    return facts
