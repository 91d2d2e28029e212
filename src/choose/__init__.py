"""Prompt, retrieve or fine-tune? Evidence for a labelled task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from choose.api.notebook import Decision as Decision
    from choose.api.notebook import compare as compare
    from choose.api.notebook import load as load
    from choose.api.notebook import read as read
    from choose.errors import ChooseError as ChooseError
    from choose.export.predict import Model as Model

# Loaded when first asked for, so that `import choose` takes milliseconds.
_WHERE = {
    "ChooseError": "choose.errors",
    "Decision": "choose.api.notebook",
    "Model": "choose.export.predict",
    "compare": "choose.api.notebook",
    "load": "choose.api.notebook",
    "read": "choose.api.notebook",
}

__all__ = ["ChooseError", "Decision", "Model", "compare", "load", "read"]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name not in _WHERE:
        raise AttributeError(f"module 'choose' has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
