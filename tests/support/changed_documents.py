"""Answers of a few candidates to twelve rows, before and after their documents changed."""

from collections.abc import Mapping, Sequence

from choose.corpus import UPDATED, Span
from choose.judge.evidence import CandidateInfo, DrillRows, Evidence, Items
from choose.tasks.answering import Answering
from choose.tasks.scoring import scores_of
from choose.types import Answers, Example, Run
from support.trials import plain_trial

VIEW = f"{UPDATED}-abc"
IDS = tuple(f"q{n}" for n in range(12))
OLD = {id: f"{10 + n} days" for n, id in enumerate(IDS)}
NEW = {id: f"{50 + n} days" for n, id in enumerate(IDS)}


def answers(outputs: Sequence[str | None]) -> Answers:
    status = tuple("ok" if output is not None else "empty" for output in outputs)
    return Answers(outputs=tuple(outputs), status=status)


def run(
    name: str,
    views: Mapping[str, Sequence[str | None]],
    draw: int = 0,
) -> Run:
    trial = plain_trial(name, draw)
    given = {(view, 0): answers(outputs) for view, outputs in views.items()}
    rows = [Example(id=id, text=id, target=OLD[id]) for id in IDS]
    clean = given["clean", 0]
    return Run(
        trial=trial,
        answers=given,
        asked={view: IDS[: len(found)] for view, found in given.items()},
        scores={("clean", 0): scores_of(Answering(), clean, rows[: len(clean)])},
        fit_seconds=60.0 + 30 * draw,
        reread_seconds=0.5 if len(views) > 1 else None,
    )


def evidence(*runs: Run) -> Evidence:
    reads = {"rag"}
    names = dict.fromkeys(run.trial.candidate for run in runs)
    return Evidence(
        name="handbook",
        fingerprint="",
        rows=len(IDS),
        labels=(),
        division="held-out",
        items=Items(
            ids=IDS,
            targets=tuple(OLD[id] for id in IDS),
            clusters=IDS,
            evidence={id: (Span(f"d{n // 3}", 0, 9),) for n, id in enumerate(IDS)},
        ),
        candidates=tuple(
            CandidateInfo(
                name=name,
                strategy=name,
                family="retrieval" if name in reads else "fine-tuning",
                seeded=True,
                reads=name in reads,
            )
            for name in names
        ),
        pool_rows=(50,),
        runs=runs,
        task=Answering(),
        drill=DrillRows(view=VIEW, facts=9, targets=NEW),
    )


OLDS, NEWS = [*OLD.values()], [*NEW.values()]
BEFORE = [*OLDS[:10], "x", "y"]
# Nine new facts, three of them in other words; one old one; one of both; one of neither.
AFTER = [*NEWS[:6], "It is 56.", "57", f"in {NEWS[8]}", OLDS[9], f"{OLDS[10]} or {NEWS[10]}", None]
RAG = run("rag", {"clean": BEFORE, VIEW: AFTER})
LORA = run("lora", {"clean": [*OLDS[:3], *["nothing"] * 9]})
