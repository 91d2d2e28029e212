"""Lines that are told from the judge's facts alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from choose.data.personal_data import KINDS
from choose.data.readers.delimited import listed
from choose.formatting import number, of_100, per_cent, plural, points, rounded
from choose.schema.check import Drift, Languages, Line, Status, TokenCounts
from choose.schema.diagnosis import Audit
from choose.schema.plan import Reach

# A language or script of fewer rows is not named; short texts are misjudged now and then.
NAMED = 0.005


# So many tokens a word more than plain English, relatively, and the words are foreign.
FOREIGN = 1.5


# Below, chance alone moves a mix or tells two times apart.
SURE = 0.01


# Where two sets of texts can be told apart this well, they differ by more than a nuance.
APART = 0.6


# A label mix that moved by this share more than chance moves it is worth a look.
MOVED = 0.05


def made(topic: str, status: Status, says: str) -> Line:
    """Return a line."""
    return Line(topic=topic, status=status, says=says)


def size(found: Reach, asked: int, division: str) -> Line:
    """Say which gain the asked rows can show, and how many rows the margin needs."""
    how = "each asked by a fit that never saw it" if division == "cross-fit" else "held out to ask"
    worth = (
        f" (worth {found.independent:,.0f} independent ones)"
        if found.independent < 0.98 * asked
        else ""
    )
    shows = f"show a gain of {points(found.usual)}" if found.usual else "are too few for any gain"
    enough = found.usual is not None and found.usual <= found.margin
    return made(
        "Size",
        "good" if enough else "look",
        f"{plural(asked, 'row')}, {how}{worth}, {shows}; a gain of {points(found.margin)} takes "
        f"about {rounded(found.margin_rows):,}.",
    )


def agreement(found: Audit | None, signed: bool) -> Line:
    """Say how far annotators agree."""
    if found is None or found.agreement is None:
        why = (
            "no text was labelled by two of them"
            if signed
            else "the data do not say who labelled a row (--annotator-column)"
        )
        return made("Annotators", "unknown", f"Agreement was not measured: {why}.")
    agreed = found.agreement
    value = agreed.pairwise.value
    beyond = f"; Krippendorff's alpha {agreed.alpha.value:.2f}" if agreed.alpha else ""
    return made(
        "Annotators",
        "look" if value < 0.9 else "good",
        f"Two of {agreed.annotators:,} annotators give one label to {of_100(value)} texts "
        f"(95 % interval {per_cent(agreed.pairwise.low or 0)} to "
        f"{per_cent(agreed.pairwise.high or 1)}; {plural(agreed.questions, 'text')}{beyond}).",
    )


def time(found: Drift | None, dated: int, rows: int) -> Line:
    """Say whether labels and texts changed between the first and the last third."""
    if found is None:
        why = (
            "the rows bear no dates (--time-column)"
            if not dated
            else f"{dated:,} of {plural(rows, 'row')} bear a date, or too few of them differ"
        )
        return made("Time", "unknown", f"Change over time was not measured: {why}.")
    texts = found.texts
    shift = found.labels.distance - found.labels.expected
    moved = (found.labels.p < SURE and shift >= MOVED) or bool(found.appeared or found.vanished)
    apart = texts is not None and texts.p < SURE and texts.auc.value >= APART
    told = (
        f"First third (from {found.early_from}) against last (to {found.late_to}): the label mix "
        f"moved by {per_cent(found.labels.distance)} points ({per_cent(found.labels.expected)} by "
        "chance)"
    )
    if texts is not None:
        told += f"; texts are told apart {texts.auc.value:.2f} (0.5 is chance, 1 always)"
    told += "."
    if found.appeared:
        told += f" New in the last: {listed(found.appeared, 5)}."
    if found.vanished:
        told += f" Gone by then: {listed(found.vanished, 5)}."
    return made("Time", "look" if moved or apart else "good", told)


def languages(found: Languages, rows: int) -> Line:
    """Name the languages, and how many texts are too short to tell."""
    named = [x for x in found.found if x.rows >= max(NAMED * rows, 2)]
    others = sum(x.rows for x in found.found) - sum(x.rows for x in named)
    parts = [f"{x.name} {per_cent(x.rows / rows)}" for x in named]
    if others:
        parts.append(f"others {per_cent(others / rows)}")
    if found.unknown:
        parts.append(f"too short to tell {per_cent(found.unknown / rows)}")
    return made(
        "Languages",
        "look" if len(named) > 1 else "good",
        f"Of 100 texts: {', '.join(parts)}.",
    )


def tokens(found: TokenCounts | None) -> Line:
    """Say how foreign the words are to the embedded tokenizer."""
    if found is None:
        return made(
            "Tokens",
            "unknown",
            "Tokens a word were not measured: no tokenizer is here yet (choose models fetch).",
        )
    ratio = found.per_word / found.plain
    told = (
        f"{number(found.per_word, 2)} tokens a word ({number(found.plain, 2)} in plain English; "
        f"{found.model}), {found.median:,.0f} a text at the median, {found.longest:,} at most."
    )
    if found.broken:
        words = [f"{w.word} ({w.tokens})" for w in found.broken[:5]]
        told += f" Frequent words in four pieces or more: {', '.join(words)}."
    return made("Tokens", "look" if ratio >= FOREIGN else "good", told)


def personal(found: Sequence[tuple[str, str]]) -> Line:
    """Count rows with hints of personal data by kind."""
    counts = Counter(kind for _, kind in found)
    if not counts:
        return made("Personal data", "good", f"No hint of any {listed_kinds()}.")
    told = ", ".join(f"{kind} in {plural(counts[kind], 'row')}" for kind in KINDS if counts[kind])
    return made("Personal data", "look", f"Looks like {told}.")


def listed_kinds() -> str:
    """Return the kinds that were looked for, as a sentence names them."""
    *most, last = KINDS
    return f"{', '.join(most)} or {last}"
