"""The words of the reports, each explained in a sentence or two."""

from __future__ import annotations

from importlib.resources import files

_LINES = (files("choose.report") / "glossary.txt").read_text("utf-8").splitlines()
WORDS = {name: text for name, _, text in (line.partition(": ") for line in _LINES)}

_SAME = {
    **dict.fromkeys(("95 % ci", "ci", "confidence interval"), "range"),
    **dict.fromkeys(("baseline", "classifier", "cheap classifier"), "cheap baseline"),
    **{
        "floor": "reference",
        "label noise": "noise",
        "likely": "sure",
        "ndcg@10": "ndcg",
        "p (holm)": "holm",
    },
}


def meaning(word: str) -> str | None:
    """Return what a word means, however it is written; None for one that is not known."""
    plain = " ".join(word.lower().replace("_", " ").split())
    known = {name.lower(): text for name, text in WORDS.items()}
    plain = _SAME.get(plain, plain)
    spellings = (plain, plain.removesuffix("s"), f"{plain}s", plain.replace(" ", "-"))
    return next((known[spelling] for spelling in spellings if spelling in known), None)
