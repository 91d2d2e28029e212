"""Run trials: groups are pure, executors decide where."""
