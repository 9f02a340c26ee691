"""The ``lumi`` command. One small module per group of commands; each imports the domain only when it runs."""

from lumi_pipeline.cli.app import main

__all__ = ["main"]
