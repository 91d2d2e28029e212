"""Read a file of answers: a table, or what a tool or a batch service wrote.

Read are logs of inspect (``.eval``, a ZIP archive with a file a sample, and ``.json``), results of
promptfoo (``promptfoo eval -o results.json``), samples of lm-evaluation-harness (written with
``--log_samples``), and outputs of batches at OpenAI and Anthropic, joined by ``custom_id``.
"""

import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile, ZipInfo

import polars as pl

from choose.data.readers.column_guess import LABEL, QUESTION, TEXT, usual
from choose.data.readers.json_and_parquet import ROW
from choose.data.readers.labelled_file import LARGEST, checked_file, read_source
from choose.errors import ChooseError, DataError
from choose.formatting import plural
from choose.outside_values import finite
from choose.tasks.value_parsing import json_in, scalar_text

_RIGHT = ("gold", "gold_label", "gold_answer", "expected", "expected_output", "ground_truth")
GOLD = (*_RIGHT, "truth", *LABEL, "reference", "answer", "answers")
ID = ("id", "row_id", "example_id", "item_id", "question_id", "custom_id", "doc_id", "uid", "row")
TEXTS = (*TEXT, *QUESTION, "prompt")

# Scores that inspect writes as letters.
_LETTERS = {"C": 1.0, "I": 0.0, "P": 0.5, "N": 0.0}

# What a reader raises in a file that is laid out in another way.
_OTHER_FORM = (AttributeError, TypeError, LookupError, ValueError, ArithmeticError, RecursionError)

# Figures of an answer that a tool may have measured.
FIGURES = ("seconds", "tokens_in", "tokens_out", "usd")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """One answer in the file of a tool.

    Attributes:
        row: id of the question.
        candidate: who answered; `draw` counts repeated answers to one question.
        answer: as the model wrote it; None where it gave none.
        text: the question.
        failed: whether the request failed, so that the question was not asked.
        gold: the right answer; None where the file has none.
        score: of this answer by the tool, from 0 to 1; None where it gave none.
        seconds: that the answer took; so tokens and dollars, None where not measured.
    """

    row: str
    candidate: str
    answer: str | None
    draw: int = 0
    text: str | None = None
    failed: bool = False
    gold: Any = None
    score: float | None = None
    seconds: float | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    usd: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerFile:
    """A file as a table with a row a question.

    Attributes:
        path: of the file.
        tool: which tool wrote it; empty for a table.
        told: by column what a tool wrote for each row; empty where columns are to be found.
        scores: whether cells are scores from 0 to 1 in place of answers.
        notes: what was remarkable in reading it.
    """

    path: str
    table: pl.DataFrame
    tool: str = ""
    told: Mapping[str, Sequence[Answered | None]] = field(default_factory=dict)
    scores: bool = False
    notes: tuple[str, ...] = ()


def laid_out(path: str, tool: str, answers: Iterable[Answered], scores: bool) -> AnswerFile:
    """Lay answers out with a row a question and a column a candidate and draw.

    Where no question has a right answer, the tool's own scores are taken.
    """
    rows: dict[str, Answered] = {}
    columns: dict[str, dict[int, dict[str, Answered]]] = {}
    for one in answers:
        rows.setdefault(one.row, one)
        taken = one.candidate in ("", ROW, "id", "text", "label")
        name = f"{one.candidate} answers".strip() if taken else one.candidate
        column = columns.setdefault(name, {}).setdefault(one.draw, {})
        if column.setdefault(one.row, one) is not one:
            raise DataError(f"{path!r} answers the question {one.row!r} twice for {one.candidate}.")
    told = {
        f"{name}#{draw}" if len(draws) > 1 else name: [*map(own.get, rows)]
        for name, draws in columns.items()
        for draw, own in draws.items()
    }
    asked = [one for column in told.values() for one in column if one]
    every = [one for one in asked if not one.failed]
    if not every:
        raise DataError(f"{path!r} holds no answers: every request failed, or there was none.")
    graded = all(finite(one.score, 0, 1) is not None for one in every)
    if scores and not graded:
        raise DataError(f"{path!r} holds no scores from 0 to 1. Leave --scores out.")
    scores |= graded and all(one.gold is None for one in rows.values())
    failed = f", {plural(len(asked) - len(every), 'request')} failed" * (len(asked) > len(every))
    graders = f"; no right answers, so figures are the scores by {tool}" * scores
    return AnswerFile(
        path=path,
        table=_table(rows, told, scores),
        tool=tool,
        told=told,
        scores=scores,
        notes=(f"{Path(path).name}, by {tool}: {plural(len(every), 'answer')}{failed}{graders}.",),
    )


def _table(
    rows: Mapping[str, Answered], told: Mapping[str, Sequence[Answered | None]], scores: bool
) -> pl.DataFrame:
    cells = {
        "id": list(rows),
        "text": [as_text(one.text) or id for id, one in rows.items()],
        "label": [as_text(one.gold) for one in rows.values()],
    }
    for name, column in told.items():
        taken = ((one.score if scores else one.answer) if one else None for one in column)
        cells[name] = [as_text(value) for value in taken]
    table = pl.DataFrame(cells, schema=dict.fromkeys(cells, pl.String))
    return table.with_row_index(ROW, 1).with_columns(pl.col(ROW).cast(pl.Int64))


def as_text(value: Any) -> str | None:
    """Return what a model wrote as text: JSON where it is a list or an object."""
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False)
    return scalar_text(value)


def read_answers(path: str, scores: bool = False) -> AnswerFile:
    """Read a file of answers; with `scores`, what a tool scored in place of what models wrote."""
    head = _head(path)
    tool = _tool_of(path, head) if Path(path).is_file() else ""
    if not tool:
        source = read_source(path)
        return AnswerFile(path=path, table=source.table, scores=scores, notes=source.notes)
    try:  # a reader takes the form of its version for granted
        return laid_out(path, tool, _READERS[tool](path, head), scores)
    except ChooseError:
        raise
    except _OTHER_FORM as error:
        raise DataError(
            f"{path!r} is not laid out as {tool} writes it. Write it again with a current "
            "version, or give a table with a column label and one a candidate."
        ) from error


def _tool_of(path: str, head: Mapping[str, Any]) -> str:
    if path.lower().endswith(".eval") or {"eval", "status", "version"} <= head.keys():
        return "inspect"
    if "evalId" in head and isinstance(head.get("results"), Mapping):
        return "promptfoo"
    if {"doc_id", "filtered_resps", "target"} <= head.keys():
        return "lm-eval"
    batch = "custom_id" in head and {"response", "result"} & head.keys()
    return "a batch service" if batch else ""


def _head(path: str) -> Mapping[str, Any]:
    lower, found = path.lower(), None
    if lower.endswith((".json", ".jsonl", ".ndjson")):
        with suppress(OSError, ValueError, RecursionError), checked_file(path, LARGEST) as file:
            text = file.open(encoding="utf-8-sig")
            with text:
                found = json.loads(text.read() if lower.endswith(".json") else text.readline())
    return found if isinstance(found, Mapping) else {}


def _inspect(path: str, head: Mapping[str, Any]) -> Iterator[Answered]:
    """Yield the answers of a log; epochs are draws, and samples with an error have none."""
    log = head or _archive(path)
    if not log.get("samples"):
        raise DataError(f"{path!r} holds no samples: it was written with --no-log-samples.")
    name = str(log["eval"].get("model", "model")).rpartition("/")[2]
    for sample in log["samples"]:
        scored: Mapping[str, Any] = next(iter((sample.get("scores") or {}).values()), {})
        usage: Mapping[str, Any] = next(iter((sample.get("model_usage") or {}).values()), {})
        completion = (sample.get("output") or {}).get("completion")
        asked, target = sample.get("input"), sample.get("target")
        value = scored.get("value")
        yield Answered(
            row=str(sample.get("id")),
            candidate=name,
            draw=int(sample.get("epoch") or 1) - 1,
            answer=as_text(scored.get("answer") or completion),
            failed=bool(sample.get("error")),
            text=asked if isinstance(asked, str) else as_text((asked or [{}])[-1].get("content")),
            gold=target[0] if isinstance(target, list) and target else target or None,
            score=_LETTERS.get(value) if isinstance(value, str) else value,
            seconds=sample.get("working_time"),
            tokens_in=usage.get("input_tokens"),
            tokens_out=usage.get("output_tokens"),
        )


def _archive(path: str) -> Mapping[str, Any]:
    try:
        with ZipFile(path) as archive:
            parts = {i.filename: i for i in archive.infolist()}
            if sum(part.file_size for part in parts.values()) > LARGEST:
                raise DataError(f"{path!r} unpacks to more than {LARGEST / 1e9:g} GB.")
            if "header.json" not in parts:
                raise DataError(f"{path!r} is a log of a run that has not ended. Wait for it.")
            samples = [_part(archive, parts[n]) for n in parts if n.startswith("samples/")]
            return {**_part(archive, parts["header.json"]), "samples": samples}
    except (BadZipFile, OSError, ValueError, pl.exceptions.PolarsError) as error:
        raise DataError(f"{path!r} cannot be read as a log of inspect: {error}.") from error


def _part(archive: ZipFile, part: ZipInfo) -> Mapping[str, Any]:
    if part.compress_type != 93:  # zstd, which Python reads from 3.14 on
        found = json.loads(archive.read(part))
    else:
        with Path(str(archive.filename)).open("rb") as file:
            file.seek(part.header_offset)
            head = file.read(30)  # the lengths of the name and of further fields come last
            lengths = (int.from_bytes(head[i : i + 2], "little") for i in (26, 28))
            file.seek(part.header_offset + 30 + sum(lengths))
            lines = pl.read_lines(io.BytesIO(file.read(part.compress_size))).to_series()
        found = json.loads("\n".join(lines))
    return found if isinstance(found, Mapping) else {}


def _promptfoo(path: str, head: Mapping[str, Any]) -> Iterator[Answered]:
    """Yield the answers of a file; each prompt of a provider is a candidate of its own."""
    results = head["results"]["results"]
    prompts: dict[str, list[Any]] = {}
    for one in results:
        known = prompts.setdefault(_provider(one), [])
        if one.get("promptIdx") not in known:
            known.append(one.get("promptIdx"))
    rows: dict[str, str] = {}
    draws: Counter[tuple[str, str]] = Counter()
    for one in results:
        name = _provider(one)
        if len(prompts[name]) > 1:
            name = f"{name} prompt {1 + prompts[name].index(one.get('promptIdx'))}"
        # A repeated test has another number, and the same variables.
        same = json.dumps(one.get("vars"), sort_keys=True)
        row = rows.setdefault(same, str(one.get("testIdx", len(rows))))
        yield _answered(one, name, row, draws[name, row])
        draws[name, row] += 1


def _provider(one: Mapping[str, Any]) -> str:
    provider = one.get("provider") or {}
    return str(provider.get("label") or provider.get("id") or "provider")


def _answered(one: Mapping[str, Any], name: str, row: str, draw: int) -> Answered:
    variables, response = one.get("vars") or {}, one.get("response") or {}
    gold = usual(list(variables), GOLD)
    text = usual([key for key in variables if key != gold], TEXTS)
    tokens, latency = response.get("tokenUsage") or {}, one.get("latencyMs")
    return Answered(
        row=row,
        candidate=name,
        draw=draw,
        answer=as_text(response.get("output")),
        failed=response.get("output") is None,
        text=str(variables[text]) if text else (one.get("prompt") or {}).get("raw"),
        gold=variables[gold] if gold else _asserted(one),
        score=one.get("score"),
        seconds=latency / 1000 if isinstance(latency, int | float) else None,
        tokens_in=tokens.get("prompt"),
        tokens_out=tokens.get("completion"),
        usd=response.get("cost"),
    )


def _asserted(one: Mapping[str, Any]) -> str | None:
    for part in (one.get("gradingResult") or {}).get("componentResults") or ():
        asserted = part.get("assertion") or {}
        if asserted.get("type") in ("equals", "iequals", "icontains", "contains", "is-equal"):
            shown = (part.get("metadata") or {}).get("renderedAssertionValue")
            value = asserted.get("value") if shown is None else shown
            return value if isinstance(value, str) else json.dumps(value)
    return None


def _lm_eval(path: str, head: Mapping[str, Any]) -> Iterator[Answered]:
    """Yield the answers of a file, of the first of its filters.

    The candidate is named after the folder, which lm-eval names after the model.
    """
    name = Path(path).absolute().parent.name.rpartition("__")[2] or "model"
    first = head.get("filter")
    for line in _lines(path):
        if line.get("filter") != first:
            continue
        choices, answer = _choices(line), line["filtered_resps"][0]
        target, doc = as_text(line["target"]) or "", line.get("doc") or {}
        question = usual(list(doc), TEXTS)
        if choices:
            likeliest = [float(pair[0]) for pair in line["filtered_resps"]]
            answer = choices[likeliest.index(max(likeliest))]
            if target.isdigit() and int(target) < len(choices):
                target = choices[int(target)]
        metrics = [line.get(metric) for metric in line.get("metrics", ())]
        yield Answered(
            row=str(line["doc_id"]),
            candidate=name,
            answer=as_text(answer),
            text=str(doc[question]) if question else None,
            gold=target.strip() or None,
            score=next((m for m in metrics if isinstance(m, int | float)), None),
        )


def _lines(path: str) -> Iterator[dict[str, Any]]:
    with Path(path).open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            found = json_in(line, "{")
            if not isinstance(found, dict):
                raise DataError(
                    f"Line {number} of {path!r} is no JSON object: the file was cut off or edited. "
                    "Write it again."
                )
            yield found


def _choices(line: Mapping[str, Any]) -> list[str]:
    if not all(isinstance(r, list) and len(r) == 2 for r in line["filtered_resps"]):
        return []
    asked = line.get("arguments") or {}
    parts = asked.values() if isinstance(asked, Mapping) else asked
    return [str(p["arg_1"] if isinstance(p, Mapping) else p[1]).strip() for p in parts]


def _batch(path: str, head: Mapping[str, Any]) -> Iterator[Answered]:
    """Yield the answers of a file; requests that failed or expired have none."""
    bodies: dict[str, Mapping[str, Any]] = {}
    for line in _lines(path):
        response, result = line.get("response") or {}, line.get("result") or {}
        bodies[str(line.get("custom_id"))] = result.get("message") or response.get("body") or {}
    # A request that failed names no model.
    model = next((str(body["model"]) for body in bodies.values() if body.get("model")), "batch")
    for row, body in bodies.items():
        usage, text = body.get("usage") or {}, _text_of_batch(body)
        yield Answered(
            row=row,
            candidate=str(body.get("model") or model),
            answer=text,
            failed=text is None,
            tokens_in=usage.get("prompt_tokens", usage.get("input_tokens")),
            tokens_out=usage.get("completion_tokens", usage.get("output_tokens")),
        )


def _text_of_batch(body: Mapping[str, Any]) -> str | None:
    if choices := body.get("choices"):
        message = choices[0].get("message") or {}
        return message.get("content") or message.get("refusal") or ""
    said = [part for item in body.get("output") or () for part in item.get("content") or ()]
    parts = [part.get("text") for part in said or body.get("content") or ()]
    texts = [text for text in parts if isinstance(text, str)]
    return "".join(texts) if texts else None


_READERS = {
    "inspect": _inspect,
    "promptfoo": _promptfoo,
    "lm-eval": _lm_eval,
    "a batch service": _batch,
}
