"""No number gets round the boundary: each flag, each key of a study, each variable (issue 16)."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from choose.errors import StudyError
from choose.outside_values import Settings
from choose.study.config import Study
from choose.study.resolve_study import load_study

SOURCE = Path(__file__).parents[2] / "src" / "choose"

# What is read of the environment; a new variable adds itself here, with a test of its values in
# tests/study/test_resolve_study.py.
ENVIRONMENT = {
    "**os.environ",  # passed on to pip
    "SETTING",  # CHOOSE_KEEP_GB
    "CHOOSE_CACHE",
    "CHOOSE_THREADS",
    "CHOOSE_DEVICE",
    "CHOOSE_DTYPE",
    "OMP_NUM_THREADS",
    "CUDA_VISIBLE_DEVICES",  # repeated in advice
    "RAY_USE_TLS",
    "variable",  # the key of an endpoint
    "",  # the settings of a request, which a worker sets and restores
    "name",  # the same
}


# Models of settings, as `numeric_keys` meets them.
MODELS: set[type[BaseModel]] = set()


def numeric_keys(model: type[BaseModel], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the path of each field that holds numbers, in models below too; `*` is any key."""
    for name, field in model.model_fields.items():
        inner = [a for a in parts(field.annotation) if isinstance(a, type)]
        for part in inner:
            if issubclass(part, BaseModel):
                MODELS.add(part)
                many = ("0",) if "tuple" in str(field.annotation) else ()
                many = ("*",) if "Mapping" in str(field.annotation) else many
                yield from numeric_keys(part, (*path, name, *many))
        if {int, float} & set(inner) and bool not in inner:
            yield (*path, name)


def parts(annotation: Any) -> Iterator[Any]:
    yield annotation
    for part in get_args(annotation):
        yield from parts(part)


@pytest.mark.parametrize("path", [*numeric_keys(Study)], ids=".".join)
@pytest.mark.parametrize("value", [float("nan"), float("-inf"), 1e300, 10**400, True])
def test_each_key_of_a_study_that_takes_a_number_refuses_what_is_none(path, value):
    *outer, last = path
    endpoint = {"base_url": "http://h/v1", "model": "m"} if path[0] == "endpoints" else {}
    inner: Any = {**endpoint, last: value}
    for part in reversed(outer):
        inner = [inner] if part == "0" else {"e" if part == "*" else part: inner}
    with pytest.raises(StudyError, match=last):
        load_study(inner)


def test_every_model_of_settings_passes_the_boundary() -> None:
    assert len(MODELS) > 6
    assert all(issubclass(model, Settings) for model in MODELS)


def test_the_environment_is_read_in_known_places() -> None:
    found = set()
    for file in SOURCE.rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        for match in re.finditer(r"(\*\*)?os\.(?:environ|getenv)(?:\.get\(|\[|\()?\"?(\w*)", text):
            found.add("**os.environ" if match[1] else match[2])
    assert found <= ENVIRONMENT


def test_toml_is_read_by_the_study_file_and_the_store() -> None:
    """The study file is read within its limits; the rest is our own store."""
    readers = {
        str(file.relative_to(SOURCE))
        for file in SOURCE.rglob("*.py")
        if "tomllib" in (text := file.read_text(encoding="utf-8"))
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Attribute) and node.attr in ("loads", "load")
        if isinstance(node.value, ast.Name) and node.value.id == "tomllib"
    }
    assert readers <= {"study/resolve_study.py", "store/store.py"}
