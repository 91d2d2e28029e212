"""The HTML page of a report, drawn from blocks."""
