"""From finished trials to a verdict, without knowing any model or strategy."""
