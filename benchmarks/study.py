"""A study of the bundled tickets, against a naive loop over the same trials.

    python benchmarks/study.py               about a quarter of an hour on two cores
    python benchmarks/study.py --quick       fewer candidates and one seed, some minutes
    python benchmarks/study.py --json        the figures as JSON

The study is `choose compare` in one process, including its start, the decision and the report, and
without caches of earlier studies. The naive loop starts one process a trial: scikit-learn,
sentence-transformers, transformers with one pass a label, or Trainer with PEFT, with the same rows,
settings, prompts and threads. One trial of each kind is timed (some rows or steps of a slow one);
loading, fitting and predicting are then scaled to all trials of that kind. Exits with 1 and the
list of missed targets, if any.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

from choose.data.scenarios import Split, make_split, split_spec
from choose.engines.weights.resolve import resolve
from choose.engines.weights.spec import DEFAULT_ENCODER
from choose.models.prompting.local_prompter import calibration_rows
from choose.store.store import Store
from choose.strategy import build
from choose.types import Dataset, Run, Trial
from machine import machine

HERE = Path(__file__).resolve().parent

RATIO, AGREEMENT = 10.0, 0.97

CHEAP = ("-s", "tfidf", "-s", "probe", "-s", "knn")

# LoRA on the small encoder, as the README does on a laptop; all else is the default.
WHOLE = (
    *CHEAP,
    "-s",
    "prompt",
    "-s",
    "retrieval",
    "-s",
    "lora",
    "--set",
    f"tune={DEFAULT_ENCODER}",
)

SAMPLE = "sample:tickets"

QUICK = (*CHEAP, "-s", "prompt", "--set", "seeds=1", "--set", "noise=0")

# The naive loop is not charged for trials that the budget leaves out.
WHOLE_BUDGET, QUICK_BUDGET = "6m", "40s"

# Rows scored and steps trained of a slow trial; the rest is extrapolated.
SAMPLE_ROWS, SAMPLE_STEPS = 5, 10


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of trial: seconds of the naive loop for all of them, and whether answers agree.

    `agreement` is the share of equal answers where the method is the same, else None.
    """

    name: str
    trials: int
    load: float
    fit: float
    ask: float
    agreement: float | None

    @property
    def seconds(self) -> float:
        """Return the naive loop's seconds."""
        return self.load + self.fit + self.ask


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer candidates, one seed")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    return parser.parse_args(arguments)


class Processes:
    """Run either side with the same threads and without caches."""

    def __init__(self, folder: Path, threads: int) -> None:
        self.folder = folder
        count = str(threads)
        own = {"CHOOSE_KEEP_GB": "0", "CHOOSE_THREADS": count, "OMP_NUM_THREADS": count}
        self.environment = {**os.environ, **own, "TOKENIZERS_PARALLELISM": "false"}

    def study(self, quick: bool) -> float:
        """Run the study and return its seconds, from the start of Python to its end."""
        which = QUICK if quick else WHOLE
        budget = ("--budget", QUICK_BUDGET if quick else WHOLE_BUDGET)
        out = ("--out", str(self.folder / "study"), "-o", str(self.folder / "report.html"))
        start = perf_counter()
        self._run("-m", "choose", "compare", SAMPLE, *which, *budget, *out)
        return perf_counter() - start

    def naive(self, job: dict[str, Any]) -> dict[str, Any]:
        """Run one naive trial, and count the start of the process as loading."""
        path = self.folder / "job.json"
        path.write_text(json.dumps(job), encoding="utf-8")
        start = perf_counter()
        out = self._run(str(HERE / "naive_trial.py"), str(path))
        found: dict[str, Any] = json.loads(out.splitlines()[-1])
        found["load"] = perf_counter() - start - found["fit"] - found["ask"]
        return found

    def _run(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments], env=self.environment, capture_output=True, text=True
        )
        if done.returncode:
            raise RuntimeError(f"{arguments[0]}: {done.stderr[-2000:]}")
        return done.stdout


def kinds(store: Store, processes: Processes) -> Iterator[Kind]:
    """Yield the cost of the naive loop for each kind of trial that the study finished."""
    groups: dict[str, list[Work]] = {}
    for work in finished(store):
        groups.setdefault(work.kind, []).append(work)
    for name, works in groups.items():
        shown = max(works, key=lambda work: (work.learnt, work.asked))
        job = job_of(shown, store.dataset)
        took = processes.naive(job)
        print(f"{name}: one of {len(works)} naive trials timed", file=sys.stderr)
        yield Kind(
            name=name,
            trials=len(works),
            load=took["load"] * len(works),
            fit=_scaled(took["fit"], took["fitted"], [fit_units(w, store.dataset) for w in works]),
            ask=_scaled(took["ask"], took["asked"], [asked_units(w, store.dataset) for w in works]),
            agreement=agreement(shown, store.dataset, job, took["answers"]),
        )


def _scaled(seconds: float, units: int, wanted: Sequence[int]) -> float:
    return seconds / units * sum(wanted) if units else 0.0


def agreement(
    work: Work, dataset: Dataset, job: dict[str, Any], answers: list[Any]
) -> float | None:
    """Return the share of equal answers, of prompted models before their calibration."""
    if work.trial.strategy == "lora":  # another head, another order of batches
        return None
    if "logprobs" in job:
        ours = [row.index(max(row)) for row in job["logprobs"]]
        theirs: list[Any] = [row.index(max(row)) for row in answers]
    else:
        ours, theirs = list(work.run.answers["clean", 0].outputs), answers
    return sum(a == b for a, b in zip(ours, theirs, strict=True)) / len(ours)


def missed(ours: float, found: Sequence[Kind], quick: bool) -> Iterator[str]:
    """Yield a sentence for each target that is missed; a quick run is too small for the ratio."""
    ratio = sum(kind.seconds for kind in found) / ours
    if ratio < RATIO and not quick:
        yield f"The study is {ratio:.1f} times as fast as the naive loop; {RATIO:.0f} are asked."
    for kind in found:
        if kind.agreement is not None and kind.agreement < AGREEMENT:
            same = f"{kind.agreement:.0%} of the answers agree"
            yield f"{kind.name}: {same}; {AGREEMENT:.0%} are asked."


def lines(ours: float, found: Sequence[Kind]) -> Iterator[str]:
    """Yield the comparison as a table."""
    naive = sum(kind.seconds for kind in found)
    trials = sum(kind.trials for kind in found)
    yield f"study, {trials} trials with start, judging and report: {ours:,.0f} s"
    yield f"naive loop over the same trials, from a sample:       {naive:,.0f} s"
    yield f"ratio {naive / ours:.1f}"
    yield ""
    yield f"{'naive, by kind':28}{'trials':>7}{'load s':>9}{'fit s':>9}{'ask s':>9}{'agree':>8}"
    for kind in found:
        same = "-" if kind.agreement is None else f"{kind.agreement:.0%}"
        yield (
            f"{kind.name:28}{kind.trials:7}{kind.load:9.0f}{kind.fit:9.0f}{kind.ask:9.0f}{same:>8}"
        )


@dataclass(frozen=True)
class Work:
    """A finished trial with its training rows, and its predictions over all views and repeats."""

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
    """Return how many units of its fit a trial takes: training rows or steps."""
    if work.trial.strategy == "lora":
        return _schedule(work.trial, dataset).steps
    return work.learnt


def asked_units(work: Work, dataset: Dataset) -> int:
    """Return how many rows are predicted, including those that calibrate a prompted model."""
    if work.trial.strategy in ("prompt", "retrieval"):
        pool = make_split(dataset, split_spec(work.trial, dataset)).pool
        return work.asked + len(calibration_rows(pool))
    return work.asked


def job_of(work: Work, dataset: Dataset) -> dict[str, Any]:
    """Return the job of one naive process for a trial; that of a slow one is a sample."""
    trial, rows = work.trial, make_split(dataset, split_spec(work.trial, dataset))
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
        schedule = _schedule(trial, dataset)
        job |= {"base": str(resolve(trial.params["base"])), "batch": schedule.batch_size}
        job |= {"rate": schedule.learning_rate, "steps": min(SAMPLE_STEPS, schedule.steps)}
    if trial.strategy in ("prompt", "retrieval"):
        job |= _prompts(trial, dataset, rows, asked[:SAMPLE_ROWS])
    return job


def _schedule(trial: Trial, dataset: Dataset) -> Any:
    import choose_strategies.lora
    from choose.engines.lora.classifier import schedule_for

    rate = trial.params.get("learning_rate") or choose_strategies.lora.RATE
    classes = len(dataset.task.labels)
    return schedule_for(trial.train_size, classes, rate, trial.params.get("epochs"))


def _prompts(trial: Trial, dataset: Dataset, rows: Split, asked: Sequence[str]) -> dict[str, Any]:
    """Return the prompts of choose as tokens, and the log-probabilities that it gets."""
    from choose.models.prompting.base_strategy import prompter_for

    strategy: Any = build(trial.strategy, seed=trial.seed, **trial.params)
    prompter: Any = prompter_for(strategy._prompt_settings(), dataset.task)
    items = [dataset.examples[id].item() for id in asked]
    shown: Any = [()] * len(items)
    if trial.strategy == "retrieval":
        from choose.models.retrieval.passage_search import Retriever

        strategy.retriever = Retriever(strategy.encoder, rows.pool)
        strategy.prompter = prompter
        shown = strategy._demonstrations(items)
    prompts = [prompter._build(item, own) for item, own in zip(items, shown, strict=True)]
    trie = prompter.trie
    return {
        "model": str(resolve(strategy.model)),
        "prompts": [[*p.prefix, *p.rest] for p in prompts],
        "label_tokens": [
            trie.step_token[trie.step_label == n].tolist() for n in range(len(trie.lengths))
        ],
        "logprobs": prompter.lm.score(prompts, trie).logprobs.tolist(),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run both sides, print, and return 1 where a target is missed."""
    choice = options(arguments)
    with TemporaryDirectory() as name:
        processes = Processes(Path(name), choice.threads)
        ours = processes.study(choice.quick)
        print(f"the study: {ours:.0f} s", file=sys.stderr)
        found = list(kinds(Store.open(Path(name) / "study"), processes))
    misses = list(missed(ours, found, choice.quick))
    head = f"One study{' (quick)' if choice.quick else ''}; {machine(choice.threads)}"
    if choice.json:
        naive = sum(kind.seconds for kind in found)
        figures = {"study": ours, "naive": naive, "ratio": naive / ours}
        rows = [asdict(kind) for kind in found]
        print(json.dumps({"run": head, **figures, "kinds": rows, "missed": misses}, indent=1))
    else:
        print("\n".join([head, "", *lines(ours, found), ""]))
        print("\n".join(["Missed targets:", *misses]) if misses else "All targets are met.")
    return 1 if misses else 0


if __name__ == "__main__":
    sys.exit(main())
