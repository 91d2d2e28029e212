"""Estimators, intervals and tests on plain arrays."""
