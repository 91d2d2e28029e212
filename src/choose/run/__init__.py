"""Run trials within a budget of time and money."""
