"""Text from outside reaches no terminal, page, Markdown, spreadsheet or file name as it came.

Each way out has one gate: `formatting.clean` for a terminal, Jinja's escaping for a page,
`markdown.sentence` and `code` for Markdown, `csv_cell` for a spreadsheet and
`harmless_json` for records. The first half plants hostile text everywhere and looks at every
output; the second finds code that goes round a gate.
"""

import ast
import csv
import json
import re
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import pytest
from markdown_it import MarkdownIt

from choose.export.exported_model import Model, Prediction
from choose.files import csv_cell
from choose.formatting import clean, harmless_json
from choose.report.markdown import code, sentence
from support.html import parsed

SOURCE = Path(__file__).parents[2] / "src" / "choose"

# Hostile text, by what it attacks. Each is a label, a text, an id and more below.
HOSTILE = {
    "terminal": "\x1b[31mred\x1b]0;title\x07",
    "c1": "\x9b2Jcleared",
    "bidi": "\u202eevil\u2066",
    "tags": "x\U000e0041\U000e0042",
    "html": "<img src=x onerror=alert(1)>",
    "script": "</script><script>alert(1)</script>",
    "link": "[x](javascript:alert(1))",
    "host": "www.evil.example",
    "url": "http://evil.example/a",
    "mail": "a@evil.example",
    "mention": "@everyone",
    "escaped mention": "\\@everyone",
    "issue": "#1 GH-1",
    "table": "a|b",
    "fence": "```\n<b>",
    "formula": "=HYPERLINK(A1)",
    "full width": "\uff1d1+1",
    "template": "{{ 7 * 7 }}{% raw %}",
}
CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\U000e0000-\U000e007f]"
)
# What GitHub links in rendered text: hosts, addresses, mentions and issues.
LINKED = re.compile(r"www\.[\w-]|://\w|[\w.+-]@[\w-]|(?<!\w)@\w|(?<!\w)#\d|\bGH-\d", re.IGNORECASE)
FORMULA = re.compile(r"^[=+\-@\t\r\uff1d\uff0b\uff0d\uff20]")
NUMBER = re.compile(r"^[+-]?[0-9.]+$")


def dangers_of_markdown(text: str) -> list[str]:
    """Return what a renderer would follow: links, images, HTML, and what GitHub links by itself."""
    found = [f"control {m!r}" for m in CONTROL.findall(text)]
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        for inner in [token, *(token.children or [])]:
            if inner.type in ("link_open", "image", "html_inline", "html_block"):
                found.append(f"{inner.type} {inner.content or inner.attrs}")
            if inner.type == "text":
                found += [f"{m!r} in {inner.content!r}" for m in LINKED.findall(inner.content)]
    return found


def dangers_of_csv(text: str) -> list[str]:
    cells = [cell for row in csv.reader(text.splitlines()) for cell in row]
    formulas = [cell for cell in cells if FORMULA.match(cell) and not NUMBER.match(cell)]
    return [*CONTROL.findall(text), *formulas]


def dangers_of_page(text: str) -> list[str]:
    page = parsed(text)
    tags = [tag for tag, attrs in page.seen if tag in ("img", "iframe", "object", "script")]
    tags += [f"{k}={v}" for _, attrs in page.seen for k, v in attrs.items() if k.startswith("on")]
    links = [str(a.get("href")) for tag, a in page.seen if tag == "a"]
    return [*CONTROL.findall(text), *tags, *(link for link in links if not link.startswith("#"))]


def dangers_of_record(text: str) -> list[str]:
    return CONTROL.findall(text)


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_markdown_shows_text_and_follows_none_of_it(text: str) -> None:
    for shown in (
        f"## {sentence(text)}\n\n- {sentence(text)} and {sentence(text)}.",
        f"| a |\n| --- |\n| {sentence(text)} |",
        f"data {code(text)}.",
    ):
        assert dangers_of_markdown(shown) == []


def test_readable_text_stays_readable_in_markdown() -> None:
    assert sentence("refund-not shown (20 %): 3 of 4") == "refund-not shown (20 %): 3 of 4"
    rendered = MarkdownIt("commonmark").parse(sentence("a@b.c www.x #1"))[1].children or []
    assert "".join(token.content for token in rendered) == "a@b.c www.x #1"


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_predictions_and_issues_hold_no_formula(text: str) -> None:
    import io

    row = Prediction(text, text, text, None, text)
    out, lines = io.StringIO(), io.StringIO()
    model = Model(Path(), SimpleNamespace(task=SimpleNamespace(labels=(text,))), None)
    model.write(out, [row], with_text=True, as_json=False)
    model.write(lines, [row], with_text=True, as_json=True)
    assert dangers_of_csv(out.getvalue()) == []
    assert dangers_of_csv(csv_cell(text)) == []
    assert dangers_of_record(lines.getvalue()) == []
    assert json.loads(lines.getvalue())["label"] == text


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_records_keep_text_without_control_characters(text: str) -> None:
    record = harmless_json(json.dumps({text: text}, ensure_ascii=False))
    assert dangers_of_record(record) == []
    assert json.loads(record) == {text: text}


# Everything at once, through every command.

LABELS = [text.replace("\n", " ") for text in HOSTILE.values() if text.isprintable()]


def labelled_set(folder: Path) -> Path:
    """Write rows whose texts, labels, ids and columns are hostile; labels are what is allowed."""
    path = folder / "www.evil.example @everyone =1+1 <b>.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "=text<b>", "@label www.evil.example", "annotator"])
        for n in range(6):
            for kind, label in zip(HOSTILE, [*LABELS, *LABELS], strict=False):
                text = f"{HOSTILE[kind]} {kind} {n} {'once more ' * n}"
                writer.writerow([f"{HOSTILE['formula']}{kind}{n}", text, label, HOSTILE["html"]])
    return path


STUDY = """
[data]
path = {path}
text_column = "=text<b>"
label_column = "@label www.evil.example"
[task]
instruction = {instruction}
[grid]
seeds = 1
noise = [0.0]
views = []
scenarios = []
budget = 60
[[candidates]]
strategy = "majority"
name = {first}
[[candidates]]
strategy = "tfidf"
name = {second}
"""


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    text = STUDY.format(
        path=json.dumps(str(labelled_set(folder))),
        instruction=json.dumps(" ".join(HOSTILE.values()), ensure_ascii=True).replace("\\ud", "?d"),
        first=json.dumps("www.evil.example @everyone =1+1"),
        second=json.dumps("<b>[x](javascript:1) #1 a|b"),
    )
    (folder / "study.toml").write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize("width", [pytest.param(60, marks=pytest.mark.slow), 140])
def test_no_command_lets_text_through(choose, study, tmp_path, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    file = next(study.glob("*.csv"))
    config = study / "study.toml"
    store, folder = tmp_path / "st", tmp_path / "www.evil.example"

    def outputs(name: str, *endings: str) -> list[object]:
        return [part for ending in endings for part in ("-o", tmp_path / f"{name}.{ending}")]

    reports = outputs("r", "html", "md", "json")
    commands = [
        ("check", "-c", config, *outputs("c", "csv", "md", "json")),
        ("check", "-c", config, "--json"),
        ("plan", "-c", config),
        ("plan", "-c", config, "--json"),
        ("compare", "-c", config, "--out", store, *reports),
        ("report", store),
        ("report", store, "--json"),
        ("report", store, store, *outputs("v", "html", "md", "json")),
        ("export", store, folder, "--candidate", "www.evil.example @everyone =1+1"),
        ("predict", folder, file, "--with-text"),
        ("predict", folder, file, "--with-text", "--json"),
        ("predict", folder, file, "-o", tmp_path / "p.csv", "--with-text"),
    ]
    refused = [
        ("compare", "-c", config, "--label-column", HOSTILE["terminal"]),
        ("report", tmp_path / HOSTILE["bidi"]),
        ("compare", tmp_path / HOSTILE["c1"]),
    ]
    for command in [*commands, *refused]:
        result = choose(*command)
        assert result.code == (2 if command in refused else 0), result.err
        assert result.code == 0 or len(result.err.strip().splitlines()) == 1
        assert dangers_of_record(result.out + result.err) == [], command[:2]
    found = {}
    for path in (*tmp_path.glob("*.*"), folder / "README.md", folder / "export.json"):
        if path.is_file():
            text = path.read_text("utf-8")
            gate = {".md": dangers_of_markdown, ".csv": dangers_of_csv, ".html": dangers_of_page}
            found[path.name] = gate.get(path.suffix, dangers_of_record)(text)
    assert found.keys() >= {
        *("c.csv", "c.md", "c.json", "r.html", "r.md", "r.json"),
        *("v.html", "v.md", "v.json", "p.csv", "README.md", "export.json"),
    }
    assert {name: dangers for name, dangers in found.items() if dangers} == {}
    names = [str(p.relative_to(store)) for p in store.rglob("*")]
    assert all(re.fullmatch(r"[\w./-]+", name) for name in names)


# Ways round the gates, found in the source.


@cache
def source(path: Path) -> str:
    return path.read_text("utf-8")


@cache
def every_call(path: Path) -> list[ast.Call]:
    return [node for node in ast.walk(ast.parse(source(path))) if isinstance(node, ast.Call)]


def calls(path: Path, *names: str) -> list[ast.Call]:
    if not any(f"{name}(" in source(path) for name in names):
        return []  # most modules need not be parsed
    return [
        call
        for call in every_call(path)
        if getattr(call.func, "attr", getattr(call.func, "id", None)) in names
    ]


def modules(*folders: str) -> list[Path]:
    return sorted(file for folder in folders for file in (SOURCE / folder).rglob("*.py"))


# Calls that put text on a terminal, and the modules that may: behind each of these is `clean`.
PRINTERS = {
    "typer.echo": {"console.py", "app.py"},
    "print": set(),
    "sys.stderr.write": {"device_and_dtype.py", "output_cache.py"},
    # The last two show a bar.
    "Console": {"notebook.py", "console.py", "fetch_wheel.py", "live_progress.py"},
}


def test_only_the_console_prints() -> None:
    names = {name.rpartition(".")[2] for name in PRINTERS}
    for path in modules("."):
        for call in calls(path, *names):
            name = ast.unparse(call.func)
            assert path.name in PRINTERS.get(name, {path.name}), f"{path.name}: {name}"


# Sources of harmless text: gates, and figures in the forms of `formatting`.
GATES = {"clean", "shorten", "_sentence", "traffic_line", "join"}


def is_gated(node: ast.expr) -> bool:
    """Return whether a text consists of constants, gated calls and module constants alone."""
    if isinstance(node, ast.Constant):
        return True
    if isinstance(node, ast.Name):
        return node.id in ("mark", "line", "sentence", "which") or node.id.isupper()
    if isinstance(node, ast.Call):
        return ast.unparse(node.func).rpartition(".")[2] in GATES
    if isinstance(node, ast.Subscript):
        return isinstance(node.value, ast.Name) and node.value.id.isupper()
    if isinstance(node, ast.BinOp):
        return is_gated(node.left) and is_gated(node.right)
    if isinstance(node, ast.JoinedStr):
        return all(is_gated(v) for v in node.values)
    return isinstance(node, ast.FormattedValue) and is_gated(node.value)


def test_rich_text_is_made_of_cleaned_text() -> None:
    loose = [
        f"{path.name}: {ast.unparse(call)}"
        for path in modules("cli", "report/terminal")
        for call in calls(path, "Text")
        if ast.unparse(call.func) == "Text" and not all(map(is_gated, call.args))
    ]
    assert loose == []


def test_every_cell_of_a_spreadsheet_passes_the_gate() -> None:
    rows = [
        ast.unparse(call.args[0])
        for path in modules(".")
        for call in calls(path, "writerow", "writerows")
    ]
    assert len(rows) >= 4
    # Heads are constants.
    safe = re.compile(r"[A-Z]|\['(id|row)'|.*csv_(cell|lines)")
    assert [row for row in rows if not safe.match(row)] == []


def test_pages_escape_everything_but_what_is_drawn_here() -> None:
    templates = [p.read_text("utf-8") for p in (SOURCE / "report/html/templates").iterdir()]
    assert templates
    assert not [t for t in templates if re.search(r"\|\s*safe|autoescape|Markup", t)]
    assert {p.name for p in modules(".") for c in calls(p, "Markup")} <= {"page.py", "drawings.py"}


def test_clean_leaves_nothing_that_a_terminal_obeys() -> None:
    assert dangers_of_record(clean("".join(map(chr, range(0x110000))))) == []


FULL_WIDTH = ("\uff1da", "\uff0ba", "\uff0da", "\uff20a")
FORMULAS = ("=a", "+a", "-a", "@a", "\t=a", "\ta", "\ra", " =a", " \uff1da", "\x00=a", "-5+1")


@pytest.mark.parametrize("cell", [*FORMULAS, *FULL_WIDTH])
def test_no_cell_is_a_formula(cell: str) -> None:
    assert csv_cell(cell).startswith("'")


@pytest.mark.parametrize("cell", ["+3.5", "-1", "-1,5", "a=b", "", "5"])
def test_numbers_and_plain_text_stay_as_they_are(cell: str) -> None:
    assert csv_cell(cell) == cell


def test_a_cell_is_one_line_without_control_characters() -> None:
    assert csv_cell("a\x1b[2J\r\nb\u202e") == "a[2J  b"
