"""Prompt, retrieve or fine-tune? Evidence for a labelled task."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any
from warnings import warn

if TYPE_CHECKING:
    from choose.api.notebook import Decision as Decision
    from choose.api.notebook import compare as compare
    from choose.api.notebook import load as load
    from choose.api.notebook import read as read
    from choose.errors import ChooseError as ChooseError
    from choose.export.exported_model import Model as Model

# Loaded when first asked for, so that `import choose` takes milliseconds.
_WHERE = {
    "ChooseError": "choose.errors",
    "Decision": "choose.api.notebook",
    "Model": "choose.export.exported_model",
    "compare": "choose.api.notebook",
    "load": "choose.api.notebook",
    "read": "choose.api.notebook",
}

__all__ = ["ChooseError", "Decision", "Model", "compare", "load", "read"]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'choose' has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])


# Modules that plugins import, by their former names; kept for one release.
_FORMER = {"choose.meter": "choose.progress", "choose.models.saved": "choose.models.saving"}


class _FormerModules:
    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        loader: Any = self
        return ModuleSpec(name, loader) if name in _FORMER else None

    def create_module(self, spec: ModuleSpec) -> None:
        """Let Python make the module that `exec_module` replaces."""

    def exec_module(self, module: ModuleType) -> None:
        old, new = module.__name__, _FORMER[module.__name__]
        text = f"{old} is now {new}; import from choose.strategy, which stays."
        warn(text, DeprecationWarning, stacklevel=2)
        sys.modules[old] = import_module(new)


sys.meta_path.append(_FormerModules())
