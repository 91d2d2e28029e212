"""``python -m choose``."""

from choose.cli import main

main()
