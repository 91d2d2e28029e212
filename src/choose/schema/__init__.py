"""The records that are written as JSON; no logic."""
