"""Pages, what a browser would see of them, and text that tries to break out of them."""

import json
from collections.abc import Mapping
from html.parser import HTMLParser

from choose.report.write import render_html
from choose.schema.decision import Decision

VOID = {"meta", "br", "img", "hr", "input", "link"}


VECTORS = (
    "<script>document.title='owned'</script>",
    "<img src=x onerror=\"document.title='owned'\">",
    '"><svg onload="document.title=\'owned\'">',
    "<a href=\"javascript:document.title='owned'\">x</a>",
    "'); document.title='owned'; ('",
    "{{ 7 * 7 }}{% raw %}",
    "datum['x'] + toString(window)",
    "<style>*{background:url(http://127.0.0.1:PORT/css)}</style>",
    "<img src=http://127.0.0.1:PORT/img>",
    "<iframe src=http://127.0.0.1:PORT/frame></iframe>",
    "<link rel=stylesheet href=http://127.0.0.1:PORT/link>",
    "\x1b[31mred\x1b[0m \x07 \u202eevil\u202c",
    "</title></style></svg></table><h1>owned</h1>",
)


class Tags(HTMLParser):
    """Collects what a browser would act on, and whether every tag is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.wrong: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if self.open and self.open[-1] == tag:
            self.open.pop()
        else:
            self.wrong.append(tag)


def parsed(page: str) -> Tags:
    tags = Tags()
    tags.feed(page)
    return tags


_PAGES: dict[tuple[str, str], str] = {}


def page_of(decision: Decision, texts: Mapping[str, str] | None = None) -> str:
    """Return the page of a decision; it is drawn once, since its charts take a second."""
    key = decision.model_dump_json(by_alias=True), json.dumps(texts)
    if key not in _PAGES:
        _PAGES[key] = render_html(decision, texts)
    return _PAGES[key]
