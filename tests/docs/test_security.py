"""SECURITY.md names tests that exist, and stays short."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "SECURITY.md").read_text("utf-8")


def test_every_promise_names_tests_that_exist() -> None:
    sources = [path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py")]
    defined = {name for text in sources for name in re.findall(r"^ *def (test_\w+)", text, re.M)}
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    assert len(named) > 20
    assert named <= defined
    promises = PAGE.split("## What is promised")[1].split("## What is not promised")[0]
    assert all("`test_" in promise for promise in promises.strip().split("\n\n"))


def test_the_page_is_short_and_linked() -> None:
    assert len(PAGE.splitlines()) <= 60
    assert "(SECURITY.md)" in (ROOT / "README.md").read_text("utf-8")
