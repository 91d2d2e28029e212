"""From a study file to candidates and trials."""
