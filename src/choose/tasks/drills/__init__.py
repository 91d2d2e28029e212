"""Documents that change after training: drawn facts and rows, edits, and noise."""
