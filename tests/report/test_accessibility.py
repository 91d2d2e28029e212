"""The page for those who cannot see it, see it dimly, or have no mouse."""

import re
from importlib.resources import files
from itertools import pairwise

import pytest

from choose.report.html.drawings import COLOURS
from support import decisions
from support.html import page_of, parsed

STYLE = (files("choose.report.html") / "templates" / "style.css").read_text(encoding="utf-8")
BLOCKS = [b for b in re.findall(r":root \{([^}]*)\}", STYLE) if "--ink" in b]
SCHEMES = [dict(re.findall(r"--(\w+): (#\w+)", block)) for block in BLOCKS]
TEXT = ("ink", "soft", "good", "bad", "wait")
LEVELS = {f"h{n}": n for n in range(1, 7)}


def luminance(colour: str) -> float:
    """Return the relative luminance of WCAG 2.2 of a colour such as ``#fff``."""
    digits = colour.lstrip("#")
    digits = "".join(2 * d for d in digits) if len(digits) == 3 else digits
    shares = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: str, b: str) -> float:
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_measured_as_wcag_does() -> None:
    assert contrast("#000", "#fff") == pytest.approx(21)
    assert contrast("#777", "#fff") == pytest.approx(4.48, abs=0.005)


@pytest.mark.parametrize("scheme", SCHEMES, ids=["light", "dark", "paper"])
def test_text_and_marks_stand_out(scheme: dict[str, str]) -> None:
    for ground in (scheme["paper"], scheme["tint"]):
        assert min(contrast(scheme[name], ground) for name in TEXT) >= 4.5
    assert min(contrast(c, scheme["paper"]) for c in COLOURS) >= 3


def page() -> str:
    facts = {"audit": decisions.audited().audit}
    return page_of(decisions.answered().model_copy(update=facts), {"r21": "words"})


def test_every_table_chart_and_region_has_a_name_and_every_link_a_target() -> None:
    tags = parsed(page()).seen
    ids = [attributes["id"] for _, attributes in tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for tag, attributes in tags:
        if tag == "table" or attributes.get("role") == "region" or tag == "section":
            assert attributes["aria-labelledby"] in ids
        if attributes.get("role") == "region":
            assert attributes["tabindex"] == "0"
        if tag == "svg" and attributes.get("aria-hidden") != "true":  # cells say what a bar says
            assert attributes["role"] == "img"
            assert len(str(attributes["aria-label"])) > 40
        if tag == "th":
            assert attributes["scope"] in ("row", "col")
        if tag == "a":
            assert str(attributes["href"]).removeprefix("#") in ids
        assert int(attributes.get("tabindex") or 0) <= 0


def test_headings_leave_no_level_out() -> None:
    levels = [LEVELS[tag] for tag, _ in parsed(page()).seen if tag in LEVELS]
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_a_stacked_table_says_its_roles() -> None:
    """A style sheet that turns rows into boxes takes their roles from assistive software."""
    tables = re.findall(r"<table.*?</table>", page(), re.S)
    assert any('class="wide' in table for table in tables)
    for table in tables:
        stacked = 'class="wide' in table
        assert ('role="table"' in table) == stacked
        assert table.count('role="row"') == (table.count("<tr") if stacked else 0)
