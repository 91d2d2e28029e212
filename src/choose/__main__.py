"""``python -m choose``."""

from __future__ import annotations

import sys

if not sys.flags.safe_path:
    del sys.path[0]  # the current folder, which Python put there

from choose.cli import main

main()
