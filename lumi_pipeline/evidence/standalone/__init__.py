"""Verifiers that are handed out with a bundle: each is one file that imports nothing of this project."""
