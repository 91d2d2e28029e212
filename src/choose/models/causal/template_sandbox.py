"""Limits on the size, time, memory and output of chat templates: they are strangers' programs."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from choose.errors import ModelError

# Templates in use have up to 30,000 characters and take milliseconds.
MAX_CHARACTERS = 500_000
MAX_SECONDS = 5.0
MAX_BYTES = 1 << 30
MAX_OUTPUT = 100_000


def limit_rendering(renderer: Any) -> None:
    """Let a tokenizer or processor render its chat template within limits only.

    Raises:
        ModelError: if the template is too long, or multiplies without bounds.
    """
    template = getattr(renderer, "chat_template", None)
    if not template:
        return
    for text in template.values() if isinstance(template, dict) else [template]:
        _check_text(str(text))
    if getattr(renderer, "_choose_limited", False):
        return
    render = renderer.apply_chat_template

    def limited(chat: Any, *args: Any, **kwargs: Any) -> Any:
        with rendering_limits():
            result = render(chat, *args, **kwargs)
        # Contents count too, and each message has a scaffold of its own.
        allowed = MAX_OUTPUT + 1_000 * len(chat) + 4 * len(str(chat))
        if isinstance(result, str) and len(result) > allowed:
            raise _refusal(f"renders {len(result):,} characters")
        return result

    renderer.apply_chat_template = limited
    renderer._choose_limited = True


@contextmanager
def rendering_limits(seconds: float | None = None) -> Iterator[None]:
    """Stop Python code in the block after seconds of its own time, or when it needs a gigabyte.

    A single call of a compiled function is not interrupted; memory bounds what it works on.

    Raises:
        ModelError: if a limit is reached.
    """
    import jinja2.ext
    import jinja2.meta
    import jinja2.sandbox  # noqa: F401  # imports would count as the template's time

    seconds = MAX_SECONDS if seconds is None else seconds
    end, before = time.thread_time() + seconds, sys.gettrace()

    def check(frame: Any, event: str, argument: Any) -> Any:
        if time.thread_time() > end:
            raise _refusal(f"runs for more than {seconds:g} seconds")
        return check

    with _memory_limit():
        sys.settrace(check)
        try:
            yield
        except MemoryError as error:
            raise _refusal("needs more than a gigabyte of memory") from error
        finally:
            sys.settrace(before)


@contextmanager
def _memory_limit() -> Iterator[None]:
    """Limit the address space of the process to a gigabyte more, where the system can (Linux)."""
    limits = None
    with suppress(ImportError, OSError, ValueError):
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + MAX_BYTES
        limits = resource.getrlimit(resource.RLIMIT_AS)
        if limits[0] == resource.RLIM_INFINITY or limits[0] > most:
            resource.setrlimit(resource.RLIMIT_AS, (most, limits[1]))
        else:
            limits = None
    try:
        yield
    finally:
        if limits is not None:
            resource.setrlimit(resource.RLIMIT_AS, limits)


def _check_text(template: str) -> None:
    if len(template) > MAX_CHARACTERS:
        raise _refusal(f"has {len(template):,} characters, more than {MAX_CHARACTERS:,}")
    if _multiplies(template):
        raise _refusal("multiplies or takes powers of numbers that are not fixed")


def _multiplies(template: str) -> bool:
    """Return whether a template computes a power, or a product without one fixed factor.

    Such a number can have so many digits that one operation takes minutes.
    """
    from jinja2 import Environment, TemplateSyntaxError

    products, tokens = 0, []
    with suppress(TemplateSyntaxError, RecursionError):  # rendering will fail
        tokens = [t for t in Environment().lex(template) if t[1] != "whitespace"]
    for number, (_, kind, value) in enumerate(tokens):
        products = 0 if kind.endswith("_begin") else products
        if kind == "operator" and value in ("*", "**"):
            products += 1
            around = {token[1] for token in tokens[max(0, number - 1) : number + 2]}
            if value == "**" or products > 1 or not around & {"integer", "string"}:
                return True
    return False


def _refusal(what: str) -> ModelError:
    return ModelError(
        f"The model's chat template {what}, so it is not used. Name another model, or remove the "
        "template (chat_template.jinja, or chat_template in tokenizer_config.json) from its folder."
    )
