"""The naive loop of study.py: one process a trial, with the tools at hand, and nothing shared."""
