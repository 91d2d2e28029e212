"""``python -m choose``."""

import sys

if not sys.flags.safe_path:
    del sys.path[0]  # the current folder, which Python put there

from choose.cli import main

main()
