"""Score answers that are no labels, once: by the metrics of their task, or by one of the user's.

Scores are facts of a run.
"""

import math
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from choose.corpus import is_drill
from choose.errors import StudyError, did_you_mean
from choose.files import digest
from choose.outside_values import shown
from choose.types import Answers, Dataset, Example, Floats, Run, Task


def scored(run: Run, dataset: Dataset) -> Run:
    """Return a run with the scores of all its answers; as it is where answers are labels.

    Answers from documents that changed have other targets, so they get no scores here.
    """
    if dataset.task.labels:
        return run
    scores = dict(run.scores)
    for view, answers in run.answers.items():
        if is_drill(view[0]):
            continue
        if view not in scores or len(next(iter(scores[view].values()))) != len(answers):
            rows = [dataset.examples[id] for id in run.asked[view]]
            scores[view] = scores_of(dataset.task, answers, rows)
    return replace(run, scores=scores)


def scores_of(task: Task, answers: Answers, rows: Sequence[Example]) -> dict[str, Floats]:
    found = [
        task.score(output, row.targets) for output, row in zip(answers.outputs, rows, strict=True)
    ]
    return {name: np.array([one[name] for one in found], dtype=np.float64) for name in task.metrics}


def scoring_digest(dataset: Dataset, ids: Sequence[str]) -> str:
    """Return what identifies the scores of answers to these rows: the rule and the targets."""
    return digest([dataset.task.scoring, [dataset.examples[id].targets for id in ids]])


# ``package.module:function``, or ``path/to/file.py:function``.
_NAMED = re.compile(r"([A-Za-z_][\w.]{0,200}|.{1,1000}\.py):[A-Za-z_]\w{0,100}")

# Metrics that this process was asked for: what a stored task names is never imported.
_asked: set[str] = set()


@dataclass(frozen=True, slots=True, kw_only=True)
class UserMetric:
    """A metric by name.

    Attributes:
        name: as the user gave it.
        scores: names of the numbers it returns, the headline first.
        code: digest of the file that defines it; empty where it has none.
    """

    name: str
    scores: tuple[str, ...]
    code: str

    def score(self, output: Any, targets: Sequence[Any]) -> dict[str, float]:
        if self.name not in _asked:
            raise StudyError(
                f"The scores of the metric {self.name!r} are not stored, and a stored study may "
                f"not run code: compute them with choose compare --metric {self.name}."
            )
        found = _checked(self.name, output, targets)
        if tuple(found) != self.scores:
            raise StudyError(
                f"The metric {self.name!r} returned the scores {', '.join(found) or 'none'}; "
                f"earlier it returned {', '.join(self.scores)}. It must return the same for every "
                "answer."
            )
        return found


def read_metric(facts: Mapping[str, Any] | None) -> UserMetric | None:
    """Return the metric that `UserMetric.facts` described; it cannot compute scores."""
    if not facts:
        return None
    scores = tuple(map(str, facts["scores"]))
    return UserMetric(name=str(facts["name"]), scores=scores, code=str(facts["code"]))


def is_function(name: str) -> bool:
    return _NAMED.fullmatch(name) is not None


def user_metric(name: str, target: Any) -> UserMetric:
    """Import a metric, and try it on a right answer."""
    _function.cache_clear()  # a notebook may have changed the file
    function = _function(name)
    _asked.add(name)
    scores = tuple(_checked(name, target, [target]))
    module = sys.modules.get(getattr(function, "__module__", None) or "")
    file = getattr(module, "__file__", None)
    code = digest(Path(file).read_text("utf-8", "replace")) if file else ""
    return UserMetric(name=name, scores=scores, code=code)


@cache
def _function(name: str) -> Callable[..., Any]:
    module, _, attribute = name.rpartition(":")
    try:
        known = vars(_loaded(module) if module.endswith(".py") else import_module(module))
    except Exception as error:  # a user's module may raise anything
        raise StudyError(
            f"The metric {name!r} cannot be imported: {_said(error)}. Write --metric "
            "FILE.py:FUNCTION, or MODULE:FUNCTION of an installed package."
        ) from error
    found = known.get(attribute)
    if not callable(found):
        names = [key for key in known if not key.startswith("_")]
        raise StudyError(
            f"The metric {name!r} is no function: {module!r} has no function {attribute!r}."
            f"{did_you_mean(attribute, names)}"
        )
    return found  # type: ignore[no-any-return]


def _loaded(file: str) -> ModuleType:
    """Run a file as a module of its own; its folder is not searched for others."""
    spec = spec_from_file_location(f"choose_metric_{digest(file)}", file)
    assert spec is not None, file  # the name ends in .py
    assert spec.loader is not None, file
    module = module_from_spec(spec)
    sys.modules[spec.name] = module  # where `user_metric` finds its file
    spec.loader.exec_module(module)
    return module


def _checked(name: str, output: Any, targets: Sequence[Any]) -> dict[str, float]:
    try:
        found = _function(name)(output, list(targets))
    except StudyError:
        raise
    except Exception as error:  # a user's function may raise anything
        raise StudyError(
            f"The metric {name!r} failed: {_said(error)}. The answer was {shown(output)}."
        ) from error
    named = found if isinstance(found, Mapping) else {name.rpartition(":")[2]: found}
    scores = {str(key): _number(value) for key, value in named.items()}
    wrong = next((key for key, value in scores.items() if value is None), None)
    if wrong is not None or not scores:
        value = named.get(wrong, found)
        raise StudyError(
            f"The metric {name!r} returned {shown(value)} for the answer {shown(output)}. It must "
            "return a number from 0 to 1, or a dictionary of such numbers."
        )
    return {key: value for key, value in scores.items() if value is not None}


def _number(value: Any) -> float | None:
    if isinstance(value, str | bytes) or value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and 0 <= number <= 1 else None


def _said(error: Exception) -> str:
    kind = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(error).__name__.removesuffix("Error")).lower()
    text = " ".join(str(error).split())[:200]
    return f"{text} ({kind} error)" if text else f"{kind} error"
