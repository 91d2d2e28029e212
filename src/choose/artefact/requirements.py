"""The packages that answers can depend on, at the versions they were made with."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, version

from choose.strategy import available

# Module -> distribution; only those that the fit has really loaded are listed.
_PACKAGES = {
    "numpy": "numpy",
    "sklearn": "scikit-learn",
    "scipy": "scipy",
    "torch": "torch",
    "transformers": "transformers",
    "tokenizers": "tokenizers",
    "peft": "peft",
    "sentence_transformers": "sentence-transformers",
    "faiss": "faiss-cpu",
    "safetensors": "safetensors",
    "gguf": "gguf",
    "openai": "openai",
}


def requirements(strategy: str) -> list[str]:
    """Return pinned requirements: the strategy's own package, and what is loaded now."""
    names = {"choose-llm"}
    entry = available().get(strategy)
    if entry is not None and entry.dist is not None:
        names.add(entry.dist.name)
    names |= {package for module, package in _PACKAGES.items() if module in sys.modules}
    pinned = []
    for name in sorted(names):
        try:
            # What follows the plus sign is one index's own build and cannot be asked of another.
            pinned.append(f"{name}=={version(name).partition('+')[0]}")
        except PackageNotFoundError:
            continue
    return pinned
