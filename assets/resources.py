"""How assets, checks, schedules and sensors get at the pipeline."""

from pathlib import Path

import dagster as dg

from lumi_pipeline.config import load_config
from lumi_pipeline.pipeline import Pipeline


class PipelineResource(dg.ConfigurableResource):
    """The pipeline of one configuration.

    Only the path of a ``lumi.toml`` is ever part of a run's configuration. Keys and passwords come from the files and
    environment variables that the settings name, so Dagster never stores or shows one.
    """

    config_file: str | None = None
    """Path of ``lumi.toml``; without it ``LUMI_CONFIG`` names one, and else that of the current directory is read."""

    def open(self) -> Pipeline:
        """Read the configuration and open what it names; raises LumiError with what to correct."""
        return Pipeline.open(load_config(Path(self.config_file) if self.config_file else None))
