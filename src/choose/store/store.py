"""A study on disk: its data, its grid, its trials, its looks and its decision.

`trial.json` is written after the answers, so its presence means that the trial is complete. A trial
with damaged files is repeated by the next run; `Store.damage` names the files.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl
import tomli_w
from filelock import FileLock, Timeout

from choose.errors import StoreError
from choose.files import (
    check_regular,
    digest,
    is_temporary,
    read_regular,
    read_text,
    remove,
    remove_temporary_files,
    write_json,
    write_table,
    write_text,
)
from choose.formatting import plural
from choose.schema.plan import LeftOut
from choose.store.destination import MARK, STUDY, is_store
from choose.store.tables import (
    DOCUMENTS,
    UNREADABLE,
    check_study,
    corpus_from,
    damaged_files,
    dataset_from,
    dataset_tables,
    documents_table,
    reading,
)
from choose.store.trial_folder import SCORES, read_run, with_scores, write_run
from choose.tasks.answering import corpus_of, with_corpus
from choose.tasks.scoring import scored
from choose.types import Dataset, Run, Scenario, Trial

# The HTML report, and what was planned but not measured.
PAGE, LEFT_OUT = "report.html", "left_out.json"

# Held by the command that runs the study.
LOCK = ".lock"

_FOREIGN = (
    "{} holds files that are not a study. Name an empty or new folder with --out, such as "
    "--out .choose/NAME."
)

_NAME_IT = "Name the folder that choose compare wrote (its --out)"


class Store:
    """The folder of one study.

    Attributes:
        path: the folder.
        damage: file, relative to `path` -> why it could not be read; of files that the report and
            the next run ignore.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damage: dict[str, str] = {}
        self._intact: set[str] = set()

    @classmethod
    def create(cls, path: Path) -> Store:
        """Open a folder for writing, creating it if needed; its mark is written first.

        Raises:
            StoreError: if it cannot be written, or holds something that is not a study.
        """
        try:
            path.mkdir(parents=True, exist_ok=True)
            cls.check(path)
        except OSError as error:
            raise StoreError(
                f"Cannot use {str(path)!r} as a store: {error.strerror}. "
                "Name a folder that can be written with --out."
            ) from error
        write_text(path / MARK, "The folder of a study by choose. It alone writes here.\n")
        return cls(path)

    @contextmanager
    def held(self) -> Iterator[Store]:
        """Hold the study while it runs; the system lets go of it however the command ends.

        Raises:
            StoreError: if another command runs it.
        """
        lock = FileLock(self.path / LOCK)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise StoreError(
                f"Another choose command is running the study in {str(self.path)!r}. Wait until it "
                "has ended, or name another folder with --out."
            ) from None
        try:
            yield self
        finally:
            lock.release()

    @classmethod
    def check(cls, path: Path) -> None:
        """Check that `create` would accept the content of a folder, without writing.

        Raises:
            StoreError: if it holds something that is not a study.
        """
        if not path.is_dir():
            return
        if is_store(path):
            return
        # A process killed before it wrote the mark leaves a temporary file.
        if not all(map(is_temporary, path.iterdir())):
            raise StoreError(_FOREIGN.format(repr(str(path))))

    @classmethod
    def open(cls, path: Path) -> Store:
        """Open a finished or interrupted study for reading.

        Raises:
            StoreError: if it is no study, or stopped before its settings were written.
        """
        if not (path / STUDY).exists() or not is_store(path):
            why = f"is not a study of choose. {_NAME_IT}"
            if is_store(path):
                why = f"holds no {STUDY}. Run choose compare again with the same data and --out"
            raise StoreError(f"{str(path)!r} {why}.")
        return cls(path)

    def begin(self, study: Mapping[str, Any], dataset: Dataset) -> None:
        """Write the study with its rule, and the data, before the run."""
        settings = tomli_w.dumps(study)
        for folder in (self.path, *self.path.glob("trials/*")):
            remove_temporary_files(folder)
        rows, facts = dataset_tables(dataset)
        write_table(self.path / "data.parquet", rows)
        if (corpus := corpus_of(dataset.task)) is None:
            remove(self.path / DOCUMENTS)
        else:
            write_table(self.path / DOCUMENTS, documents_table(corpus))
        write_json(self.path / "data.json", facts)
        write_text(self.path / STUDY, settings)
        (self.path / LEFT_OUT).unlink(missing_ok=True)  # written again as the run ends
        self.__dict__.pop("dataset", None)

    def plan(self, trials: Iterable[Trial], candidates: Iterable[Mapping[str, Any]]) -> None:
        """Write the grid: the candidates and their trials."""
        grid = {"candidates": list(candidates), "trials": [asdict(trial) for trial in trials]}
        write_json(self.path / "grid.json", grid)

    def add(self, run: Run, traceback: str | None = None) -> bool:
        """Write a run over an earlier attempt, and return whether it was written.

        A failed attempt, or one with fewer clean rows, does not replace one that got further. Views
        of an earlier attempt stay.
        """
        before = self.get(run.trial)
        if before is not None and _reached(run) < _reached(before):
            return False
        if before is not None and run.error is None and before.error is None:
            run = replace(
                run,
                answers={**before.answers, **run.answers},
                asked={**before.asked, **run.asked},
                scores={**before.scores, **run.scores},
                reread_seconds=run.reread_seconds or before.reread_seconds,
            )
        dataset = self._readable_dataset()
        write_run(self.path / "trials" / run.trial.key, run, dataset, traceback)
        own = f"trials/{run.trial.key}/"
        self.damage = {file: why for file, why in self.damage.items() if not file.startswith(own)}
        if dataset is not None:
            scored(run, dataset)  # raises where a metric failed, now that the answers are kept
        return True

    def get(self, trial: Trial) -> Run | None:
        """Return the run of a trial, failed or not; None if it has not been run or is damaged."""
        folder = self.path / "trials" / trial.key
        if not (folder / "trial.json").exists():
            return None
        dataset = self._readable_dataset()
        run = read_run(folder, trial, dataset, self._note)
        if run is None or dataset is None:
            return run
        self._intact.add(trial.key)
        return with_scores(folder, run, dataset)

    def _readable_dataset(self) -> Dataset | None:
        """Return the dataset, or None where it is damaged: the next run writes it anew."""
        try:
            return self.dataset
        except StoreError:
            return None

    def done(self, trial: Trial, views: Iterable[str], repeats: int = 1) -> bool:
        """Return whether a trial succeeded and answered all its rows and these views."""
        file = self.path / "trials" / trial.key / "trial.json"
        if not file.exists() or (trial.key not in self._intact and self.get(trial) is None):
            return False
        facts = json.loads(read_text(file))
        if facts["error"] or facts.get("unasked"):
            return False
        wanted = [(view, 0) for view in views] + [("clean", r) for r in range(1, repeats)]
        answered = {(view, repeat) for view, repeat in facts["views"]}
        return answered.issuperset(wanted)

    def _note(self, file: Path, error: BaseException) -> None:
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        self.damage[file.relative_to(self.path).as_posix()] = reason

    @cached_property
    def dataset(self) -> Dataset:
        """The labelled set as divided when the study began."""
        file = self.path / "data.json"
        with reading(file):
            facts = json.loads(read_text(file))
        with reading(self.path / "data.parquet"):
            check_regular(self.path / "data.parquet")
            table = pl.read_parquet(self.path / "data.parquet", glob=False)
        with reading(file):
            return self._with_documents(dataset_from(table, facts))

    def _with_documents(self, dataset: Dataset) -> Dataset:
        """Attach the documents of a task that has some; what cannot be read of them is damage."""
        file, digest = self.path / DOCUMENTS, dataset.task.facts().get("documents")
        if not digest:
            return dataset
        try:
            check_regular(file)
            corpus = corpus_from(pl.read_parquet(file, glob=False), digest)
        except UNREADABLE as error:
            self._note(file, error)
            return dataset
        return replace(dataset, task=with_corpus(dataset.task, corpus))

    @property
    def writable(self) -> bool:
        """Whether this user may write here; a study of others can be read all the same."""
        return os.access(self.path, os.W_OK)

    @property
    def fingerprint(self) -> str | None:
        """The fingerprint of the rows; None where it cannot be read."""
        try:
            return str(json.loads(read_text(self.path / "data.json"))["fingerprint"])
        except UNREADABLE:
            return None

    @property
    def study(self) -> dict[str, Any]:
        """The study as resolved, with the rule and its version."""
        with reading(self.path / STUDY):
            study = tomllib.loads(read_text(self.path / STUDY))
            check_study(study)
            return study

    def grid(self) -> tuple[list[dict[str, Any]], list[Trial]]:
        """Return the candidates and the trials of the grid, in the order they were planned."""
        if not (self.path / "grid.json").exists():
            raise StoreError(
                f"{str(self.path)!r} stopped before its trials were planned. "
                "Run choose compare again with the same --out."
            )
        with reading(self.path / "grid.json"):
            grid = json.loads(read_text(self.path / "grid.json"))
            trials = [Trial(**{**t, "scenario": Scenario(**t["scenario"])}) for t in grid["trials"]]
            for trial in trials:
                hash((trial.candidate, trial.variant, trial.scenario, trial.draw, trial.key))
            return [
                {**candidate, "name": candidate["name"]} for candidate in grid["candidates"]
            ], trials

    def state(self) -> str:
        """Identify everything that a verdict depends on, by names, sizes and times of files.

        Scores are computed from the answers; how is part of the task.
        """
        named = [self.path / n for n in (STUDY, "grid.json", "data.json", LEFT_OUT)]
        answers = (f for f in self.path.glob("trials/*/[!.]*") if not f.name.endswith(SCORES))
        stats = [
            (str(f.relative_to(self.path)), f.stat().st_size, f.stat().st_mtime_ns)
            for f in (*named, *sorted(answers))
            if f.exists()
        ]
        return digest(stats)

    def look(self, rule: str) -> int:
        """Record a look at the test rows and return the number of looks.

        The same grid judged again for the same goal and costs, after an interruption for example,
        is the same look. Changing the margin after the outcome is another look.
        """
        trials, study = self.grid()[1], self.study
        ends = tomli_w.dumps(
            {part: study.get(part, {}) for part in ("goal", "costs", "constraints")}
        )
        grid = digest([sorted({trial.key for trial in trials}), ends])
        when = datetime.now(UTC).isoformat(timespec="seconds")
        looks = {look["grid"] for look in self.looks()}
        if self.writable:
            self.add_looks([{"when": when, "rule": rule, "grid": grid}])
        return len(looks | {grid})

    def add_looks(self, more: Sequence[Mapping[str, str]]) -> None:
        """Record looks, each grid and goal once."""
        looks = {look["grid"]: look for look in self.looks()}
        if any(look["grid"] not in looks for look in more):
            lines = map(json.dumps, ({look["grid"]: look for look in more} | looks).values())
            write_text(self.path / "looks.jsonl", "\n".join(lines) + "\n")

    def looks(self) -> list[dict[str, str]]:
        """Return all looks at these test rows: one for each grid and goal, in order."""
        path = self.path / "looks.jsonl"
        looks: list[dict[str, str]] = []
        try:
            read = map(json.loads, read_regular(path).splitlines() if path.exists() else [])
            looks.extend({key: str(look[key]) for key in ("when", "rule", "grid")} for look in read)
        except UNREADABLE as error:
            self._note(path, error)
        return looks

    def leave_out(self, what: Iterable[LeftOut]) -> None:
        """Record what was planned but not measured, as a run ends."""
        write_json(self.path / LEFT_OUT, [one.model_dump(exclude_defaults=True) for one in what])

    def left_out(self) -> list[LeftOut]:
        """Return what was planned but not measured."""
        path = self.path / LEFT_OUT
        try:
            if (so_far := self.broken_off()) is not None:
                return [LeftOut(text=so_far), *damaged_files(self.damage)]
            known = map(LeftOut.model_validate, json.loads(read_text(path)))
            return [*known, *damaged_files(self.damage)]
        except UNREADABLE as error:
            self._note(path, error)
            return list(damaged_files(self.damage))

    def broken_off(self) -> str | None:
        """Say how far a run got that never reached its end; None for a run that did."""
        if (self.path / LEFT_OUT).exists():
            return None
        trials = {trial.key for trial in self.grid()[1]}
        done = sum((self.path / "trials" / key / "trial.json").exists() for key in trials)
        planned = plural(len(trials), "planned trial")
        so_far = f"The run has not ended, after {done:,} of {planned}"  # another process may run it
        return f"{so_far}; if it was stopped, the same command continues it"

    def decide(self, state: str, decision: Mapping[str, Any]) -> None:
        """Write the decision of a state of the store; a report of an earlier one goes first."""
        remove(self.path / PAGE)
        write_json(self.path / "decision.json", decision)
        text = read_text(self.path / "decision.json")
        write_text(self.path / "decision.state", digest([state, text]))

    def decided(self, state: str) -> str | None:
        """Return the decision's JSON text as `decide` wrote it for this state; else None."""
        try:
            text = read_text(self.path / "decision.json")
            known = read_text(self.path / "decision.state") == digest([state, text])
            return text if known else None
        except (OSError, ValueError):  # judged again
            return None


def _reached(run: Run) -> tuple[bool, int]:
    """Return whether a run succeeded, and how many clean rows it answered."""
    return run.error is None, len(run.asked.get(("clean", 0), ()))
