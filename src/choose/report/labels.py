"""The label audit: how many labels may be wrong, and which rows to look at first."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType

from choose.judge.record import Decision
from choose.judge.record_audit import Agreement, Audit, Overlap, RelabelGain, Suspect
from choose.report.layout import Column, bullets, note, section, sheet
from choose.report.safe import clean, literal, shorten
from choose.report.words import number, percent, plural, span

SUSPECTS = 10
OVERLAPS = 3
LABEL = 28


def labels(decision: Decision, width: int) -> Iterator[RenderableType]:
    """Yield the band of wrong labels, overlapping labels, agreement and the top suspects."""
    found = decision.audit
    if found is None:
        return
    parts: list[RenderableType] = [bullets(sentences(found))]
    if found.suspects:
        parts += [*sheet(_columns(found.suspects[:SUSPECTS]), width), note(source(found))]
    yield section("Labels to look at", *parts)


def sentences(found: Audit) -> Iterator[str]:
    """Yield what the audit says, a sentence each."""
    if found.noise is not None and found.ceiling is not None:
        yield (
            f"Between {number(found.noise.low)} and {number(found.noise.high)} of 100 labels may "
            f"be wrong; confident learning says {number(found.noise.confident_learning)}, and it "
            "takes the auditor's own mistakes for wrong labels. Perfect answers would get "
            f"{span(found.ceiling)} of 100 right on labels like these. {found.noise.assumption}"
        )
    elif found.no_estimate:
        yield f"How many labels are wrong is not known. {found.no_estimate}"
    if found.gain is not None:
        yield _worth(found.gain)
    yield from map(_overlap, found.overlaps[:OVERLAPS])
    if found.agreement is not None:
        yield _agreement(found.agreement)


def _worth(found: RelabelGain) -> str:
    return (
        f"Settling the {plural(found.rows, 'most doubted row')} would add about "
        f"{number(found.gain.value)} points ({span(found.gain)}) to what {found.candidate} gets "
        "right."
    )


def _overlap(found: Overlap) -> str:
    names = f"{shorten(clean(found.a), LABEL)} and {shorten(clean(found.b), LABEL)}"
    return (
        f"{names} are taken for each other: {plural(found.doubted, 'doubted row')} of "
        f"{found.rows:,}."
    )


def _agreement(found: Agreement) -> str:
    beyond = (
        f"; beyond chance, Krippendorff's alpha is {found.alpha.value:.2f}" if found.alpha else ""
    )
    return (
        f"Two of {found.annotators:,} annotators agree on {number(found.pairwise.value)} of 100 "
        f"({span(found.pairwise)}), on {plural(found.questions, 'row')}{beyond}."
    )


def _columns(suspects: tuple[Suspect, ...]) -> list[Column]:
    def cells(values: Iterator[str]) -> list[RenderableType]:
        return [literal(shorten(clean(value), LABEL)) for value in values]

    return [
        Column("row", cells(s.id for s in suspects), figures=False),
        Column("label as given", cells(s.label for s in suspects), figures=False),
        Column("rather", cells(s.suggested for s in suspects), figures=False),
        Column("candidates\nthat say so", cells(f"{s.agree} of {s.answered}" for s in suspects)),
    ]


def source(found: Audit) -> str:
    """Say where the suspects come from, and that nothing was done about them."""
    accuracy = percent(found.accuracy.value) if found.accuracy else ""
    return (
        f"The out-of-fold answers of {' + '.join(found.auditors)} ({accuracy} of 100 right) "
        f"contradict {found.contradicted:,} labels; {found.suspected:,} are worth a look, these "
        "first. No row was left out and no label changed: only a "
        "person can tell a wrong label from a hard row. The others are in decision.json."
    )
