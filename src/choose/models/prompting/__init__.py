"""Prompts, and the local or remote model that answers them."""
