"""Candidates with chosen settings against the usual ones, and fine-tuning beyond one LoRA.

    python benchmarks/tuned.py DIR --part cheap       tuned-tfidf, tuned-probe and tuned-knn
    python benchmarks/tuned.py DIR --part optimism    what the inner folds promise, and the truth
    python benchmarks/tuned.py DIR --part fine-tuning setfit, full fine-tuning and lora
    python benchmarks/tuned.py DIR --part sets        the same and the probe, on sets of labels
    python benchmarks/tuned.py DIR --part search      tuned-lora against lora, on the small encoder
    python benchmarks/tuned.py DIR --part prompting   tuned-prompt and tuned-retrieval
    python benchmarks/tuned.py DIR --part prompting-optimism   what their searches promise
    python benchmarks/tuned.py DIR --part prompting-rows   how lucky the rows are that they ask

DIR holds labelled sets as folders with train.csv and test.csv. Every draw takes its own training
rows (eight rows a label, or a number of rows); the test rows of a set are the same for all draws.
Both sides of a difference learn from the same rows and answer the same. Differences are in points,
with 95 % intervals over rows and draws together, as those of a study; of one draw, over rows alone.
`--set NAME.KEY=VALUE` overrides a hyperparameter.

The defaults fit a CPU: each set and number of rows has `--cpu-minutes` (8) of processor time, and
draws that would overrun it are left out, which is said; with 0 there is no limit. Each fit prints
a line when it is done, so a run that is stopped has shown what it did.
"""

from __future__ import annotations

import argparse
import ast
import csv
import json
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from time import process_time
from typing import Any

import numpy as np
from scipy import stats

from choose.judge.stats.paired import paired_difference
from choose.models.classical.inner_selection import Choice
from choose.models.environment_settings import cores
from choose.models.prompting.prompt_search import Chosen
from choose.models.weights.spec import DEFAULT_ENCODER
from choose.strategy import Prepares, build, hyperparameters
from choose.tasks.classification import Classification
from choose.tasks.multilabel import Multilabel, read_set, set_text
from choose.types import Example, Floats
from machine import machine

CHEAP = (("tuned-tfidf", "tfidf"), ("tuned-probe", "probe"), ("tuned-knn", "knn"))
PROMPTS = (
    ("tuned-prompt", "prompt"),
    ("tuned-prompt", "few-shot"),
    ("tuned-retrieval", "retrieval"),
)
A_LABEL = "8 a label"


@dataclass(frozen=True, slots=True)
class Draw:
    """Training and test rows of one draw."""

    task: Classification | Multilabel
    pool: list[Example]
    asked: list[Example]


def read(folder: Path) -> list[Example]:
    """Return the rows of a set's train.csv or train.jsonl, then those of its test file."""
    rows = []
    for part in ("train", "test"):
        if (file := folder / f"{part}.jsonl").exists():
            found = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
            rows += [(part, row["text"], set_text(row["labels"])) for row in found]
            continue
        with (folder / f"{part}.csv").open(encoding="utf-8", newline="") as stream:
            rows += [(part, row["text"], row["label"]) for row in csv.DictReader(stream)]
    return [
        Example(id=f"{part}{i}", text=t, target=label) for i, (part, t, label) in enumerate(rows)
    ]


def draw(
    rows: Sequence[Example], size: int | str, asked: int, seed: int, mixed: bool = False
) -> Draw:
    """Draw training rows from the first part and test rows from the second.

    Where the parts are `mixed`, both come from all rows, so that they are of one kind.
    """
    rng = Random(f"tuned-{seed}")
    train = [e for e in rows if e.id.startswith("train")]
    test = [e for e in rows if e.id.startswith("test")]
    if mixed:
        train = list(rows)
    rng.shuffle(train)
    if size == A_LABEL:
        by_label: dict[str, list[Example]] = defaultdict(list)
        for example in train:
            by_label[example.target].append(example)
        pool = [e for label in sorted(by_label) for e in by_label[label][:8]]
        rng.shuffle(pool)
    else:
        pool = train[: int(size)]
    task: Classification | Multilabel
    if rows[0].target.startswith("["):
        labels = tuple(sorted({label for e in rows for label in read_set(e.target)}))
        task = Multilabel(choices=labels, choice_names=labels)
    else:
        labels = tuple(sorted({e.target for e in rows}))
        task = Classification(labels=labels, names=labels)
    if mixed:
        learnt = {e.id for e in pool}
        test = [e for e in train if e.id not in learnt]
    # The same test rows for all draws, unless the parts are mixed.
    chosen = test[:asked] if mixed else Random("tuned").sample(test, min(asked, len(test)))
    return Draw(task, pool, chosen)


@dataclass(frozen=True, slots=True)
class Result:
    """Which test rows were right (of sets, their example-F1), and what the fit took and left.

    Attributes:
        seconds: processor-seconds of the fit.
    """

    right: Floats
    seconds: float
    strategy: Any


def answered(name: str, drawn: Draw, seed: int, params: Mapping[str, Any]) -> Result:
    """Fit and answer."""
    strategy: Any = build(name, seed=seed, **params)
    if isinstance(strategy, Prepares):
        strategy.prepare()
    start = process_time()
    strategy.fit(drawn.task, drawn.pool)
    seconds = process_time() - start
    answers = strategy.predict([e.item() for e in drawn.asked])
    right = np.array(
        [
            drawn.task.score(output, e.targets)[drawn.task.metrics[0]]
            for output, e in zip(answers.outputs, drawn.asked, strict=True)
        ]
    )
    return Result(right.astype(np.float64), seconds, strategy)


def table(
    rows: Sequence[Example],
    size: int | str,
    names: Sequence[str],
    options: argparse.Namespace,
    params: Mapping[str, Mapping[str, Any]],
) -> dict[str, Floats]:
    """Print a line a candidate, and return (test rows, draws) of right answers of each."""
    right: dict[str, list[Floats]] = defaultdict(list)
    seconds: dict[str, list[float]] = defaultdict(list)
    for seed in within(options, options.seeds):
        drawn = draw(rows, size, options.test, seed)
        for name in names:
            result = answered(name.partition(" ")[0], drawn, seed, params.get(name, {}))
            right[name].append(result.right)
            seconds[name].append(result.seconds)
            shown = f"{100 * result.right.mean():6.1f}{result.seconds:10.2f} processor-s"
            print(f"    draw {seed}  {name:18}{shown}{_chosen(result)}", flush=True)
    for name in names:
        figures = np.stack(right[name], axis=1)
        low, high = figures.mean(axis=0).min(), figures.mean(axis=0).max()
        fit = np.mean(seconds[name])
        shown = f"{100 * figures.mean():6.1f}  ({100 * low:.1f} to {100 * high:.1f})"
        print(f"  {name:18}{shown:26}{fit:8.2f} processor-s a fit", flush=True)
    return {name: np.stack(right[name], axis=1) for name in names}


def _chosen(result: Result) -> str:
    """Return the first notes of a fit that chose its settings."""
    if not getattr(result.strategy, "on_request", False):
        return ""
    return "  " + " ".join(result.strategy.facts().get("notes", ())[:2])


def within(options: argparse.Namespace, most: int) -> Iterator[int]:
    """Yield the numbers of draws, as long as another one fits in the processor time."""
    begun, longest = process_time(), 0.0
    for number in range(most):
        start = process_time()
        if number and options.cpu_minutes and start - begun + longest > 60 * options.cpu_minutes:
            limit = f"{options.cpu_minutes:g} CPU-minutes"
            print(f"  {number} of {most} draws: another exceeds {limit}", flush=True)
            return
        yield number
        longest = max(longest, process_time() - start)


def difference(right: Mapping[str, Floats], a: str, b: str) -> None:
    """Print a minus b with its interval; draws are paired, test rows are the same for all."""
    found = paired_difference(right[a], right[b])
    value, low, high = (100 * end for end in (found.value, found.low, found.high))
    one = ", one draw" if right[a].shape[1] == 1 else ""
    print(f"  {a} - {b}: {value:+.1f} ({low:+.1f} to {high:+.1f}){one}", flush=True)


def cheap(options: argparse.Namespace, params: Mapping[str, Mapping[str, Any]]) -> None:
    """Compare the tuned baselines with the usual ones."""
    in_pairs(CHEAP, options, params)


def prompting(options: argparse.Namespace, params: Mapping[str, Mapping[str, Any]]) -> None:
    """Compare the tuned prompts with the usual ones."""
    pairs = [pair for pair in PROMPTS if {*pair} <= {*options.candidates}]
    if not pairs:
        known = " or ".join(f"{a} with {b}" for a, b in PROMPTS)
        sys.exit(f"--candidates has no pair that is compared. Name {known}.")
    in_pairs(pairs, options, params)


def in_pairs(
    pairs: Sequence[tuple[str, str]],
    options: argparse.Namespace,
    params: Mapping[str, Mapping[str, Any]],
) -> None:
    """Compare the first of each pair with the second."""
    names = list(dict.fromkeys(name for pair in pairs for name in pair))
    for name in options.sets:
        rows = read(options.folder / name)
        for size in options.rows:
            print(f"{name}, {_rows(size)}")
            right = table(rows, size, names, options, params)
            for pair in pairs:
                difference(right, *pair)


@dataclass(frozen=True, slots=True)
class Promise:
    """What a search says of its choice, and what test rows say of it.

    Attributes:
        choice: the search's own figures, of training rows.
        right: (test rows,) of what was chosen, right or not; of sets, example-F1.
        usual: the same of the usual setting.
    """

    choice: Choice
    right: Floats
    usual: Floats

    def holds(self) -> tuple[bool, bool]:
        """Return whether the intervals of accuracy and gain hold what test rows say.

        These know the truth with an error of their own, which widens the intervals.
        """
        own = self.choice
        return (
            _within(self.right, own.value, own.low, own.high),
            _within(self.right - self.usual, *own.gained),
        )


def _within(scores: Floats, value: float, low: float, high: float) -> bool:
    truth = float(scores.mean())
    error = 1.96 * float(scores.std(ddof=1)) / np.sqrt(len(scores))
    side = low if truth < value else high
    return bool(abs(truth - value) <= np.hypot(side - value, error))


def optimism(options: argparse.Namespace, params: Mapping[str, Mapping[str, Any]]) -> None:
    """Hold the inner estimates to the accuracy on rows that nothing was learnt from.

    What the usual setting seems to have is no choice: its error is that of the rows that were held
    out, or of fewer training rows.
    """
    for name in options.sets:
        rows = read(options.folder / name)
        for size in options.rows:
            for tuned in options.candidates:
                print(f"{name}, {_rows(size)}, {tuned}")
                found = list(_promises(rows, size, tuned, options, params))
                if len(found) < 2:
                    print("  fewer than two replays say nothing of optimism", flush=True)
                else:
                    _optimism_of(found)


def _optimism_of(found: Sequence[Promise]) -> None:
    """Print by how much each figure is too high, and how often its interval holds the truth."""
    truth, usual = (np.array([p.right.mean() for p in found]), [p.usual.mean() for p in found])
    for what, estimates, true in (
        ("corrected", [p.choice.value for p in found], truth),
        ("uncorrected", [p.choice.best for p in found], truth),
        ("usual setting", [p.choice.usual for p in found], np.array(usual)),
        ("gain", [p.choice.gain for p in found], truth - usual),
    ):
        gap = 100 * (np.array(estimates) - true)
        error = float(stats.t.ppf(0.975, len(gap) - 1)) * gap.std(ddof=1) / np.sqrt(len(gap))
        low, high = gap.mean() - error, gap.mean() + error
        print(
            f"  {what:13} {100 * np.mean(estimates):5.1f}, truth {100 * true.mean():.1f},"
            f" optimism {gap.mean():+.1f} ({low:+.1f} to {high:+.1f})"
        )
    held = np.array([p.holds() for p in found]).sum(axis=0)
    for what, count in zip(("accuracy", "gain"), held.tolist(), strict=True):
        low, high = stats.binomtest(count, len(found)).proportion_ci()
        print(
            f"  the interval of the {what} holds the truth in {count} of {len(found)} replays"
            f" ({100 * low:.0f} to {100 * high:.0f} %)",
            flush=True,
        )


def _promises(
    rows: Sequence[Example],
    size: int | str,
    name: str,
    options: argparse.Namespace,
    params: Mapping[str, Mapping[str, Any]],
) -> Iterator[Promise]:
    """Yield what each replay promises, and print it."""
    plain = dict(reversed([*CHEAP, *PROMPTS]))[name]
    for seed in within(options, options.replays):
        drawn = draw(rows, size, options.test, seed, mixed=True)
        result = answered(name, drawn, seed, params.get(name, {}))
        choice = result.strategy.choice
        if choice is None:
            print(f"    replay {seed}  nothing was chosen", flush=True)
            continue
        found = Promise(choice, result.right, answered(plain, drawn, seed, {}).right)
        truth, usual = 100 * found.right.mean(), 100 * found.usual.mean()
        print(
            f"    replay {seed}  truth {truth:.1f}, promised {100 * choice.value:.1f}"
            f" ({100 * choice.low:.1f} to {100 * choice.high:.1f}), uncorrected"
            f" {100 * choice.best:.1f}; {plain} {usual:.1f}, seemed {100 * choice.usual:.1f};"
            f" gain {truth - usual:+.1f}, promised {choice.gained}; {result.seconds:.1f}"
            " processor-s",
            flush=True,
        )
        yield found


def prompting_rows(options: argparse.Namespace, params: Mapping[str, Mapping[str, Any]]) -> None:
    """Hold what the usual prompt has on the rows that a search asks to what it has on others.

    Nothing is chosen here, so a difference is that of the rows. The other rows are the same for all
    draws.
    """
    for name in options.sets:
        rows = read(options.folder / name)
        for size in options.rows:
            print(f"{name}, {_rows(size)}")
            others = Random("tuned").sample(rows, options.test)
            apart = {e.id for e in others}
            left, found = [e for e in rows if e.id not in apart], []
            for seed in within(options, options.replays):
                found.append(_usual_prompt(draw(left, size, 0, seed, mixed=True), others))
                shown = (
                    f"{how} {100 * a:.1f} ({100 * b:.1f})" for how, (a, b) in found[-1].items()
                )
                print(f"    replay {seed}  {', '.join(shown)}", flush=True)
            for how in found[0]:
                gap = 100 * np.array([own[how][0] - own[how][1] for own in found])
                error = gap.std(ddof=1) / np.sqrt(len(gap))
                print(f"  {how}: {gap.mean():+.1f} on the rows that are asked, s.e. {error:.1f}")


def _usual_prompt(drawn: Draw, others: Sequence[Example]) -> dict[str, tuple[float, float]]:
    """Return the accuracy on the rows that a search asks, and on others, by calibration."""
    strategy: Any = build("tuned-prompt", seed=0)
    search = strategy._search(drawn.task, drawn.pool)
    usual = ("", strategy.wording, False)
    asked = search.begin(lambda setting: (search.prompter(*setting[1:]), ()), usual)
    held = asked.measure(usual).scores
    truth = np.array([drawn.task.labels.index(e.target) for e in others])
    scored = _scored_once(asked.finished(Chosen(setting=usual)), others)
    found = {}
    for how, scores in held.items():
        prompter = asked.finished(Chosen(setting=usual, calibration=how))
        right = prompter.calibration(scored).argmax(axis=1) == truth
        found[how] = float(scores.mean()), float(right.mean())
    return found


_SCORED: dict[tuple[str, ...], Floats] = {}


def _scored_once(prompter: Any, rows: Sequence[Example]) -> Floats:
    """Return log-probabilities of labels, which without examples do not depend on the pool."""
    ids = tuple(e.id for e in rows)
    if ids not in _SCORED:
        _SCORED[ids] = prompter.score([e.item() for e in rows]).logprobs
    return _SCORED[ids]


def fine_tuning(options: argparse.Namespace, params: Mapping[str, Mapping[str, Any]]) -> None:
    """Compare the ways to fine-tune with one another and with the probe."""
    for name in options.sets:
        rows = read(options.folder / name)
        for size in options.rows:
            print(f"{name}, {_rows(size)}")
            right = table(rows, size, options.candidates, options, params)
            for other in options.candidates[1:]:
                difference(right, options.candidates[0], other)


def _rows(size: int | str) -> str:
    return size if isinstance(size, str) else f"{size} rows"


# By part: what it runs, its sets, pools and candidates.
PARTS: Mapping[str, tuple[Any, tuple[str, ...], tuple[int | str, ...], tuple[str, ...]]] = {
    "cheap": (cheap, ("trec6", "fin_phrasebank", "tweet_emotion"), (A_LABEL, 400), ()),
    "optimism": (
        optimism,
        ("trec6", "fin_phrasebank"),
        (100, 400),
        tuple(name for name, _ in CHEAP),
    ),
    "prompting": (
        prompting,
        ("trec6",),
        (200,),
        ("tuned-prompt", "prompt"),
    ),
    "prompting-optimism": (optimism, ("trec6",), (200,), ("tuned-prompt",)),
    "prompting-rows": (prompting_rows, ("trec6",), (200,), ()),
    "fine-tuning": (fine_tuning, ("trec6",), (A_LABEL, 500), ("setfit", "lora")),
    "sets": (
        fine_tuning,
        ("nlupp_banking",),
        (100, 500),
        ("setfit", "full-fine-tuning", "lora", "probe"),
    ),
    "search": (fine_tuning, ("trec6",), (400,), ("tuned-lora", "lora")),
}


def main() -> None:
    """Run a part."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--part", choices=list(PARTS), required=True)
    parser.add_argument("--sets", nargs="+")
    parser.add_argument("--rows", nargs="+", help="'label' for eight rows a label, or numbers")
    parser.add_argument("--candidates", nargs="+")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--replays", type=int, default=20)
    parser.add_argument("--test", type=int, default=150)
    parser.add_argument("--cpu-minutes", type=float, default=8)
    parser.add_argument("--set", nargs="*", default=[])
    options = parser.parse_args()
    run, sets, sizes, candidates = PARTS[options.part]
    options.sets, options.candidates = options.sets or sets, options.candidates or candidates
    given = [A_LABEL if r == "label" else int(r) for r in options.rows or ()]
    options.rows = given or sizes
    params: dict[str, dict[str, Any]] = defaultdict(dict)
    if options.part in ("search", "sets"):
        for name in options.candidates:
            if "base" in hyperparameters(name):
                params[name]["base"] = DEFAULT_ENCODER
    for text in options.set:
        key, value = text.split("=", 1)
        name, setting = key.split(".", 1)
        params[name][setting] = ast.literal_eval(value)
    print(f"{options.part}; {machine(cores())}")
    begun = process_time()
    run(options, params)
    print(f"{process_time() - begun:.0f} processor-seconds")


if __name__ == "__main__":
    main()
