"""The conditions of the verdicts, from the docstrings of the functions that decide."""

from __future__ import annotations

from inspect import getdoc, getmembers, isfunction

from choose.judge.decision import verdict_kind
from choose.report.words import upper

INTRO = """# Conditions of verdicts

The verdicts that use these conditions are [listed here](../methods/decision.md#which-verdict).

"""


def conditions_page() -> str:
    """Return what each condition says of itself, in the order of the module."""
    own = [
        function
        for name, function in getmembers(verdict_kind, isfunction)
        if function.__module__ == verdict_kind.__name__ and not name.startswith("_")
    ]
    own.sort(key=lambda function: function.__code__.co_firstlineno)
    return INTRO + "\n".join(_condition(text) for function in own if (text := getdoc(function)))


def _condition(docstring: str) -> str:
    """Return a bullet: of "Return whether A. B." it is "A. B."."""
    text = " ".join(docstring.split()).removeprefix("Return whether ")
    return f"- {upper(text)}\n"
