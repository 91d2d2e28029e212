"""Prompt, retrieve or fine-tune? Evidence for a labelled task."""

import os
import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from choose.api.notebook import Decision as Decision
    from choose.api.notebook import check as check
    from choose.api.notebook import compare as compare
    from choose.api.notebook import load as load
    from choose.api.notebook import plan as plan
    from choose.api.notebook import read as read
    from choose.api.notebook import report as report
    from choose.api.notebook import score as score
    from choose.errors import ChooseError as ChooseError
    from choose.export.exported_model import Model as Model

# Threads of OpenMP wait for each other in a loop, for milliseconds if nothing else is set: where
# another program keeps a core busy, a pass takes ten times as long. With much less, they fall
# asleep at most products. It is read when torch is loaded.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "8000")

# Loaded when first asked for, so that `import choose` takes milliseconds.
_WHERE = {
    **dict.fromkeys(
        ("Decision", "compare", "load", "plan", "read", "score"), "choose.api.notebook"
    ),
    "ChooseError": "choose.errors",
    "Model": "choose.export.exported_model",
}

# Functions of `choose.api.notebook` that share their name with a package.
_CALLED = ("check", "report")

__all__ = [
    "ChooseError",
    "Decision",
    "Model",
    "check",
    "compare",
    "load",
    "plan",
    "read",
    "report",
    "score",
]


class _Called(ModuleType):
    """A package that is called like the function of the same name, as in `choose.check(data)`."""

    @property
    def _function(self) -> Any:
        return getattr(import_module("choose.api.notebook"), self.__name__.rpartition(".")[2])

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._function(*args, **kwargs)

    @property
    def __signature__(self) -> Any:
        return import_module("inspect").signature(self._function)

    @property
    def __doc__(self) -> Any:  # type: ignore[override]
        return self._function.__doc__

    def __repr__(self) -> str:
        return f"<function {self.__name__}>"


class _Package(ModuleType):
    """`choose` itself: `choose.check` and `choose.report` are packages and can be called."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _CALLED and isinstance(value, ModuleType):
            value.__class__ = _Called
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    if name in _CALLED:
        return import_module(f"choose.{name}")
    if name not in _WHERE:
        raise AttributeError(f"module 'choose' has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
