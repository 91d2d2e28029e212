"""``python -m choose``."""

from __future__ import annotations

from choose.cli import main

main()
