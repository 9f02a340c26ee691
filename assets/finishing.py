"""Partitions that one step finishes one after the other, and keeps even if a later one fails."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from assets.metadata import Metadata


@contextmanager
def finishing(context: dg.AssetExecutionContext) -> Iterator[dict[str, Metadata]]:
    """Take the metadata of each partition (by key) when it is done, and show it at the end.

    When the step fails, those that are done by then are recorded as materialised: they are, whatever becomes of the
    step. Otherwise Dagster records all of its partitions itself.
    """
    finished: dict[str, Metadata] = {}
    try:
        yield finished
    except Exception:
        for key, metadata in finished.items():
            context.log_event(dg.AssetMaterialization(context.asset_key, partition=key, metadata=metadata))
        raise
    for key, metadata in finished.items():
        context.add_asset_metadata(metadata, partition_key=key)
