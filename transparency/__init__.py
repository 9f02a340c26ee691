"""A transparency log that can be read in an afternoon: Merkle trees, checkpoints, proofs, and their verification.

This package knows nothing of audit events, Parquet or schedulers, and needs the standard library and PyNaCl only.
``README.md`` beside this file maps its parts to their specifications and suggests an order for reading them. There is
nothing to import from here: name the module that you mean.
"""
