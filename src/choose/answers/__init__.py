"""Answers that exist already: files of tables, tools and batch services become runs in a store."""
