"""The cache of embeddings and prompt scores on disk."""
