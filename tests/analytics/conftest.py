"""Fixtures: the worlds of the lake's tests, for the analyst database."""

from tests.lake.conftest import sealed, sealed_template, world

__all__ = ["sealed", "sealed_template", "world"]
