"""Simulated studies with known truth, from generators that are not the judge's model."""
