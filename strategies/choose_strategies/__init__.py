"""The strategies that come with `choose`, found through entry points as any plugin is."""
