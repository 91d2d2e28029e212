"""Servers for tests: one of ours that fails on purpose, and real ones with real models."""
