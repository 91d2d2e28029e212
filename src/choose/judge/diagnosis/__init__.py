"""Why answers are wrong: label errors, error types, errors that candidates share."""
