"""How a study was measured, as far as a reader needs it to check and repeat it."""

from __future__ import annotations

from choose.judge.frozen import Record


class PromptText(Record):
    """What a candidate says to its model; `setting` names the variant, "" for its own setting."""

    candidate: str
    setting: str
    text: str


class Look(Record):
    """A judging of these test rows on a grid that had not been judged before."""

    when: str
    rule: str


class Note(Record):
    """What `fits` fits of a candidate noted; numbers that differ between them are ranges."""

    candidate: str
    text: str
    fits: int


class Method(Record):
    """Prompts, repetitions, looks, and the study's settings as a study file (TOML).

    Attributes:
        prompts: of the candidates that ask a model in words, as installed in the same revision.
        draws: the repetitions, which carry both the seed and the rows that are drawn.
        looks: the earliest first.
        notes: of the fits behind the accuracies: calibration, cut texts, stopping, failed requests.
        settings: without folders of the machine and without passwords in addresses.
    """

    prompts: tuple[PromptText, ...] = ()
    draws: tuple[int, ...] = ()
    looks: tuple[Look, ...] = ()
    notes: tuple[Note, ...] = ()
    settings: str = ""
