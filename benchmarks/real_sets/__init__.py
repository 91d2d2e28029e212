"""Real sets: which candidate answers which test row rightly, gathered once and replayed often."""
