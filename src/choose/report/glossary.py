"""The words of the reports, each explained in a sentence or two."""

from __future__ import annotations

WORDS = {
    "accuracy": "The share of test rows that are answered right.",
    "adapter": "The small set of extra weights that LoRA trains on top of a frozen model.",
    "balanced": "Accuracy in which every label counts the same, however rare (mean recall).",
    "baseline": "A simple candidate that sets the bar: a cheap classifier, or a rule.",
    "budget": "The time that one comparison may take. A later one goes on where it stopped.",
    "candidate": "One way to solve the task, with its model and settings.",
    "chance": "The probability, given all answers, that a family is the one to use.",
    "ceiling": "The best score that the labels allow, since some of them may be wrong.",
    "drift": "Later rows differ from earlier ones, so that a score on old rows misleads.",
    "embedding": "A text as a list of numbers; texts that mean the same lie close together.",
    "family": "Candidates of one kind: baseline, prompting, retrieval or fine-tuning.",
    "fine-tuning": "Training a language model on your rows; here mostly as a LoRA adapter.",
    "fold": "A fifth of the rows. Each fifth is answered by a model trained on the others.",
    "learning curve": "The score by the number of labelled rows to learn from.",
    "loss": "The points that using the named family now is expected to give up.",
    "macro-F1": "The mean over labels of F1, which balances misses against false alarms.",
    "margin": "The smallest gain that matters to you; 2 points unless --margin says else.",
    "noise": "Labels falsified on purpose, to see how much a candidate suffers.",
    "points": "Percentage points: from 80 % to 82 % are 2 points.",
    "range": "A 95 % confidence interval: in 95 of 100 studies it holds the true value.",
    "recall": "The share of the rows of a label that are found.",
    "seed": "The number that fixes all random choices, so that a run can be repeated.",
    "shared rows": "The test rows that both candidates answered; only these are compared.",
    "store": "The folder of a study, below .choose: rows, answers, decision and page.",
    "strategy": "A method that candidates follow; choose strategies lists them.",
    "target": "The score that is good enough for you, as --target 90%.",
    "test row": "A labelled row that a candidate answers without having learned from it.",
    "token F1": "How many words an answer shares with the right one, from 0 to 1.",
    "training pool": "The labelled rows that candidates may learn from.",
    "trial": "One training of a candidate on part of the rows, and its answers.",
}

_SAME = {
    "95 % ci": "range",
    "confidence interval": "range",
    "embeddings": "embedding",
    "label noise": "noise",
    "point": "points",
    "run": "trial",
    "study": "store",
}


def meaning(word: str) -> str | None:
    """Return what a word means, however it is written; None for one that is not known."""
    plain = " ".join(word.lower().replace("_", " ").split())
    known = {name.lower(): text for name, text in WORDS.items()}
    plain = _SAME.get(plain, plain)
    spellings = (plain, plain.removesuffix("s"), f"{plain}s", plain.replace(" ", "-"))
    return next((known[spelling] for spelling in spellings if spelling in known), None)
