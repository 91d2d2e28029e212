"""Audit a labelled set before any model runs."""
