"""From checked settings to an open destination."""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager

from lumi_pipeline.siem import destinations as kinds
from lumi_pipeline.siem.destination import Destination
from lumi_pipeline.siem.settings import DestinationSettings


@contextmanager
def opened(settings: DestinationSettings) -> Iterator[Destination]:
    """Open a destination for the length of a block. Nothing is sent, and no secret is read yet."""
    module = importlib.import_module(f"{kinds.__name__}.{settings.kind}")
    destination: Destination = module.open_destination(settings)
    try:
        yield destination
    finally:
        destination.close()
