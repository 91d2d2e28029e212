"""From the trials of a finished study to what the naive loop is to do for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from choose.data.scenarios import Drawn, drawn, place_of
from choose.models.prompting.local_model import calibration_rows
from choose.models.weights.resolve import resolve
from choose.store.store import Store
from choose.strategy import build
from choose.types import Dataset, Run, Trial

# So many rows are scored and so many steps trained of a dear trial; the rest is multiplied.
SAMPLE_ROWS, SAMPLE_STEPS = 5, 10


@dataclass(frozen=True)
class Work:
    """A finished trial: how much it learnt from and was asked, all views and repeats together."""

    trial: Trial
    run: Run
    learnt: int
    asked: int

    @property
    def kind(self) -> str:
        """Return the strategy with the settings that change what a row costs."""
        return f"{self.trial.candidate} {self.trial.variant}".strip()


def finished(store: Store) -> list[Work]:
    """Return the trials that a study finished, each once, majority left out."""
    _, trials = store.grid()
    seen: dict[str, Work] = {}
    for trial in trials:
        run = store.get(trial)
        if run is None or run.error or trial.strategy == "majority" or trial.key in seen:
            continue
        asked = sum(len(ids) for ids in run.asked.values())
        seen[trial.key] = Work(trial, run, trial.train_size, asked)
    return list(seen.values())


def fit_units(work: Work, dataset: Dataset) -> int:
    """Return how many units of its fit a trial takes: rows learnt, rows scored, or steps."""
    if work.trial.strategy == "lora":
        return _schedule(work.trial, dataset).steps
    return work.learnt


def asked_units(work: Work, dataset: Dataset) -> int:
    """Return how many rows are asked, those that calibrate a prompted model among them."""
    if work.trial.strategy in ("prompt", "retrieval"):
        pool = drawn(dataset, place_of(work.trial, dataset)).pool
        return work.asked + len(calibration_rows(pool))
    return work.asked


def job_of(work: Work, dataset: Dataset) -> dict[str, Any]:
    """Return the job of one naive process for a trial; a dear one's is a sample."""
    trial, rows = work.trial, drawn(dataset, place_of(work.trial, dataset))
    asked = work.run.asked["clean", 0]
    job = {
        "strategy": trial.strategy,
        "params": dict(trial.params),
        "order": list(dataset.task.labels),
        "texts": [e.text for e in rows.pool],
        "labels": [e.target for e in rows.pool],
        "questions": [dataset.examples[id].text for id in asked],
    }
    if "encoder" in trial.params and trial.strategy in ("probe", "knn"):
        job["encoder"] = str(resolve(trial.params["encoder"]))
    if trial.strategy == "lora":
        plan = _schedule(trial, dataset)
        job |= {"base": str(resolve(trial.params["base"])), "batch": plan.batch, "rate": plan.rate}
        job |= {"steps": min(SAMPLE_STEPS, plan.steps)}
    if trial.strategy in ("prompt", "retrieval"):
        job |= _prompts(trial, dataset, rows, asked[:SAMPLE_ROWS])
    return job


def _schedule(trial: Trial, dataset: Dataset) -> Any:
    import choose_lora
    from choose.models.lora.training import plan

    rate = trial.params.get("learning_rate") or choose_lora.RATE
    classes = len(dataset.task.labels)
    return plan(trial.train_size, classes, rate, trial.params.get("epochs"))


def _prompts(trial: Trial, dataset: Dataset, rows: Drawn, asked: Sequence[str]) -> dict[str, Any]:
    """Return the very tokens that choose puts to the model, and what it makes of them."""
    from choose.models.prompting.prompter import prompter_for

    strategy: Any = build(trial.strategy, seed=trial.seed, **trial.params)
    prompter: Any = prompter_for(strategy._asking(), dataset.task)
    items = [dataset.examples[id].item() for id in asked]
    shown: Any = [()] * len(items)
    if trial.strategy == "retrieval":
        from choose.models.embeddings import Retriever

        strategy.retriever = Retriever(strategy.encoder, rows.pool)
        strategy.prompter = prompter
        shown = strategy._demonstrations(items)
    prompts = [prompter._ask(item, own) for item, own in zip(items, shown, strict=True)]
    trie = prompter.trie
    return {
        "model": str(resolve(strategy.model)),
        "prompts": [[*p.prefix, *p.rest] for p in prompts],
        "label_tokens": [
            trie.step_token[trie.step_label == n].tolist() for n in range(len(trie.lengths))
        ],
        "logprobs": prompter.lm.score(prompts, trie).logprobs.tolist(),
    }
