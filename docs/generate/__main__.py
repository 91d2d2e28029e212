"""Write the generated pages: ``PYTHONPATH=docs python -m generate``."""

from __future__ import annotations

from generate import FOLDER, pages


def main() -> None:
    """Write each page whose text has changed, so that a second run touches nothing."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        path = FOLDER / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print(f"Written: {path}")


main()
