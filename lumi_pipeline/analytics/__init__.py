"""Analytics: the DuckDB database that analysts query, made from the lake (docs/analytics.md).

:func:`connect` opens it, for one tenant alone where that is asked; :func:`build_database` brings it up to date.
"""

from lumi_pipeline.analytics.building import BuildReport, build_database
from lumi_pipeline.analytics.connecting import connect

__all__ = ["BuildReport", "build_database", "connect"]
