"""Reports for the terminal, as HTML, Markdown and CSV."""
