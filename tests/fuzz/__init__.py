"""A table-driven fuzzer of the command line: files, flags and study files."""
