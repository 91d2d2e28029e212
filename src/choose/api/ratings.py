"""Ratings of answers by people: a blind sheet to fill in, and files of ratings to read."""

from __future__ import annotations

import csv
import io
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from choose.api.study_evidence import evidence_of, rule_of
from choose.data.readers.delimited import ROW
from choose.data.readers.table_file import read_source
from choose.errors import DataError, StudyError, did_you_mean, quoted
from choose.files import answer_key, csv_lines, write_text
from choose.formatting import number, plural
from choose.judge.decision.old_facts import contenders_for
from choose.judge.decision.rule import deciding_rival, select
from choose.judge.measures.human_ratings import NO_ANSWER, first_outputs
from choose.judge.scores.score_tables import study_scores
from choose.schema.text_scores import PeopleRatings, Preference, Rating
from choose.store.destination import check_destination
from choose.store.store import Store
from choose.store.tables import RATINGS
from choose.untrusted import finite

# The scale of a sheet: the worst and the best rating.
SCALE = (1.0, 5.0)

# Rows of a sheet by default, and answers beside each other.
ROWS, ANSWERS = 60, 4

_FORMS = (
    "Allowed are a sheet of choose rate (with its column key), or the columns row, candidate and "
    "rating, or row, a, b and preferred; a column rater is optional."
)

Outputs = Mapping[str, Mapping[str, str | None]]


@dataclass(frozen=True)
class Answered:
    """A study's answers by candidate and row, as its first repetition gave them.

    `asked` are the candidates whose comparison decides, and then the others.
    """

    store: Store
    outputs: Outputs
    asked: tuple[str, ...]

    def chosen(self, names: Sequence[str] = ()) -> tuple[str, ...]:
        """Return the candidates to rate: those named, or else the two that decide.

        Raises:
            StudyError: if a name is no candidate with answers, or only one is left.
        """
        for name in names:
            self.check(name, StudyError)
        found = tuple(dict.fromkeys(names)) if names else self.asked[:2]
        if len(found) < 2:
            raise StudyError(
                "Ratings compare two candidates or more. Name them: --candidate A --candidate B."
            )
        return found

    def check(self, name: str, error: type[DataError] | type[StudyError], where: str = "") -> None:
        """Refuse a name that is no candidate with answers."""
        if name not in self.outputs:
            raise error(
                f"{where}No candidate {quoted(name)} has answers in this study."
                f"{did_you_mean(name, self.outputs)} Candidates: {', '.join(self.outputs)}."
            )

    @cached_property
    def keys(self) -> dict[str, str]:
        """Return the row of every usable answer by its digest."""
        return {
            answer_key(row, output): row
            for given in self.outputs.values()
            for row, output in given.items()
            if output is not None
        }

    def rows_that_differ(self, names: Sequence[str]) -> list[str]:
        """Return rows on which these candidates gave different answers, in a fixed random order."""
        first = self.outputs[names[0]]
        rows = [
            row
            for row in first
            if all(row in self.outputs[name] for name in names)
            and len({self.outputs[name][row] for name in names}) > 1
        ]
        random.Random(f"ratings-{self.store.fingerprint}").shuffle(rows)
        return rows

    def texts(self, row: str, names: Sequence[str]) -> list[str]:
        """Return the different usable answers of these candidates to a row, in a random order."""
        given = dict.fromkeys(self.outputs[name][row] for name in names)
        found = sorted(text for text in given if text is not None)
        random.Random(f"answers-{self.store.fingerprint}-{row}").shuffle(found)
        return found


def answered(path: str | Path) -> Answered:
    """Read the answers of a study whose answers are no labels.

    Raises:
        StudyError: if they are labels, or nothing was answered.
    """
    store = Store.open(Path(path))
    task = store.dataset.task
    if task.labels:
        raise StudyError(
            "The answers of this study are labels, which are right or wrong: there is nothing to "
            "rate. Ratings are for answers that are texts, records or sets."
        )
    evidence, rule = evidence_of(store), rule_of(store.study, task)
    panel = study_scores(evidence, rule.measure)
    if not panel.scored:
        raise StudyError("No candidate has answered a row yet. Run choose compare first.")
    contenders = contenders_for(evidence, panel, rule)
    selection = select(contenders)
    rival, best = deciding_rival(contenders, selection), contenders.best.values()
    names = [selection.interim, *([rival] if rival else []), *best, *contenders.names]
    order = [name for name in dict.fromkeys(names) if name not in contenders.constants]
    outputs = {c.info.name: first_outputs(c) for c in panel.scored}
    return Answered(store, outputs, tuple(order))


def write_sheet(
    path: str | Path, sheet: Path, *, rows: int = ROWS, candidates: Sequence[str] = ()
) -> tuple[int, int]:
    """Write a sheet of answers side by side, blind: nothing in it says whose an answer is.

    Returns:
        The rows of the sheet, and on how many rows the answers differ.

    Raises:
        ChooseError: if there is nothing to rate, or the sheet cannot be written.
    """
    study = answered(path)
    if sheet.suffix.lower() != ".csv":
        raise StudyError(f"A sheet is a CSV file, not {str(sheet)!r}. Write --out ratings.csv.")
    check_destination(sheet, (study.store.study.get("data", {}).get("path"),), "--out")
    if sheet.exists():
        raise StudyError(
            f"{str(sheet)!r} exists and may hold ratings. Name another file with --out."
        )
    names = study.chosen(candidates)
    if len(names) > ANSWERS:
        raise StudyError(f"A sheet holds {ANSWERS} candidates at most; {len(names)} are named.")
    differ = study.rows_that_differ(names)
    if not differ:
        raise StudyError(f"{' and '.join(names)} gave every row the same answer.")
    text = _sheet(study, differ[:rows], names)
    write_text(sheet, f"\ufeff{text}")  # so that Excel reads UTF-8
    return min(rows, len(differ)), len(differ)


def _sheet(study: Answered, rows: Sequence[str], names: Sequence[str]) -> str:
    most = max(len(study.texts(row, names)) for row in rows)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    ends = f"{number(SCALE[0])} bad to {number(SCALE[1])} good"
    answers = [head for i in range(1, most + 1) for head in (f"answer {i}", f"rating {i} ({ends})")]
    writer.writerow(["row", "input", "right answer", *answers, "rater", "comment", "key"])
    for row in rows:
        example, texts = study.store.dataset.examples[row], study.texts(row, names)
        input = "\n".join((*(f"{n}: {v}" for n, v in example.fields.items()), example.text))
        cells = [cell for text in texts for cell in (csv_lines(text), "")]
        cells += [""] * (2 * most - len(cells))
        keys = "-".join(answer_key(row, text) for text in texts)
        shown = (row, input, "\n\n".join(example.targets))
        writer.writerow([*map(csv_lines, shown), *cells, "", "", f"k{keys}"])
    return out.getvalue()


def add_ratings(
    path: str | Path, files: Sequence[Path], scale: tuple[float, float] = SCALE
) -> tuple[str, ...]:
    """Read ratings into a study, in place of those that it had; return remarks.

    Raises:
        ChooseError: if a file holds no ratings of this study's answers, or wrong ones.
    """
    study = answered(path)
    files = list({file.absolute(): file for file in files}.values())
    twice = len({file.stem for file in files}) < len(files)  # as in ann/sheet.csv and bo/sheet.csv
    names = [str(file.with_suffix("")) if twice else file.stem for file in files]
    read = [_File(file, study, scale, who) for file, who in zip(files, names, strict=True)]
    ratings = [one for file in read for one in file.ratings]
    preferences = [one for file in read for one in file.preferences]
    if not ratings and not preferences:
        raise DataError(
            f"{', '.join(str(file) for file in files)}: no cell holds a rating. Fill in the "
            "columns named rating, or preferred."
        )
    kept = PeopleRatings(
        scale=scale,
        ratings=_once(ratings, lambda one: (one.row, one.answer, one.rater)),
        preferences=_once(preferences, lambda one: (one.row, one.first, one.second, one.rater)),
    )
    write_text(study.store.path / RATINGS, kept.model_dump_json(indent=1))
    raters = {one.rater for one in ratings} | {two.rater for two in preferences}
    total = len(kept.ratings) + len(kept.preferences)
    notes = [f"{plural(total, 'rating')} by {len(raters)} rater{'s' * (len(raters) > 1)} read."]
    if strange := sum(file.strange for file in read):
        notes.append(
            f"{plural(strange, 'rating')} left out: of answers that this study does not have any "
            "more. A new sheet (choose rate) has the present ones."
        )
    return tuple(notes)


def _once(every: Sequence[Any], key: Callable[[Any], tuple[str, ...]]) -> tuple[Any, ...]:
    """Return ratings without repetitions; refuse two different ones by the same person."""
    found: dict[Any, Any] = {}
    for one in every:
        if found.setdefault(key(one), one).value != one.value:
            raise DataError(
                f"The rater {quoted(one.rater)} rates one answer to the row {quoted(one.row)} in "
                "two ways. Give each person a name in the column rater, or a file of their own; if "
                "two candidates gave this answer, give it one rating."
            )
    return tuple(found.values())


class _File:
    """The ratings of one file; a person without a name in it is called after the file."""

    def __init__(self, file: Path, study: Answered, scale: tuple[float, float], who: str) -> None:
        self.name, self.study, self.scale = str(file), study, scale
        self.rater, self.strange = who, 0
        self.ratings: list[Rating] = []
        self.preferences: list[Preference] = []
        rows = read_source(file).table
        heads = {re.sub(r"\s*\(.*", "", head).strip().lower(): head for head in rows.columns}
        self.heads = {"row": heads["id"], **heads} if "id" in heads else heads
        heads = self.heads
        forms = {
            ("key",): self._sheet_row,
            ("row", "candidate", "rating"): self._rating_row,
            ("row", "a", "b", "preferred"): self._pair_row,
        }
        form = next((read for needed, read in forms.items() if {*needed} <= heads.keys()), None)
        if form is None:
            named = ", ".join(quoted(c) for c in rows.columns[:8] if c != ROW)
            raise DataError(f"{self.name!r} has the columns {named}. {_FORMS}")
        for cells in rows.iter_rows(named=True):
            form(cells)

    def _cell(self, cells: Mapping[str, Any], head: str) -> str:
        value = cells.get(self.heads.get(head, ""))
        return "" if value is None else str(value).strip().removeprefix("'")

    def _who(self, cells: Mapping[str, Any]) -> str:
        return self._cell(cells, "rater") or self.rater

    def _where(self, cells: Mapping[str, Any], head: str = "") -> str:
        column = f", column {self.heads.get(head, head)!r}" if head else ""
        return f"{self.name!r}, row {cells[ROW]}{column}: "

    def _value(self, cells: Mapping[str, Any], head: str) -> float | None:
        """Return a rating from 0 to 1; None for an empty cell."""
        text, (low, high) = self._cell(cells, head), self.scale
        if not text:
            return None
        value = finite(text.replace(",", "."))
        ends = f"{number(low)} to {number(high)}"
        if value is None:
            raise DataError(
                f"{self._where(cells, head)}{quoted(text)} is no number. Write a rating from "
                f"{ends}, or leave the cell empty."
            )
        if not low <= value <= high:
            raise DataError(
                f"{self._where(cells, head)}{quoted(text)} is out of range: ratings go from "
                f"{ends}. --scale names another range, such as --scale 0-10."
            )
        return (value - low) / (high - low)

    def _row(self, cells: Mapping[str, Any]) -> str:
        row = self._cell(cells, "row")
        if not any(row in given for given in self.study.outputs.values()):
            raise DataError(
                f"{self._where(cells, 'row')}{quoted(row)} is no test row of this study. Write "
                "the row's id, as decision.json and choose report STORE rows name it."
            )
        return row

    def _sheet_row(self, cells: Mapping[str, Any]) -> None:
        # A spreadsheet may have made a date or a number of the row's id; the key says it too.
        for place, key in enumerate(self._cell(cells, "key").removeprefix("k").split("-"), 1):
            value, row = self._value(cells, f"rating {place}"), self.study.keys.get(key)
            if value is not None and row is not None:
                who = self._who(cells)
                self.ratings.append(Rating(row=row, answer=key, rater=who, value=value))
            self.strange += value is not None and row is None

    def _rating_row(self, cells: Mapping[str, Any]) -> None:
        value = self._value(cells, "rating")
        row, answer = self._row(cells), self._answer(cells, "candidate")
        if value is not None and answer is not None:
            who = self._who(cells)
            key = answer_key(row, answer)
            self.ratings.append(Rating(row=row, answer=key, rater=who, value=value))

    def _answer(self, cells: Mapping[str, Any], head: str) -> str | None:
        name = self._cell(cells, head)
        self.study.check(name, DataError, self._where(cells, head))
        return self.study.outputs[name].get(self._cell(cells, "row"))

    def _pair_row(self, cells: Mapping[str, Any]) -> None:
        row, said = self._row(cells), self._cell(cells, "preferred")
        a, b = (self._answer(cells, side) for side in ("a", "b"))
        names = [self._cell(cells, side) for side in ("a", "b")]
        values = {"a": 1.0, "b": -1.0, "tie": 0.0, names[0]: 1.0, names[1]: -1.0}
        if not said:
            return
        if (value := values.get(said, values.get(said.lower()))) is None:
            raise DataError(
                f"{self._where(cells, 'preferred')}{quoted(said)} is neither a, b nor tie."
            )
        if all(row in self.study.outputs[name] for name in names):
            first, second = (NO_ANSWER if x is None else answer_key(row, x) for x in (a, b))
            who = self._who(cells)
            two = Preference(row=row, first=first, second=second, rater=who, value=value)
            self.preferences.append(two)


def read_scale(text: str | None) -> tuple[float, float]:
    """Read ``1-5`` or ``0-10`` as the worst and the best rating.

    Raises:
        StudyError: if it is no range of two numbers.
    """
    if text is None:
        return SCALE
    match = re.fullmatch(r"\s*(\d{1,6}(?:\.\d+)?)\s*(?:-|to)\s*(\d{1,6}(?:\.\d+)?)\s*", text)
    low, high = (float(end) for end in match.groups()) if match else (0.0, 0.0)
    if low >= high:
        raise StudyError(
            f"--scale {quoted(text)} is no range. Write the worst and the best rating: --scale 1-5."
        )
    return low, high
