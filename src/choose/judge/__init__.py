"""From finished trials to a verdict. Knows no model and no strategy."""
