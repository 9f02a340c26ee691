"""Evidence bundles: all events of one tenant in a period, and what proves that (docs/formats.md section 9)."""
