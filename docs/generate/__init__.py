"""The pages of the reference and the picture of the report, made from the code.

``make docs`` writes them; ``tests/docs/test_reference.py`` fails where a committed page is stale.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from generate.commands import commands_page
from generate.conditions import conditions_page
from generate.picture import picture
from generate.records import decision_page, decision_schema, study_page, study_schema
from generate.strategies import strategies_page

FOLDER = Path(__file__).parent.parent / "generated"
NOTE = "<!-- Made from the code by `make docs`. Change the code, not this page. -->\n\n"


@cache
def pages() -> dict[str, str]:
    """Return every generated file by its name."""
    made = {
        "commands.md": commands_page(),
        "decision.md": decision_page(),
        "strategies.md": strategies_page(),
        "study-file.md": study_page(),
        "conditions.md": conditions_page(),
    }
    schemas = {"decision.schema.json": decision_schema(), "study.schema.json": study_schema()}
    return {
        **{name: NOTE + text for name, text in made.items()},
        "report.svg": picture(),
        **{name: json.dumps(schema, indent=1) + "\n" for name, schema in schemas.items()},
    }
