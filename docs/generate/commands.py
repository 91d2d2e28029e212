"""The command reference, from the commands themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from inspect import getdoc
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_type_hints

import typer

from choose.cli.app import app
from generate.markdown import code, table

INTRO = """# Commands

What `choose COMMAND --help` prints, in the order in which you meet the commands. Flags override
the [study file](study-file.md). An option that is not given takes its default from there.

Exit codes: 0 when it is done, whatever the verdict; 2 for bad input, with one line that says what
to do; 3 for an expectation that is not met (see [In a build](../ci.md)); 70 for a fault of `choose`
itself; 130 when you interrupt it, with what was finished judged and kept.

"""
WORDS = {str: "text", int: "whole number", float: "number", Path: "file or folder", bool: ""}
ROOT_PANEL = "Options"


@dataclass(frozen=True, slots=True)
class Command:
    """A command under its full name, with the function behind it and typer's parameters."""

    name: str
    function: Callable[..., Any]
    params: tuple[Any, ...]


def commands_page() -> str:
    """Return the page."""
    return INTRO + "\n".join(_section(command) for command in commands())


def commands() -> Iterator[Command]:
    """Yield every command, a group's own before those inside it."""
    built: Any = typer.main.get_command(app)
    functions: dict[str, Any] = {_name(info): info.callback for info in app.registered_commands}
    groups: dict[str, Any] = {str(g.name): g.typer_instance for g in app.registered_groups}
    for name, command in built.commands.items():
        if name not in groups:
            yield Command(name, functions[name], tuple(command.params))
            continue
        inner = groups[name]
        yield Command(name, inner.registered_callback.callback, tuple(command.params))
        for info in inner.registered_commands:
            params = command.commands[_name(info)].params
            yield Command(f"{name} {_name(info)}", info.callback, tuple(params))


def flag_names(command: str) -> dict[str, str]:
    """Return the flag of each parameter of a command."""
    (found,) = [c for c in commands() if c.name == command]
    return {p.name: max(p.opts, key=len) for p in found.params if p.param_type_name == "option"}


def _name(info: Any) -> str:
    return str(info.name or info.callback.__name__)


def _section(command: Command) -> str:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    usage = " ".join(["choose", command.name, *(_place(p) for p in arguments), "[OPTIONS]"])
    parts = [f"## choose {command.name}\n", f"{getdoc(command.function)}\n", f"    {usage}\n"]
    if arguments:
        told = [(code(p.name.upper()), p.help) for p in arguments]
        parts.append(table(("argument", "what it is"), told))
    for panel, options in _panels(command).items():
        rows = [_option(command, p) for p in options]
        parts.append(table((panel, "what it does", "takes"), rows))
    return "\n".join(parts)


def _place(param: Any) -> str:
    many = "..." if param.nargs == -1 else ""
    name = f"{param.name.upper()}{many}"
    return name if param.required else f"[{name}]"


def _panels(command: Command) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for param in command.params:
        if param.param_type_name == "option" and not param.hidden:
            found.setdefault(param.rich_help_panel or ROOT_PANEL, []).append(param)
    return found


def _option(command: Command, param: Any) -> tuple[str, str, str]:
    flags = ", ".join(code(flag) for flag in sorted(param.opts, key=len, reverse=True))
    takes = WORDS[_type(command.function, param.name)]
    return flags, f"{param.help}{_default(param)}", takes


def _type(function: Callable[..., Any], name: str) -> type:
    """Return the plain type of a parameter: int of ``list[int] | None``."""
    found = get_type_hints(function)[name]
    while get_args(found):
        found = next(part for part in get_args(found) if part is not NoneType)
    assert isinstance(found, type)
    return found


def _default(param: Any) -> str:
    default = param.default
    if default is None or default is False or default == () or "Default" in param.help:
        return ""
    return f" Default: {code(default)}."
