"""Prompt, retrieve or fine-tune? Evidence for a labelled task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from choose.artefact.answering import Model as Model
    from choose.errors import ChooseError as ChooseError
    from choose.notebook import Decision as Decision
    from choose.notebook import compare as compare
    from choose.notebook import load as load
    from choose.notebook import read as read

# Loaded when first asked for, so that `import choose` takes milliseconds.
_WHERE = {
    "ChooseError": "choose.errors",
    "Decision": "choose.notebook",
    "Model": "choose.artefact.answering",
    "compare": "choose.notebook",
    "load": "choose.notebook",
    "read": "choose.notebook",
}

__all__ = ["ChooseError", "Decision", "Model", "compare", "load", "read"]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name not in _WHERE:
        raise AttributeError(f"module 'choose' has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
