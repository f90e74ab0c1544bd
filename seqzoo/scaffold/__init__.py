"""A new plugin's distribution, written from templates: ``seqzoo new-plugin``."""
