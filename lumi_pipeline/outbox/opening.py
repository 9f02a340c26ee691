"""Opening the outbox that an address names, whatever database holds it."""

from lumi_pipeline.outbox import Outbox
from lumi_pipeline.outbox.postgresql import PostgresOutbox
from lumi_pipeline.outbox.sqlite import SqliteOutbox
from lumi_pipeline.outboxaddress import OutboxAddress


def open_outbox(address: OutboxAddress) -> Outbox:
    """Return an initialised outbox; :class:`~lumi_pipeline.errors.OutboxError` when it isn't there or isn't one."""
    return PostgresOutbox.open(address) if address.path is None else SqliteOutbox.open(address.path)


def init_outbox(address: OutboxAddress, operator_tenant: str) -> Outbox:
    """Create the outbox tables in a database and return its outbox; again, nothing changes.

    In PostgreSQL the role of the pipeline may record for ``operator_tenant`` alone.
    """
    if address.path is None:
        return PostgresOutbox.init(address, operator_tenant)
    return SqliteOutbox.init(address.path)
