"""A table-driven fuzzer of the command line: files, flags, environment and study files."""
