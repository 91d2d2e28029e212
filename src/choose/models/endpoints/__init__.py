"""Models behind OpenAI-compatible endpoints: settings, traffic, money and answers."""
