"""From a study to its labelled set, read, checked and divided."""

from __future__ import annotations

from pathlib import Path

from choose.data.columns import examples_from
from choose.data.divide import Options, divide
from choose.data.read import read_table
from choose.errors import StudyError
from choose.study.study import Study
from choose.types import Dataset, Example


def labelled_set(study: Study) -> Dataset:
    """Read the files a study names and divide their rows.

    Raises:
        DataError: if a file or its rows cannot be used.
        StudyError: if no file is named.
    """
    if study.data.path is None:
        raise StudyError(
            "No labelled set was named. Give a file, as in choose compare DATA, or try "
            "choose compare sample:tickets."
        )
    test = _rows(study.data.test, study) if study.data.test is not None else None
    options = Options(
        test_rows=study.data.test_rows,
        folds=study.data.folds,
        names=study.task.names,
        descriptions=study.task.descriptions,
        instruction=study.task.instruction,
    )
    return divide(_name(study.data.path), _rows(study.data.path, study), test, options)


def _rows(path: str, study: Study) -> list[Example]:
    return examples_from(read_table(path), study.data)


def _name(path: str) -> str:
    """Name a set after its file, or its folder where the file's name says nothing."""
    if path.startswith("sample:"):
        return path.partition(":")[2]
    file = Path(path).resolve()
    generic = file.stem.lower() in {"train", "data", "dataset", "examples", "labels", "pool"}
    return file.parent.name if generic and file.parent.name else file.stem
