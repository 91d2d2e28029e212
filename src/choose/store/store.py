"""A study on disk: its data, its grid, its trials, its looks and its decision.

`trial.json` is written after the answers, so its presence means that the trial is complete. A trial
with damaged files is repeated by the next run; `Store.damage` names the files.
"""

import json
import os
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, fields, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Self, get_args, get_type_hints

import numpy as np
import polars as pl
import tomli_w
from filelock import FileLock, Timeout
from pydantic import TypeAdapter

from choose.corpus import CONDITIONS, Corpus, Document, Span, is_drill
from choose.errors import StoreError, StudyError
from choose.files import (
    check_regular,
    digest,
    is_temporary,
    read_text,
    remove,
    remove_temporary_files,
    temporary_name,
    write_json,
    write_table,
    write_text,
)
from choose.formatting import plural
from choose.outside_values import check_text
from choose.schema.plan import LeftOut, Searched
from choose.tasks.answering import corpus_of, with_corpus
from choose.tasks.kinds import read_task
from choose.tasks.scoring import scored, scoring_digest
from choose.types import Answers, Dataset, Example, Floats, Fold, Run, Scenario, Status, Trial

# Written first into a new store; the study follows.
MARK, STUDY = ".choose-study", "study.toml"

Sources = Iterable[str | Path | None]


def is_store(folder: Path) -> bool:
    try:
        return (folder / MARK).is_file()
    except OSError:
        return False


# How what is known of answers is stored, by name, if it was measured.
_MEASURED: Mapping[str, Any] = {
    "raw": pl.String,
    "scores": pl.List(pl.Float64),
    "evidence": pl.List(pl.String),
    **dict.fromkeys(("tokens_in", "tokens_cached", "tokens_out"), pl.Int64),
    **dict.fromkeys(("confidence", "latency"), pl.Float64),
}

# The facts of a run in its `trial.json`, with what reads them.
_TYPES = get_type_hints(Run)
RUN_FACTS: Mapping[str, TypeAdapter[Any]] = {
    one.name: TypeAdapter(_TYPES[one.name])
    for one in fields(Run)
    if one.name not in ("trial", "answers", "asked", "scores")
}

# What ends the name of a file with the scores of a view.
SCORES = ".scores.parquet"

# The column that names the rule and the targets with which the scores were computed.
SCORING = "scoring"


def read_table(file: Path) -> pl.DataFrame:
    """Read a Parquet file; a pipe or device is refused, as it would be waited for."""
    check_regular(file)
    return pl.read_parquet(file, glob=False)


def write_run(folder: Path, run: Run, dataset: Dataset | None, traceback: str | None) -> None:
    """Write a run; `trial.json` comes last, so that its presence means that all is there."""
    for (view, repeat), answers in run.answers.items():
        table = answers_table(answers, run.asked[view, repeat])
        write_table(folder / f"{view}-{repeat}.parquet", table)
    if dataset is not None:
        write_scores(folder, run, dataset)
    facts = {name: getattr(run, name) for name in RUN_FACTS}
    views = [list(view) for view in run.answers]
    record = {"trial": asdict(run.trial), "views": views, **facts, "traceback": traceback}
    write_json(folder / "trial.json", record)


def read_run(
    folder: Path,
    trial: Trial,
    dataset: Dataset | None,
    note: Callable[[Path, BaseException], None],
) -> Run | None:
    """Return a run without its scores; None, with a note on the file, where one is damaged."""
    file = folder / "trial.json"
    answers, ids = {}, {}
    try:
        facts = json.loads(read_text(file))
        known = {name: read.validate_python(facts[name]) for name, read in RUN_FACTS.items()}
        for view, repeat in facts["views"]:
            file = folder / f"{view}-{repeat}.parquet"
            answers[view, repeat], ids[view, repeat] = answers_from(read_table(file))
            if dataset is not None:
                check_answers(answers[view, repeat], ids[view, repeat], dataset, view)
        file = folder / "trial.json"
        run = Run(trial=trial, answers=answers, asked=ids, **known)
        if run.error is None and ("clean", 0) not in answers:
            raise ValueError("it names no answers")
    except UNREADABLE as error:
        note(file, error)
        return None
    return run


def write_scores(folder: Path, run: Run, dataset: Dataset) -> None:
    for (view, repeat), scores in run.scores.items():
        columns = {name: pl.Series(v.tolist(), dtype=pl.Float64) for name, v in scores.items()}
        scoring = pl.lit(scoring_digest(dataset, run.asked[view, repeat])).alias(SCORING)
        table = pl.DataFrame(columns).with_columns(scoring)
        write_table(folder / f"{view}-{repeat}{SCORES}", table)


def with_scores(folder: Path, run: Run, dataset: Dataset) -> Run:
    """Return a run with its stored scores, and its answers scored where these are missing.

    Scores by another rule or against other targets count as missing. Labels need no scores.
    """
    if dataset.task.labels:
        return run
    known = {
        (view, repeat): found
        for (view, repeat), ids in run.asked.items()
        if (found := _read(folder / f"{view}-{repeat}{SCORES}", dataset, ids)) is not None
    }
    complete = scored(replace(run, scores=known), dataset)
    if complete.scores.keys() != known.keys():
        with suppress(StoreError):  # a store that can only be read
            write_scores(folder, complete, dataset)
    return complete


def _read(file: Path, dataset: Dataset, ids: tuple[str, ...]) -> dict[str, Floats] | None:
    try:
        table = read_table(file)
        if len(table) != len(ids) or not {*table[SCORING]} <= {scoring_digest(dataset, ids)}:
            return None
        scores = {name: table[name].to_numpy() for name in table.columns if name != SCORING}
        return scores if all(((v >= 0) & (v <= 1)).all() for v in scores.values()) else None
    except UNREADABLE:
        return None


def answers_table(answers: Answers, ids: Sequence[str]) -> pl.DataFrame:
    """Return a table with one row for each item; columns that were not measured are absent."""
    known = {name: getattr(answers, name) for name in ("outputs", "status", *_MEASURED)}
    columns = {
        name: values.tolist()
        if isinstance(values, np.ndarray)
        else [list(one) if isinstance(one, tuple) else one for one in values]
        for name, values in {"id": ids, **known}.items()
        if values is not None
    }
    return pl.DataFrame(columns, schema={n: _MEASURED.get(n, pl.String) for n in columns})


def answers_from(table: pl.DataFrame) -> tuple[Answers, tuple[str, ...]]:
    facts: dict[str, Any] = {}
    for name in table.columns:
        column, kind = table[name], _MEASURED.get(name, pl.String)
        if name == "scores":
            facts[name] = np.array(column.to_list(), dtype=np.float64).reshape(len(column), -1)
        elif kind.is_numeric():
            facts[name] = column.to_numpy()
        else:
            facts[name] = tuple(tuple(v) if isinstance(v, list) else v for v in column.to_list())
    ids = facts.pop("id")
    return Answers(**facts), ids


def check_answers(answers: Answers, ids: Sequence[str], dataset: Dataset, view: str) -> None:
    """Check stored answers against the rows and the labels of a study.

    Raises:
        ValueError: if row ids are missing, repeated or unknown, or an answer is not a label.
    """
    # A fold may hold none of the rows with evidence, or of those whose documents changed.
    if not ids and view not in CONDITIONS and not is_drill(view):
        raise ValueError("it holds no rows")
    if len(set(ids)) < len(ids) or not all(id in dataset.examples for id in ids):
        raise ValueError("it holds rows of another study")
    if any(
        dataset.task.problem_with(output) for output in {*answers.outputs} if output is not None
    ):
        raise ValueError("it holds answers of another study")
    if not {*answers.status} <= set(get_args(Status)):
        raise ValueError("it holds an unknown status")
    width = len(dataset.task.labels)
    if answers.scores is not None and answers.scores.shape != (len(ids), width):
        raise ValueError(f"its scores are not of {width} labels")


# The documents of a task, beside its rows.
DOCUMENTS, DOCUMENT_COLUMNS = "documents.parquet", ("id", "title", "text")

# polars panics on some damaged files; a panic is no Exception.
UNREADABLE = (Exception, pl.exceptions.PanicException)


# What a row holds as it is, by column.
_PLAIN = ("id", "text", "target", "group", "source", "taught", "labelled")


def dataset_tables(dataset: Dataset) -> tuple[pl.DataFrame, dict[str, Any]]:
    """Return the rows (``fold`` is null for rows that are only used for training) and the facts."""
    fold_of = {id: f for f, fold in enumerate(dataset.folds) for id in fold.questions}
    rows = [
        {
            **{name: getattr(e, name) for name in _PLAIN},
            "timestamp": e.timestamp and e.timestamp.isoformat(),
            "fields": _json(dict(e.fields)),
            "accepted": _json(e.accepted),
            "evidence": _json(e.evidence),
            "fold": fold_of.get(e.id),
            "cluster": dataset.clusters.get(e.id),
        }
        for e in dataset.examples.values()
    ]
    types = {**dict.fromkeys(rows[0], pl.String), "fold": pl.Int64, "labelled": pl.Boolean}
    facts = {name: getattr(dataset, name) for name in (*_FACTS, "fingerprint")}
    facts["task"] = dataset.task.facts()
    # The order of a pool decides its prefixes, so it is stored with the division.
    facts["folds"] = [asdict(fold) for fold in dataset.folds]
    return pl.DataFrame(rows, schema=types), facts


# What a dataset holds as it is.
_FACTS = ("name", "division", "findings", "leaked", "teacher")


def _json(value: Any) -> str | None:
    return json.dumps(value, ensure_ascii=False) if value else None


def dataset_from(table: pl.DataFrame, facts: Mapping[str, Any]) -> Dataset:
    """Return the dataset that `dataset_tables` wrote.

    Raises:
        ValueError: if the facts name rows or labels that the table or the task lacks.
    """
    rows = table.rows(named=True)
    examples = {row["id"]: _example(row) for row in rows}
    task = read_task(facts["task"])
    folds = [{part: tuple(ids) for part, ids in fold.items()} for fold in facts["folds"]]
    named = {id for fold in folds for ids in fold.values() for id in ids}
    if not folds or not named <= examples.keys():
        raise ValueError("its folds name rows that data.parquet lacks")
    if any(map(task.problem_with, {target for e in examples.values() for target in e.targets})):
        raise ValueError("data.parquet holds other answers than those of its task")
    return Dataset(
        **{**{name: facts[name] for name in _FACTS}, "findings": tuple(facts["findings"])},
        task=task,
        examples=examples,
        folds=tuple(Fold(**fold) for fold in folds),
        clusters={row["id"]: row["cluster"] for row in rows if row["cluster"]},
    )


def _example(row: Mapping[str, Any]) -> Example:
    return Example(
        **{name: row[name] for name in _PLAIN},
        timestamp=datetime.fromisoformat(row["timestamp"]) if row["timestamp"] else None,
        fields=json.loads(row["fields"] or "{}"),
        accepted=tuple(json.loads(row["accepted"] or "[]")),
        evidence=tuple(Span(*one) for one in json.loads(row["evidence"] or "[]")),
    )


@contextmanager
def reading(file: Path) -> Iterator[None]:
    """Turn any error of a damaged file of a store into one line."""
    try:
        yield
    except StoreError:
        raise
    except UNREADABLE as error:
        if file.is_dir():
            raise StoreError(
                f"{str(file)!r} is a folder. Move it away; then run choose compare again with the "
                "same data and --out: it writes this file anew."
            ) from error
        if isinstance(error, KeyError | TypeError):  # a key is missing, or there is one too many
            raise StoreError(
                f"Another version of choose wrote {str(file)!r}, which this one cannot read. Run "
                "choose compare again with the same data and a new folder (--out)."
            ) from error
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        reason = "it is missing" if isinstance(error, FileNotFoundError) else reason
        raise StoreError(
            f"Cannot read {str(file)!r}: {reason}. Run choose compare again with the same data "
            "and --out: it writes this file anew and repeats no finished trial."
        ) from error


def damaged_files(damage: Mapping[str, str]) -> Iterator[LeftOut]:
    """Name the damaged files (file -> reason), at most five."""
    for file, reason in list(damage.items())[:5]:
        repair = "writes it anew" if file == DOCUMENTS else "repeats its trial"
        yield LeftOut(
            text=f"{file} cannot be read ({reason}); the same command with --out {repair}"
        )
    if len(damage) > 5:
        yield LeftOut(text=f"{len(damage) - 5} more files cannot be read")


# The HTML report, what was planned but not measured, and the looks at the test rows.
PAGE, LEFT_OUT, LOOKS = "report.html", "left_out.json", "looks.json"


class Store:
    """The folder of one study; `damage` says by file why it could not be read, and is ignored."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damage: dict[str, str] = {}

    @classmethod
    def create(cls, path: Path) -> Self:
        """Open a folder for writing, creating it if needed; its mark is written first."""
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
    def held(self) -> Iterator[Self]:
        """Hold the study while it runs; the system lets go of it however the command ends."""
        try:
            lock = FileLock(self.path / ".lock").acquire(timeout=0)
        except Timeout:
            raise StoreError(
                f"Another choose command is running the study in {str(self.path)!r}. Wait until it "
                "has ended, or name another folder with --out."
            ) from None
        with lock:
            yield self

    @classmethod
    def check(cls, path: Path) -> None:
        """Check that `create` would accept the content of a folder, without writing."""
        # A process killed before it wrote the mark leaves a temporary file.
        if path.is_dir() and not is_store(path) and not all(map(is_temporary, path.iterdir())):
            raise StoreError(
                f"{str(path)!r} holds files that are not a study. Name an empty or new folder with "
                "--out, such as --out .choose/NAME."
            )

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open a finished or interrupted study for reading.

        Raises:
            StoreError: if it is no study, or stopped before its settings were written.
        """
        if not (path / STUDY).exists() or not is_store(path):
            why = "is not a study of choose. Name the folder that choose compare wrote (its --out)"
            if is_store(path):
                why = f"holds no {STUDY}. Run choose compare again with the same data and --out"
            raise StoreError(f"{str(path)!r} {why}.")
        return cls(path)

    def begin(self, study: Mapping[str, Any], dataset: Dataset) -> None:
        settings = tomli_w.dumps(study)
        for folder in (self.path, *self.path.glob("trials/*")):
            remove_temporary_files(folder)
        rows, facts = dataset_tables(dataset)
        write_table(self.path / "data.parquet", rows)
        if (corpus := corpus_of(dataset.task)) is None:
            remove(self.path / DOCUMENTS)
        else:
            columns = dict.fromkeys(DOCUMENT_COLUMNS, pl.String)
            documents = [asdict(document) for document in corpus.documents]
            write_table(self.path / DOCUMENTS, pl.DataFrame(documents, columns))
        write_json(self.path / "data.json", facts)
        write_text(self.path / STUDY, settings)
        (self.path / LEFT_OUT).unlink(missing_ok=True)  # written again as the run ends
        self.__dict__.pop("dataset", None)

    def plan(
        self,
        trials: Iterable[Trial],
        candidates: Iterable[Mapping[str, Any]],
        searched: Searched | None = None,
    ) -> None:
        grid = {"candidates": list(candidates), "trials": [asdict(trial) for trial in trials]}
        part = {"searched": asdict(searched)} if searched else {}
        write_json(self.path / "grid.json", grid | part)

    def add(self, run: Run, traceback: str | None = None) -> bool:
        """Write a run over an earlier attempt, and return whether it was written.

        A failed attempt, or one that read or answered fewer rows, does not replace one that got
        further. Views of an earlier attempt stay if time has decided the same in its fit.
        """
        before = self.get(run.trial)
        if before is not None and not run.replaces(before):
            return False
        if before and before.error is None and run.shortened == before.shortened:
            run = replace(
                run,
                answers={**before.answers, **run.answers},
                asked={**before.asked, **run.asked},
                scores={**before.scores, **run.scores},
                reread_seconds=run.reread_seconds or before.reread_seconds,
            )
        elif before and before.error is None:  # what is there is of another fit
            remove(self.path / "trials" / run.trial.key / "trial.json")
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
        return run if run is None or dataset is None else with_scores(folder, run, dataset)

    def _readable_dataset(self) -> Dataset | None:
        try:
            return self.dataset
        except StoreError:
            return None  # the next run writes it anew

    def _note(self, file: Path, error: BaseException) -> None:
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        self.damage[file.relative_to(self.path).as_posix()] = reason

    @cached_property
    def dataset(self) -> Dataset:
        file = self.path / "data.json"
        with reading(file):
            facts = json.loads(read_text(file))
        with reading(self.path / "data.parquet"):
            table = read_table(self.path / "data.parquet")
        with reading(file):
            return self._with_documents(dataset_from(table, facts))

    def _with_documents(self, dataset: Dataset) -> Dataset:
        file, digest = self.path / DOCUMENTS, dataset.task.facts().get("documents")
        if not digest:
            return dataset
        try:
            rows = read_table(file).iter_rows(named=True)
            corpus = Corpus(tuple(Document(**row) for row in rows))
            if corpus.digest != digest:
                raise ValueError("it holds other documents than those of this study")
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
        with reading(self.path / STUDY):
            study = tomllib.loads(read_text(self.path / STUDY))
            if not all(isinstance(study.get(section), dict) for section in ("goal", "grid")):
                raise ValueError("it lacks [goal] or [grid]")
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
            trials = [
                Trial(**{**trial, "scenario": Scenario(**trial["scenario"])})
                for trial in grid["trials"]
            ]
            for trial in trials:
                hash((trial.candidate, trial.variant, trial.scenario, trial.draw, trial.key))
            return [
                {**candidate, "name": candidate["name"]} for candidate in grid["candidates"]
            ], trials

    def searched(self) -> Searched | None:
        """Return the passages that the trials of the grid search, if those are not all."""
        with reading(self.path / "grid.json"):
            found = json.loads(read_text(self.path / "grid.json")).get("searched")
            if found is None:
                return None
            passages, whole = int(found["passages"]), int(found["whole"])
            return Searched(passages=passages, whole=whole, budget=float(found["budget"]))

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
        if self.writable:
            self.add_looks({grid: {"when": when, "rule": rule}})
        return len(self.looks().keys() | {grid})

    def add_looks(self, more: Mapping[str, Mapping[str, str]]) -> None:
        known = self.looks()
        if new := {grid: look for grid, look in more.items() if grid not in known}:
            write_json(self.path / LOOKS, {**known, **new})

    def looks(self) -> dict[str, dict[str, str]]:
        """Return all looks at these test rows by grid and goal, the earliest first."""
        path = self.path / LOOKS
        try:
            found = json.loads(read_text(path)) if path.exists() else {}
            return {grid: {k: str(one[k]) for k in ("when", "rule")} for grid, one in found.items()}
        except UNREADABLE as error:
            self._note(path, error)
            return {}

    def leave_out(self, what: Iterable[LeftOut]) -> None:
        write_json(self.path / LEFT_OUT, [one.model_dump(exclude_defaults=True) for one in what])

    def left_out(self) -> list[LeftOut]:
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


def check_destination(
    path: Path,
    inputs: Sources = (),
    flag: str = "-o",
    stores: Sources = (),
    folder: bool = False,
) -> None:
    """Refuse a file or a folder that may not or cannot be written; `flag` names it in messages.

    `inputs` are files and folders that the command reads, `stores` folders that will be stores.

    Raises:
        StudyError: before anything is run or written.
    """
    name = f"{flag} {check_text(str(path), flag)!r}"
    _check_place(name, path, inputs, stores)
    if folder:
        for source in (Path(source) for source in inputs if source and is_store(path)):
            if source.is_file() and _real(path) in _real(source).parents:
                raise StudyError(
                    f"{name} is a study and holds the input {str(source)!r}, which would be "
                    "overwritten. Copy that file elsewhere, or name another folder."
                )
        place = next(place for place in (_real(path), *_real(path).parents) if place.exists())
    elif path.exists() and not path.is_file():
        what = "a folder" if path.is_dir() else "not a regular file"
        raise StudyError(f"{name} is {what}. Name another file.")
    else:
        place = path.parent
    if not place.is_dir():
        raise StudyError(f"{name} cannot be written: {str(place)!r} is no folder. Name another.")
    probe = temporary_name(place / path.name)
    try:
        probe.open("xb").close()
        probe.unlink()
    except OSError as error:
        reason = error.strerror or error
        raise StudyError(f"{name} cannot be written: {reason}. Name another place.") from error


def _check_place(name: str, path: Path, inputs: Sources, stores: Sources) -> None:
    # Both the location of a link and its target.
    places = {_real(path), _real(path.parent) / path.name}
    above = {parent for place in places for parent in place.parents}
    for source in (source for source in inputs if source):
        if _real(source) in places | above or _same(path, source):
            raise StudyError(
                f"{name} is the input {str(source)!r}, or lies in it, which is never overwritten. "
                "Name another place."
            )
    begun = {_real(store) for store in stores if store}
    for parent in above:
        if parent in begun or is_store(parent):
            raise StudyError(
                f"{name} lies inside the study {str(parent)!r}, whose files choose alone writes. "
                "Name a place outside."
            )


def _same(path: Path, source: str | Path) -> bool:
    try:
        return path.samefile(source)
    except OSError:
        return False


def _real(path: str | Path) -> Path:
    return Path(os.path.realpath(path))
