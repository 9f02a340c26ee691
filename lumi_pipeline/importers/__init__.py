"""Bringing records of other systems into the outbox, through the recorder like any other event."""

from lumi_pipeline.importers.cloudtrail import import_cloudtrail
from lumi_pipeline.importers.driver import ImportReport
from lumi_pipeline.importers.ndjson import import_ndjson

__all__ = ["ImportReport", "import_cloudtrail", "import_ndjson"]
