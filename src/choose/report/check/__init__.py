"""The audit of a labelled set, printed and written."""
