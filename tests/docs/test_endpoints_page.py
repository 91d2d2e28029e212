"""The page on endpoints: its study files are read, its flags exist, its study runs."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from choose.models.endpoints.providers import PROVIDERS
from support.chat_server import counting, serving
from support.endpoint_studies import KEY_VARIABLE, ONCE, bench, words_rule

PAGE = Path(__file__).parents[2] / "docs" / "endpoints.md"


def blocks(language: str) -> list[str]:
    fences = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.S | re.M)
    return [text for name, text in fences if name == language]


def test_the_table_of_providers_is_the_one_in_use() -> None:
    page = PAGE.read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if re.match(r"\| `\w+:` \|", line)]
    assert len(rows) == len(PROVIDERS)
    for (name, provider), row in zip(PROVIDERS.items(), rows, strict=True):
        assert row.startswith(f"| `{name}:` | {provider.name} | `{provider.base_url}` | ")
        assert all(f"`{variable}`" in row for variable in provider.keys)


@pytest.mark.slow
def test_the_study_runs(tmp_path: Path) -> None:
    study: dict[str, Any] = tomllib.loads(blocks("toml")[0])
    with serving(counting(words_rule)) as server:
        here = bench(tmp_path, server.url, secret="k-0123456789")
        study["data"] = {"path": "rows.csv"}
        study["task"] = {}
        study["grid"] |= {k: v for k, v in ONCE.items() if k not in study["grid"]}
        study["endpoints"]["big"] |= {
            "base_url": server.url,
            "model": "big-model",
            "api_key_env": KEY_VARIABLE,
        }
        (tmp_path / "choose.toml").write_text(tomli_w.dumps(study), encoding="utf-8")
        record = here.compare("-s", "api-prompt", "-s", "api-few-shot")
        # One of two that are alike is left behind once the other leads it for certain.
        rows = sorted(len(here.answers(name)) for name in ("api-prompt", "api-few-shot"))
        assert rows[0] >= 25
        assert rows[1] == 60
        assert server.paid_twice == []
    cards = {card["candidate"]: card for card in record["scorecards"]}
    # Demonstrations share their beginning with each other, so more of them comes from the cache.
    few, none = cards["api-few-shot"], cards["api-prompt"]
    assert few["service"]["cached_share"] > none["service"]["cached_share"] > 0.2
    assert few["cost"]["usd_per_1k"] > 0
    assert few["service"]["latency_p95"] >= few["service"]["latency_p50"] > 0
