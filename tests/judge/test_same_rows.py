"""Whether figures that are beside each other in a sentence or a column are of the same rows.

The record names the rows of its figures (`Estimate.row_set`). A sentence is read for shares and
differences, each is looked up among the figures of the candidates that the sentence names, and no
set of rows may be left that explains them all. A column of a table is explained by a field of the
record that has the value shown for every candidate; its rows must be all test rows, unless the
table or the line below it marks them as in "121 of 602".
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np
import pytest

from choose.formatting import MINUS
from choose.judge.evidence import Evidence
from choose.judge.goal import Rule
from choose.judge.verdict import judge
from choose.report.blocks import Table, decision_blocks, learning_curve, rows_noted
from choose.schema.base import Record
from choose.schema.decision import Decision
from choose.schema.plan import LeftOut
from choose.stats import Estimate
from choose.types import Answers, Run, Scenario
from simulation.setting import SimulatedCandidate
from support.simulated_studies import LABELS, POOL, candidate, majority, study

# Shares and differences in a sentence; bounds occur in parentheses beside what they bound. A
# paired difference that states the rows that both sides share needs no rows of its neighbours.
NUMBER = re.compile(rf"[+{MINUS}-]?(\d[\d,]*(?:\.\d+)?)")
MARK = re.compile(r"(\d[\d,]*) of (\d[\d,]*)")

# Fields whose values tell entries of a list apart.
KEYS = ("view", "kind", "rate", "labels", "setting", "cut", "examples", "label", "name")
OWNERS = ("candidate", "a", "b", "cheap", "strong", "chosen", "best", "supervised")


class Figure(NamedTuple):
    """A figure of the record: where it occurs, whose it is, and of which rows."""

    path: str
    owners: frozenset[str]
    value: float
    row_set: str


def figures(decision: Decision) -> list[Figure]:
    """Return every figure of a decision whose rows are known."""
    names = {card.candidate for card in decision.scorecards}
    pick = decision.verdict.recommended or decision.verdict.use_meanwhile
    found: list[Figure] = []
    for card in decision.scorecards:
        own = card.difference
        found += _figures(own, "scorecard.difference", {card.candidate, pick}, names)
    cards = (card.model_copy(update={"difference": None}) for card in decision.scorecards)
    parts = (*cards, *decision.pairs, decision.overlap)
    for part in parts:
        found += _figures(part, type(part).__name__.lower(), set(), names)
    return found


def _figures(node: Any, path: str, owners: set[str], names: set[str]) -> Iterator[Figure]:
    if isinstance(node, Estimate):
        if node.row_set:
            for end in ("value", "low", "high"):
                if (value := getattr(node, end)) is not None:
                    at = path if end == "value" else f"{path}.{end}"
                    yield Figure(at, frozenset(owners), value, node.row_set)
    elif isinstance(node, Record):
        own = {str(getattr(node, key, None)) for key in OWNERS} & names
        own = own if getattr(node, "candidate", None) in names else own | owners
        change = getattr(node, "change", None)
        rows = getattr(node, "row_set", None) or (change.row_set if change else None)
        for name in type(node).model_fields:
            value = getattr(node, name)
            if isinstance(value, float) and rows:
                yield Figure(f"{path}.{name}", frozenset(own), value, rows)
            elif isinstance(value, Record | Estimate | tuple):
                yield from _figures(value, f"{path}.{name}", own, names)
    elif isinstance(node, tuple):
        for entry in node:
            keys = [str(getattr(entry, key)) for key in KEYS if hasattr(entry, key)]
            yield from _figures(entry, f"{path}[{'/'.join(keys)}]", owners, names)


def _reads(value: float, figure: str) -> bool:
    """Return whether a share is written so in percent or points, whatever its sign."""
    text = figure.replace(",", "")
    half = 0.5 * 10 ** -len(text.partition(".")[2]) + 1e-9
    return abs(100 * abs(value) - float(text)) <= half


def _says(text: str, name: str) -> bool:
    return re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text) is not None


def unlike_columns(decision: Decision) -> list[str]:
    """Return the columns of a decision's reports with figures of unlike rows, unmarked."""
    known, found = figures(decision), []
    for block in decision_blocks(decision):
        if isinstance(block, Table):
            found += unlike_in_table(decision, [block.heads, *block.rows], known)
    return found


def unlike_in_table(decision, table, known=None):
    """Return the columns of one table (rows of cells) with figures of unlike rows, unmarked.

    `known` are the figures of the decision; they are looked up unless given.
    """
    known, found = known or figures(decision), []
    names = [card.candidate for card in decision.scorecards]
    lines = [cells for cells in table if not any(_says(cells[0], n) for n in names if cells)]
    whole = (decision.dataset.test_rows, [cell for cells in lines for cell in cells])
    for rows in _by_candidate(decision, table):
        columns = range(1, max(map(len, rows.values())))
        faults = [(fault, c) for c in columns if (fault := _fault(c, rows, known, *whole))]
        found += [f"{fault} in column {column} of {rows}" for fault, column in faults]
    return found


def _by_candidate(decision, table):
    """Return the rows by candidate; where one has several rows, by those and their next cells."""
    names = sorted({c.candidate for c in decision.scorecards}, key=len, reverse=True)
    rows = [(n, cells) for cells in table if cells for n in names if _says(cells[0], n)]
    first = {id(cells): name for name, cells in reversed(rows)}
    kept = [(first[id(cells)], cells) for cells in table if id(cells) in first]
    for keys in range(3):
        groups: dict[tuple[str, ...], dict[str, Any]] = {}
        for name, cells in kept:
            groups.setdefault(tuple(cells[1 : 1 + keys]), {}).setdefault(name, cells)
        if sum(map(len, groups.values())) == len(kept):
            break
    return list(groups.values())


def _fault(column, rows, known, total, notes):
    shown = {
        who: match[1]
        for who, cells in rows.items()
        if column < len(cells) and (match := NUMBER.match(cells[column].strip()))
    }
    if len(shown) < 2:
        return ""
    by_path: dict[str, dict[str, str]] = {}
    for path, owners, value, row_set in known:
        for who in owners & set(shown):
            if _reads(value, shown[who]) and (
                len(owners) == 1 or path.startswith("scorecard.difference")
            ):
                by_path.setdefault(path, {})[who] = row_set
    faults = []
    for path, sets in by_path.items():
        if set(sets) != set(shown):
            continue
        strange = [
            w
            for w, s in sets.items()
            if int(s.partition(":")[0]) < total and not _marked([*rows[w], *notes], s)
        ]
        faults.append(f"{path} of {strange}" if strange else "")
    # Where one field explains the column with common rows, that is the one that it shows.
    return "" if not faults or "" in faults else faults[0]


def _marked(cells: list[str], row_set: str) -> bool:
    count = row_set.partition(":")[0]
    marks = [mark for cell in cells for mark in MARK.findall(cell)]
    return any(few.replace(",", "") == count for few, _ in marks)


ROWS, FOLDS = 600, 5


def players() -> list[SimulatedCandidate]:
    """Return candidates of every family, two of them classifiers that cannot be told apart."""
    noisy = {0.1: 0.77, 0.2: 0.73}
    at = {50: 0.6, 100: 0.7, 200: 0.76}
    lm = {"model": "SmolLM2-135M"}
    return [
        majority(),
        candidate("tfidf", "baseline", 0.79, 0.5, at=at, noisy=noisy),
        candidate("probe", "baseline", 0.81, 2.0, at=at, noisy=noisy),
        candidate("prompt", "prompting", 0.5, 30.0, **lm),
        candidate("retrieval", "retrieval", 0.72, 60.0, **lm),
        candidate("lora", "fine-tuning", 0.8, 200.0, seeds=1, **lm),
    ]


def changed_answers(run: Run, wrong: float, rows: int | None = None) -> Answers:
    """Return a run's answers with part of them made wrong, to its first rows."""
    rng = np.random.default_rng(crc32(f"{run.trial.candidate} {run.trial.fold} {wrong}".encode()))
    outputs = [
        LABELS[(LABELS.index(str(said)) + 1) % len(LABELS)] if rng.random() < wrong else said
        for said in run.answers["clean", 0].outputs[:rows]
    ]
    return Answers(outputs=tuple(outputs), status=("ok",) * len(outputs))


def uneven(world: Evidence) -> Evidence:
    """Let a budget end: models answered one fold or three, noise, views and settings some."""
    done = {"prompt": 1, "retrieval": 1, "lora": 3}
    noise_done = {("tfidf", 0.1): 3, ("probe", 0.2): 4, ("majority", 0.1): 2}
    runs: list[Run] = []
    for run in world.runs:
        trial = run.trial
        where = trial.candidate, trial.scenario.rate
        if trial.fold >= done.get(trial.candidate, FOLDS):
            continue
        if trial.scenario.kind == "noise" and trial.fold >= noise_done.get(where, FOLDS):
            continue
        runs += _with_conditions(run)
    return replace(world, runs=tuple(runs))


def _with_conditions(run: Run) -> list[Run]:
    trial, cheap = run.trial, run.trial.candidate in ("tfidf", "probe")
    main = trial.scenario.kind == "standard" and trial.train_size == POOL
    if not cheap or not main:
        return [run]
    made = [run]
    if trial.fold < 4:
        asked = {**run.asked, ("typos", 0): run.asked["clean", 0][:40]}
        typos = {("typos", 0): changed_answers(run, 0.06, 40)}
        made = [replace(run, asked=asked, answers={**run.answers, **typos})]
    # Settings were measured on other folds: of tfidf on three, of probe on the first.
    if trial.fold < (3 if trial.candidate == "tfidf" else 1):
        for name, wrong in (("regularised", 0.02), ("free", 0.1)):
            answers = {("clean", 0): changed_answers(run, wrong)}
            made.append(replace(run, trial=replace(trial, variant=name), answers=answers))
    more = replace(trial, scenario=Scenario(kind="noise", rate=0.3))
    if trial.fold < 2:
        made.append(replace(run, trial=more, answers={("clean", 0): changed_answers(run, 0.15)}))
    return made


@cache
def decided(kind: str, seed: int = 0) -> Decision:
    """Return a decision with uneven rows; `kind` names what is different about it."""
    world = uneven(study(players(), ROWS, seed, folds=FOLDS))
    rule = {
        "balanced": Rule(metric="balanced"),
        "target": Rule(target=0.85),
        "margin": Rule(margin=0.1),
    }.get(kind, Rule())
    if kind == "even":
        world = study(players(), ROWS, seed, folds=FOLDS)
    if kind == "held-out":
        world = study(players(), ROWS, seed)
    return judge(world, rule, left_out=(LeftOut(candidate="lora", reason="out-of-time"),))


KINDS = ("uneven", "balanced", "target", "margin", "even", "held-out")


@pytest.mark.parametrize("kind", KINDS)
def test_no_column_sets_figures_of_unlike_rows_below_each_other(kind: str) -> None:
    assert unlike_columns(decided(kind)) == []


def test_rows_won_are_those_of_the_fits_that_are_compared() -> None:
    at = {100: 0.7}
    slow = candidate("lora", "fine-tuning", 0.8, 200.0, seeds=1, at=at)
    world = study([majority(), candidate("tfidf", "baseline", 0.79, 0.5, at=at), slow], ROWS, 0)
    part = [r for r in world.runs if r.trial.candidate != "lora" or r.trial.train_size < POOL]
    found = judge(replace(world, runs=tuple(part)), Rule())
    (lora,) = (one for one in found.scorecards if one.candidate == "lora")
    assert lora.difference
    assert lora.won
    assert lora.lost
    assert (lora.won - lora.lost) / lora.common == pytest.approx(lora.difference.value)


def test_a_column_of_unlike_rows_is_found_unless_it_is_marked() -> None:
    found = decided("uneven")
    cards = {c.candidate: c for c in found.scorecards}
    names = ("probe", "lora", "tfidf")
    table = [["", "% right"], *[[n, f"{100 * cards[n].accuracy.value:.1f}"] for n in names]]
    (fault,) = unlike_in_table(found, table)
    assert fault.startswith("scorecard.accuracy of ['lora'] in column 1")
    marked = [row[:] for row in table]
    marked[2][0] = f"lora ({cards['lora'].rows} of {ROWS})"
    assert unlike_in_table(found, marked) == []
    assert unlike_in_table(found, [row for row in table if row[0] != "lora"]) == []
    other = [row[:] for row in table]
    other[2][0] = f"lora (121 of {ROWS})"
    assert unlike_in_table(found, other), "a mark of other rows is no mark"


def test_charts_of_a_part_of_the_rows_say_so() -> None:
    found = decided("uneven")
    fold = tuple(
        card.model_copy(update={"curve": tuple(replace(p, row_set="120:a") for p in card.curve)})
        for card in found.scorecards
    )
    chart = next(learning_curve(found.model_copy(update={"scorecards": fold})))
    assert f"On 120 of {ROWS} test rows." in chart.caption
    whole = decided("even")
    noted = rows_noted(whole, [f"{ROWS}:a", "240:b", "120:c", None])
    assert noted == f"On 120 to {ROWS} of {ROWS} test rows."
    assert rows_noted(whole, [f"{ROWS}:a", None]) == ""


def test_every_measure_of_an_uneven_decision_knows_its_rows() -> None:
    """Were figures without rows, the walk over sentences and tables would see nothing."""
    known = figures(decided("uneven"))
    paths = {figure.path for figure in known}
    assert {
        "scorecard.accuracy",
        "scorecard.noise[0.1].accuracy",
        "scorecard.noise[0.3].loss",
        "scorecard.stability.views[typos].change",
        "scorecard.curve[100]",
        "scorecard.settings[free].change",
        "pair.difference",
        "scorecard.difference",
    } <= paths
    tfidf = {f.row_set.split(":")[0] for f in known if f.owners == {"tfidf"}}
    assert len(tfidf) >= 4, "all rows, noise, typos and settings"
