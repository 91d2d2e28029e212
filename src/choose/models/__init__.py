"""What strategies are made of: prompts and their search, endpoints, retrieval, classical models."""
