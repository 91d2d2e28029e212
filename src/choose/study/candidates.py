"""Resolve the candidates of a study, their models and endpoints."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from inspect import Parameter
from typing import Any

from choose.engines.weights.spec import endpoint_name
from choose.errors import StudyError
from choose.formatting import short_models
from choose.judge.evidence import CandidateInfo, billions_in
from choose.models.endpoints.provider_names import provider_of
from choose.models.endpoints.settings import Endpoint
from choose.models.prompting.prompts import LABELS
from choose.schema.plan import LeftOut
from choose.strategy import (
    Refuses,
    available,
    build,
    find,
    hyperparameters,
    kind_settings,
    kinds,
    traits,
    words,
)
from choose.study.config import CandidateSection, Models, Specs, Study
from choose.types import FAMILIES, Candidate, Task


def endpoints_of(candidate: Candidate, endpoints: Mapping[str, Endpoint]) -> dict[str, Endpoint]:
    """Return the endpoints that a candidate calls, by name; any hyperparameter may name one."""
    names = map(endpoint_name, candidate.params.values())
    return {name: endpoints[name] for name in names if name is not None and name in endpoints}


def costs_per_row(candidate: Candidate, endpoints: Mapping[str, Endpoint]) -> bool:
    """Return whether more test rows cost money: the endpoint has prices or is another machine."""
    own_endpoints = endpoints_of(candidate, endpoints).values()
    return any(e.prices is not None or not e.is_local for e in own_endpoints)


def check_constraints(study: Study, candidates: Iterable[Candidate]) -> None:
    """Check the constraints of the study before anything is sent."""
    for candidate in candidates:
        for name, endpoint in endpoints_of(candidate, study.endpoints).items():
            if not study.constraints.data_may_leave and not endpoint.is_local:
                raise StudyError(
                    f"The candidate {candidate.name!r} would send rows to {endpoint.host}, and "
                    "[constraints] data_may_leave = false forbids it. Take it out with -s, or name "
                    "an endpoint on this machine."
                )
            if study.grid.max_usd is not None and endpoint.prices is None:
                raise StudyError(
                    f"--max-usd {study.grid.max_usd:g} cannot be enforced: the endpoint {name!r} "
                    "has no prices. Give usd_per_million_in and usd_per_million_out (0 where it "
                    "is free), or --usd-per-million IN,OUT."
                )


# Which hyperparameter each field of the [models] section fills.
ROLES = {"model": "model", "tune": "base", "encoder": "encoder"}

# What no name of a candidate holds.
_NO_SLASH = re.compile(r"[/\\]+")
# The hyperparameter that a prompt of the user's fills.
TEMPLATE = "template"


@dataclass(frozen=True, slots=True)
class ResolvedCandidates:
    """The candidates that run, in order, and why others cannot."""

    candidates: tuple[Candidate, ...]
    refusals: tuple[LeftOut, ...]


def candidates_of(study: Study, task: Task, labels: bool = True) -> ResolvedCandidates:
    """Resolve every candidate with all its hyperparameters, fast ones first.

    A strategy for other kinds of tasks is a refusal only if the study names it. Without `labels` to
    learn from, all learn from the teacher.
    """
    sections = [s for s in _sections(study) if labels or s.learns_from != "labels"]
    candidates = [_candidate(section, study, kind=task.kind, labels=labels) for section in sections]
    names = [candidate.name for candidate in candidates]
    for name in names:
        if names.count(name) > 1:
            raise StudyError(f"Two candidates are named {name!r}. Give each its own name.")
    reasons = {c.name: _refusal(c, task) for c in candidates}
    able = sorted((c for c in candidates if reasons[c.name] is None), key=_order)
    own = (one for section in _named(study) for one in by_model(section, study.models))
    named = {section.name or section.strategy for section in own}
    if named and not any(c.name in named for c in able):
        refused = {name: why for name, why in reasons.items() if name in named}
        suited = [name for name in default_strategies() if task.kind in kinds(name)]
        others = ", ".join([name for name in suited if name not in refused] or suited)
        why = " ".join(f"{name}: {reason}" for name, reason in [*refused.items()][:3])
        raise StudyError(f"No candidate that is named can run. {why} Try one of: {others}.")
    fits = {c.name for c in candidates if task.kind in kinds(c.strategy)}
    if named - fits and named.issuperset(usual := default_strategies()):
        named.difference_update(usual)  # `-s all` asks for no strategy of another task
    refusals = tuple(
        LeftOut(candidate=name, reason="refused", text=why)
        for name, why in reasons.items()
        if why and name in named | fits
    )
    return ResolvedCandidates(candidates=tuple(able), refusals=refusals)


def names_of(study: Study) -> tuple[str, ...]:
    """Return the names of all candidates, including those that cannot run."""
    return tuple(section.name or section.strategy for section in _sections(study))


def default_strategies() -> tuple[str, ...]:
    """Return the strategies that a study compares if it names none: all that need no setting.

    Those that a study has to ask for are left out.
    """
    return tuple(
        name
        for name in available()
        if not _lacking(hyperparameters(name)) and not traits(name)["on_request"]
    )


def _named(study: Study) -> tuple[CandidateSection, ...]:
    prompts, sections = prompts_of(study), list[CandidateSection]()
    for section in study.candidates:
        each = [
            s for s in prompts if s.strategy == section.strategy and TEMPLATE not in section.params
        ]
        sections += each or [section]
    return tuple(sections)


def _sections(study: Study) -> tuple[CandidateSection, ...]:
    sections = _named(study) or tuple(
        CandidateSection(strategy=name) for name in default_strategies()
    )
    known = {section.name or section.strategy for section in sections}
    sections += tuple(section for section in prompts_of(study) if section.name not in known)
    named = {section.strategy for section in sections}
    # Figures of expensive candidates mean little without those of the baselines.
    missing = [name for name in available() if name not in named and _always_compared(name)]
    every = (*sections, *(CandidateSection(strategy=name) for name in missing))
    each = [one for section in every for one in by_model(section, study.models)]
    if study.data.teacher is None:
        return tuple(each)
    return tuple(one for section in each for one in (section, *_on_labels(section)))


def _on_labels(section: CandidateSection) -> Iterator[CandidateSection]:
    """Yield a fast candidate that the teacher teaches once more, to learn from the labels."""
    cls, constant = find(section.strategy), traits(section.strategy)["constant"]
    if section.learns_from is None and cls.learns and cls.cheap and not constant:
        name = f"{section.name or section.strategy}-on-labels"
        yield section.model_copy(update={"name": name, "learns_from": "labels"})


def by_model(section: CandidateSection, models: Models) -> Iterator[CandidateSection]:
    """Yield a candidate for each of several models to prompt, named after it; else the one."""
    specs = section.prompted or models.prompted
    if len(specs) < 2 or "model" not in hyperparameters(section.strategy):
        yield section
        return
    short = short_models(specs)
    served = [short[spec] for spec in specs]  # openai:gpt-4o
    alone = [n.partition(":")[2] if provider_of(n) else n for n in served]
    for spec, model in zip(specs, alone if len({*alone}) == len(alone) else served, strict=True):
        name = f"{section.name or section.strategy}-{_NO_SLASH.sub('-', model)}"
        yield section.model_copy(update={"name": name[:100], "model": spec})


def prompts_of(study: Study) -> tuple[CandidateSection, ...]:
    """Return a candidate for each prompt of the user's, of each strategy that takes one alone."""
    if not study.models.prompt:
        return ()
    return tuple(
        CandidateSection(
            strategy=strategy,
            name=f"own-{name}" if name in available() else name,
            params={TEMPLATE: text},
        )
        for strategy in [s for s in available() if _lacking(hyperparameters(s)) == [TEMPLATE]]
        for name, text in study.models.prompt.items()
    )


def notes_on_prompts(study: Study, task: Task) -> Iterator[str]:
    """Yield which prompts of the user's do not say what the labels are."""
    for name, text in study.models.prompt.items():
        if task.labels and LABELS not in text and not all(label in text for label in task.names):
            yield f"The prompt {name!r} says {LABELS} nowhere: the model may answer with others."


def _always_compared(strategy: str) -> bool:
    try:
        return traits(strategy)["always_compared"]
    except Exception:  # a plugin that cannot be imported matters only to studies that name it
        return False


def _candidate(section: CandidateSection, study: Study, *, kind: str, labels: bool) -> Candidate:
    name, known = section.name or section.strategy, hyperparameters(section.strategy)
    models = study.models
    roles = {**_specs(models), **_specs(section)}
    for role in _specs(section):
        if ROLES[role] not in known:
            takes = ", ".join(role for role in ROLES if ROLES[role] in known) or "no model"
            raise StudyError(f"The candidate {name!r} has no use for {role!r}: it takes {takes}.")
    from_roles = {ROLES[role]: spec for role, spec in roles.items() if ROLES[role] in known}
    usual = kind_settings(section.strategy, kind)
    if TEMPLATE in known and models.prompt:  # a search starts from the first
        from_roles[TEMPLATE] = next(iter(models.prompt.values()))
    params: Mapping[str, Any] = {**known, **usual, **from_roles, **section.params}
    if _lacking(params) == [TEMPLATE]:
        raise StudyError(f"The candidate {name!r} needs a prompt: --prompt FILE.")
    if lacking := _lacking(params):
        raise StudyError(
            f"The candidate {name!r} needs {', '.join(lacking)}: name it under [[candidates]] in "
            f'the study file, for example {lacking[0]} = "openai:gpt-4o-mini" or "endpoint:NAME".'
        )
    build(section.strategy, seed=0, **params)  # raises for unknown hyperparameters
    by_labels = section.learns_from == "labels" or traits(section.strategy)["constant"]
    taught = study.data.teacher is not None and find(section.strategy).learns
    taught = taught and not (labels and by_labels)
    return Candidate(name=name, strategy=section.strategy, params=params, taught=taught)


def _specs(models: Specs) -> dict[str, str]:
    given = {role: getattr(models, role) for role in ROLES}
    given["model"] = next(iter(models.prompted), None)
    return {role: spec for role, spec in given.items() if spec is not None}


def _lacking(params: Mapping[str, Any]) -> list[str]:
    return [name for name, value in params.items() if value is Parameter.empty]


def _refusal(candidate: Candidate, task: Task) -> str | None:
    if task.kind not in (answers := kinds(candidate.strategy)):
        return f"it answers {' and '.join(answers)}, and the task is {task.kind}."
    strategy = build(candidate.strategy, seed=0, **candidate.params)
    return strategy.refuses(task) if isinstance(strategy, Refuses) else None


def _order(candidate: Candidate) -> tuple[bool, int, bool, bool, str]:
    cls, facts = find(candidate.strategy), traits(candidate.strategy)
    place = (FAMILIES.index(cls.family), not facts["constant"], not facts["always_compared"])
    return (not cls.cheap, *place, candidate.name)


def start_of(candidate: Candidate, candidates: Sequence[Candidate]) -> str:
    """Return the candidate whose prompt a search starts from; empty for none."""
    usual, own = getattr(find(candidate.strategy), "starts_from", ""), candidate.params
    others = [c for c in candidates if c.name != candidate.name]
    for other in others if usual else ():
        template = other.params.get(TEMPLATE)
        same = template == own[TEMPLATE] if own[TEMPLATE] else other.strategy == usual
        if same and other.params.get("model") == own.get("model"):
            return other.name
    return ""


def describe_candidates(study: Study, candidates: Sequence[Candidate]) -> list[dict[str, Any]]:
    """Return what a store keeps of candidates, their strategies and their endpoints."""
    return [
        {"params": dict(c.params), **asdict(_describe(study, c, start_of(c, candidates)))}
        for c in candidates
    ]


def _describe(study: Study, candidate: Candidate, start: str) -> CandidateInfo:
    name, params = candidate.strategy, candidate.params
    # The model that it tunes, prompts or embeds with.
    model = next((str(params[r]) for r in ("base", "model", "encoder") if r in params), None)
    cls, facts, served = find(name), traits(name), dict[str, Any]()
    endpoint = study.endpoints.get(endpoint_name(model) or "") if model else None
    if endpoint is not None:
        served = {
            "behind": f"{endpoint.model} at {endpoint.host}",
            "hosted": not endpoint.is_local,
            "billions": billions_in(endpoint.model),
            "token_prices": endpoint.prices,
        }
    return CandidateInfo(
        name=candidate.name,
        strategy=name,
        family=cls.family,
        title=words(name)["title"],
        model=model,
        warning=getattr(cls, "warning", None),
        cheap=cls.cheap,
        seeded=cls.seeded,
        learns=cls.learns,
        constant=facts["constant"],
        floor=facts["floor"],
        reads=facts["reads"],
        taught=candidate.taught,
        starts=start,
        **served,
    )
