"""Bad values for every flag, environment variable and key of the study file.

Flags come from the Typer application and keys from `Study`, so a new one is tried without a change
here. A new command is a row of `COMMANDS`, a new variable a row of `VARIABLES`, a new bad value a
row of `NUMBERS`, `TEXTS`, `PATHS` or `VALUES`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import UnionType
from typing import Any, Union, get_args, get_origin

import typer.main
from pydantic import BaseModel

from choose.cli.app import app
from choose.study.config import CandidateSection, Study
from fuzz.files import QUICK
from fuzz.runner import Case

NUMBERS = (
    *("nan", "inf", "-inf", "1e308", "1e400", "-1", "0", "0.5", "9" * 30, "9" * 5000),
    *("", "x", "0x10", "1e-320", "٣", "²", "1_0", "1,5", "true", "--", "\x1b[31m", "\udcff"),
)
TEXTS = (
    *("", " ", "\x1b[31mred", "=1+1", "\uff1d1+1", "a" * 10_000, "\udcff", "nan", "\u202e"),
    *("~nosuchuser/x", "<b>", "-1", "a,b", ",", "nan,inf", "1e308", "9" * 5000, "0s", "1e999h"),
    *("-1s", "9" * 400 + "h", "1/0", "nan%", "http://", "http://a b/v1", "ftp://a/v1", "a.b.c"),
    *("http://[::1", "http://a:99999/v1", "http://u:p@a/v1", "1/3,", "0.1,0.1", "\r\n", "../x"),
)
PATHS = (
    *("", "/dev/null", "/dev/full", "/proc/x.html", "words.csv", "st/data.json", "st", "ex"),
    *("\udcff.html", "a" * 300 + ".html", ".", "x.exe", "\x1b[31m.html", "~nosuchuser/x.html"),
    *("words.csv/x.html", "nul\n.md", ".html"),
)

# What each command starts from; the flag under test is added at the end.
COMMANDS: dict[str, tuple[str, ...]] = {
    "check": ("check", "words.csv"),
    "plan": ("plan", "words.csv", "-s", "majority", "--no-forecast"),
    "compare": ("compare", "words.csv", *QUICK, "--budget", "9s", "--out", "new"),
    "report": ("report", "st"),
    "export": ("export", "st", "new", "--candidate", "majority"),
    "predict": ("predict", "ex", "words.csv"),
    "strategies": ("strategies",),
    "models": ("models",),
}

# Flags of `plan` that need --no-data.
NO_DATA = ("--classes", "--gain", "--minutes-per-label", "--hourly-rate", "--usd")

VARIABLES: dict[str, tuple[str, ...]] = {
    "CHOOSE_THREADS": NUMBERS[:-1],
    "CHOOSE_DTYPE": ("", " ", "float64", "\x1b[31m", "nan", "a" * 10_000, "FLOAT32"),
    "CHOOSE_ENCODER_DTYPE": ("", " ", "float16", "\x1b[31m", "nan", "a" * 10_000),
    "CHOOSE_DEVICE": ("", " ", "tpu", "CUDA", "cuda:99", "\x1b[31m", "nan", "a" * 10_000),
    "CHOOSE_KEEP_GB": NUMBERS[:-1],
    "CHOOSE_CACHE": ("", " ", "~nosuchuser/x", "/dev/null", "/proc/x", "words.csv", "\x1b[31m",
                     "a" * 300, "\udcff"),
    "COLUMNS": ("0", "-1", "1", "nan", "9" * 30, "x"),
    "OMP_NUM_THREADS": ("0", "-1", "nan", "9" * 30, "²"),
    "NO_COLOR": ("1", "\x1b[31m"),
    "TERM": ("dumb", "", "\x1b[31m"),
}  # fmt: skip

# Values as TOML writes them.
VALUES: tuple[str, ...] = (
    *("nan", "inf", "-inf", "1e308", "1e-320", "-1", "0", "-0.0", "0.5", "true", "9" * 25),
    *('""', '" "', '"x"', r'"\u001b[31m"', r'"\u202e"', '"nan"', '"5"', f'"{"a" * 5000}"'),
    *("[]", "[nan]", '["x"]', "[[[1]]]", "{}", "{ a = 1 }", "{ a = nan }", '{ "" = 1 }'),
    *("2024-01-01", "2024-01-01T00:00:00Z", "07:00:00", "9999-12-31", "{ a = { b = 1e308 } }"),
)
# Tried on a whole study too, for what only a run would notice.
DEEP = ("nan", "inf", "1e308", "1e-320", "9" * 25, "true", '""', r'"\u001b[31m"', "2024-01-01",
        "{ a = nan }", '{ "" = 1 }', "[nan]")  # fmt: skip

# Hyperparameters are checked by the strategies; these are tried on each.
PARAMS = {
    "majority": ("seed", "nope"),
    "tfidf": ("C", "seed", "ngrams"),
    "knn": ("k", "encoder"),
    "probe": ("C", "encoder"),
    "lora": ("rank", "epochs", "lr", "base"),
    "few-shot": ("shots", "model"),
}

BASE = {
    "data.path": '"words.csv"',
    "grid.seeds": "1",
    "grid.sizes": "[1.0]",
    "grid.noise": "[0.0]",
    "grid.views": "[]",
    "grid.scenarios": "[]",
    "grid.budget_seconds": "9.0",
    "endpoints.e1.base_url": '"http://127.0.0.1:9/v1"',
    "endpoints.e1.model": '"m"',
    "candidates": '[{ strategy = "majority" }]',
}


def shown(value: str) -> str:
    """Return a value, a long one by its beginning and length."""
    return value if len(value) <= 30 else f"{value[:12]}… ({len(value)})"


def flag_cases() -> Iterator[Case]:
    """Yield each flag of each command with each bad value of its type."""
    root: Any = typer.main.get_command(app)
    for name, command in root.commands.items():
        if name not in COMMANDS:
            continue
        for param in command.params:
            if param.param_type_name == "option" and param.name != "help":
                yield from _flag(name, param)
    for position, value in (("store", v) for v in PATHS if v not in ("st",)):
        yield Case("flags", f"report {position} {shown(value)!r}", ("report", "--", value))
        yield Case("flags", f"export {position} {shown(value)!r}", ("export", "--", value, "new"))
        yield Case("flags", f"predict {position} {shown(value)!r}", ("predict", "--", value, "-"))
    for value in ("nowhere", "", "\x1b[31m", "pypi:", "pypi:a", "~nosuchuser/x", "a" * 5000):
        yield Case("flags", f"models fetch {shown(value)!r}", ("models", "fetch", "--", value))
    for value in ("0", "-1", "nan", "x", "", "1e999h", "9" * 400):
        yield Case(
            "flags",
            f"demo --budget {shown(value)!r}",
            ("demo", f"--budget={value}"),
            ("--budget", "budget"),
        )


def _flag(command: str, param: Any) -> Iterator[Case]:
    long = max(param.opts, key=len)
    start = COMMANDS[command]
    if long in NO_DATA:
        start = ("plan", "--no-data", *(() if long == "--classes" else ("--classes", "5")))
    if long == "--usd":
        start = (*start, "--hourly-rate", "30", "--minutes-per-label", "1")
    if long in ("--base-url", "--api-key-env", "--usd-per-million"):
        start = (*start, "--model", "m")
        if long != "--base-url":
            start = (*start, "--base-url", "http://127.0.0.1:9/v1")
    if param.is_flag:
        yield Case("flags", f"{command} {long}=5", (*start, f"{long}=5"), (long,))
        return
    kinds = {"int": NUMBERS, "float": NUMBERS, "Path": PATHS}
    word = long.removeprefix("--").replace("-", "_")
    more = {"test": "file", "encoder": "model", "tune": "model", "min_confidence": "confidence"}
    names = (long, word, word.replace("_", " "), more.get(word, word))
    kind = _type(param)
    for value in kinds.get(kind, TEXTS):
        loose = kind == "Path" or value == ""
        yield Case(
            "flags",
            f"{command} {long} {shown(value)!r}",
            (*start, f"{long}={value}"),
            () if loose else (*names, value[:20].strip() or long),
        )


def _type(param: Any) -> str:
    """Return the name of the Python type of a flag; Typer keeps it in a descriptor."""
    annotation = param.type_descriptor.annotation
    inner = [part for part in get_args(annotation) if part is not type(None)]
    return getattr(inner[0] if inner else annotation, "__name__", "str")


def environment_cases() -> Iterator[Case]:
    for variable, values in VARIABLES.items():
        for value in values:
            arguments = COMMANDS["compare"]
            names = (variable, repr(value)[1:20])
            label, given = f"{variable}={shown(value)!r}", {variable: value}
            yield Case("environment", label, arguments, names, {}, given)
            if variable in ("CHOOSE_CACHE", "CHOOSE_KEEP_GB"):
                yield Case("environment", f"models, {label}", ("models",), names, {}, given)


def keys(model: type[BaseModel] = Study, prefix: str = "") -> Iterator[str]:
    """Yield each key of the study file, with `*` for names that the user chooses."""
    for name, field in model.model_fields.items():
        key = f"{prefix}{name}"
        yield key
        inner = _inner(field.annotation)
        if inner is CandidateSection:
            continue
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            many = get_origin(field.annotation) is not None
            yield from keys(inner, f"{key}.e1." if many else f"{key}.")
        elif get_origin(field.annotation) is Mapping or "Mapping" in str(field.annotation):
            yield f"{key}.majority"


def _inner(annotation: Any) -> Any:
    for part in get_args(annotation) or (annotation,):
        if get_origin(part) in (Union, UnionType):
            return _inner(part)
        if isinstance(part, type) and issubclass(part, BaseModel):
            return part
    return annotation


def study_of(changed: Mapping[str, str]) -> bytes:
    """Write the base study with some keys changed; a section replaces what is below it."""
    lines = {
        key: value
        for key, value in BASE.items()
        if not any(key.startswith(f"{k}.") for k in changed)
    }
    lines |= changed
    return "\n".join(f"{key} = {value}" for key, value in lines.items()).encode() + b"\n"


PLAN = ("plan", "-c", "study.toml", "--no-forecast")
COMPARE = ("compare", "-c", "study.toml", "--out", "new")


def key_cases() -> Iterator[Case]:
    """Yield each key of the study file with each bad value."""
    for key in keys():
        for value in VALUES:
            yield from _key(key, value, study_of({key: value}))
    for field in CandidateSection.model_fields:
        for value in VALUES:
            table = {"strategy": '"majority"', field: value}
            written = ", ".join(f"{k} = {v}" for k, v in table.items())
            study = study_of({"candidates": f"[{{ {written} }}]"})
            yield from _key(f"candidates.{field}", value, study)
    for strategy, names in PARAMS.items():
        for name in names:
            for value in VALUES:
                written = f'{{ strategy = "{strategy}", params = {{ {name} = {value} }} }}'
                yield from _key(
                    f"candidates.params.{name}",
                    value,
                    study_of({"candidates": f"[{written}]"}),
                    strategy,
                )


def _key(key: str, value: str, study: bytes, strategy: str = "") -> Iterator[Case]:
    last = key.removesuffix(".majority").split(".")[-1]
    label = f"{key}{f' of {strategy}' if strategy else ''} = {shown(value)}"
    # A column or model that is not there is named by its value.
    more = {"path": "file", "test": "file", "encoder": "model", "base": "model", "data": "DATA"}
    more["params"] = "hyperparameter"
    names = (last, last.replace("_", " "), more.get(last, last))
    names += (value.strip('"')[:40],) if len(value) > 4 else ()
    yield Case("study keys", label, PLAN, names, {"study.toml": study})
    if value in DEEP and strategy in ("", "majority", "tfidf"):
        yield Case("study keys", f"compare: {label}", COMPARE, names, {"study.toml": study})
