"""Reports for the terminal, as HTML, Markdown, CSV and JUnit."""
