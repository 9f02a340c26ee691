"""Evidence: what an auditor gets of one tenant and period, and how it is checked (docs/formats.md §9)."""
