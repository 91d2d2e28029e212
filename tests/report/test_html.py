"""The HTML page: everything in it, nothing that runs, nothing that leaves."""

import re
import shutil
import subprocess
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import get_args

import pytest

from choose.report import words
from choose.schema.decision import Decision
from choose.schema.diagnosis import Audit, Suspect
from choose.stats import Estimate
from choose.types import Kind
from support import decisions
from support.html import VECTORS, page_of, parsed

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next(filter(None, map(shutil.which, BROWSERS)), None)


def hostile(vectors: tuple[str, ...] = VECTORS) -> Decision:
    """Return a decision with every vector where text of data, models or errors can stand."""
    found, api = decisions.answered(), decisions.served()
    served = api.scorecards[0].model_copy(update={"candidate": "api", "chosen": False})
    facts = {
        "method": api.method,
        "scorecards": (*found.scorecards, served),
        "loss_splits": tuple(decisions.loss_split(name) for name in "abcdefghijklmnop"),
    }
    return decisions.poisoned(found.model_copy(update=facts), vectors)


@pytest.mark.parametrize("kind", [*get_args(Kind), None])
def test_every_verdict_makes_a_whole_page(kind: Kind | None) -> None:
    """Without a kind, nearly nothing was measured."""
    decision = decisions.decision(kind) if kind else decisions.bare()
    page = page_of(decision)
    tags = parsed(page)
    assert not tags.open
    assert not tags.wrong
    assert words.answer(decision) in page.replace("&#39;", "'").replace("&nbsp;", " ")
    assert "None" not in page
    assert len(page) < 1_000_000


def test_sections_are_listed_and_led_to() -> None:
    for made, about in ((decisions.served(), "labels"), (decisions.reading(), "reading")):
        contents = page_of(made).partition("<nav")[2].partition("</nav>")[0]
        listed = re.findall(r'<a href="#([a-z]+)">', contents)
        assert listed == ["decision", "see", about, "money", "evidence", "method", "again"]


def test_the_first_screen_speaks_without_statistics() -> None:
    page = page_of(decisions.decision())
    first = re.sub(r"<[^>]+>", " ", page[page.index("<header>") : page.index("</header>")])
    for word in ("interval", "p-value", "Holm", "variance", "estimand", "standard deviation"):
        assert word not in first


def test_every_figure_of_the_record_is_on_the_page() -> None:
    decision = decisions.decision()
    page = page_of(decision)
    for card in decision.scorecards:
        if card.accuracy:
            assert f"{100 * card.accuracy.value:.1f}" in page
    for gate in decision.gates:
        assert gate.name in page


def test_a_page_for_many_rows_is_small_enough_for_a_mail() -> None:
    texts = {str(i): "word " * 400 for i in range(3000)}
    suspects = tuple(
        Suspect(id=str(i), label="a", suggested="b", score=3.0, agree=2, answered=3)
        for i in range(3000)
    )
    audit = Audit(
        auditors=("probe",),
        rows=3000,
        accuracy=Estimate(value=0.9),
        suspected=3000,
        suspects=suspects,
    )
    page = page_of(decisions.decision().model_copy(update={"audit": audit}), texts)
    assert "word word" in page
    assert len(page.encode()) < 2_000_000


def test_hostile_text_makes_no_tag_no_handler_and_no_address() -> None:
    tags = parsed(page_of(hostile())).seen
    harmless = (decisions.served(), decisions.reading(), decisions.answered())
    allowed = {tag for made in harmless for tag, _ in parsed(page_of(made)).seen}
    assert {tag for tag, _ in tags} <= allowed
    for tag, attrs in tags:
        assert not [name for name in attrs if name.startswith("on")], tag
        assert "javascript:" not in str(attrs.get("href", ""))
        assert tag not in ("script", "iframe", "object", "embed", "img", "link")
    page = page_of(hostile())
    assert "{{ 7 * 7 }}" in page  # shown, not computed
    assert "\x1b" not in page
    assert "\u202e" not in page


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no Chromium here")
def test_nothing_runs_and_no_request_leaves_in_a_real_browser(tmp_path: Path) -> None:
    asked: list[str] = []

    class Trap(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.send_header("Connection", "close")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Trap)
    Thread(target=server.serve_forever, daemon=True).start()
    vectors = tuple(v.replace("PORT", str(server.server_port)) for v in VECTORS)
    page = tmp_path / "report.html"
    page.write_text(page_of(hostile(vectors)), encoding="utf-8")
    # The same text as markup, to see that the trap would have caught it.
    bait = tmp_path / "bait.html"
    bait.write_text(f"<body>{''.join(vectors)}", encoding="utf-8")
    try:
        assert "owned" in dom(bait, tmp_path)
        assert asked
        asked.clear()
        shown = dom(page, tmp_path)
    finally:
        server.shutdown()
    assert not asked
    assert "<title>owned" not in shown
    assert re.search(r"<title>choose: [^<]*&lt;script&gt;|<title>choose: ", shown)


def dom(page: Path, home: Path) -> str:
    assert BROWSER is not None
    done = subprocess.run(
        [
            BROWSER,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--dump-dom",
            f"--user-data-dir={home / 'profile'}",
            "--virtual-time-budget=3000",
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout
