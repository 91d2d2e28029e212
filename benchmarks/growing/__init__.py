"""Parts of growth.py."""
