"""From a study file to the trials to run."""
