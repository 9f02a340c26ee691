"""Attacks on the outbox, by somebody who administers its database: no trigger stops them."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Final

from lumi_pipeline.drill.attack import Area, Attack
from lumi_pipeline.drill.checks import LAND, OUTBOX
from lumi_pipeline.drill.rows import SOMEBODY, Row, rehash
from lumi_pipeline.drill.scratch import Trial
from lumi_pipeline.events import NewEvent
from lumi_pipeline.outbox.sqlite import database_errors
from lumi_pipeline.recorder import AuditRecorder


@contextmanager
def administering(trial: Trial) -> Iterator[sqlite3.Connection]:
    """Open the outbox's copy as its administrator, who has removed what protects it."""
    with database_errors(trial.outbox), closing(sqlite3.connect(trial.outbox)) as connection, connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
            connection.execute(f'DROP TRIGGER "{name}"')
        yield connection


def _sql(*statements: str) -> Callable[[Trial], None]:
    """Return the attack that executes these statements; ``:tenant`` is the attacked one, ``:seq`` a row of its day."""

    def act(trial: Trial) -> None:
        with administering(trial) as connection:
            for statement in statements:
                connection.execute(statement, {"tenant": trial.target.tenant_id, "seq": _seq(trial)})

    return act


def _seq(trial: Trial) -> int:
    """The number of the attacked tenant's second row of the day."""
    return trial.target.first_seq + 1


def _rewrite_chain(trial: Trial) -> None:
    seq = _seq(trial)
    rows = _rows(trial, seq)
    rows[0]["actor_id"] = SOMEBODY
    rehash(rows, rows[0]["prev_hash"])
    with administering(trial) as connection:
        for row in rows:
            connection.execute(
                "UPDATE audit_outbox SET actor_id = ?, payload_hash = ?, prev_hash = ?, integrity_hash = ? "
                "WHERE tenant_id = ? AND seq = ?",
                [row[n] for n in ("actor_id", "payload_hash", "prev_hash", "integrity_hash", "tenant_id", "seq")],
            )
        connection.execute(
            "UPDATE audit_chain_head SET head_hash = ? WHERE tenant_id = ?",
            [rows[-1]["integrity_hash"], trial.target.tenant_id],
        )


def _rows(trial: Trial, seq: int) -> list[Row]:
    with trial.pipeline.outbox.snapshot() as snapshot:
        return [row for table in snapshot.rows([(trial.target.tenant_id, seq)]) for row in table.to_pylist()]


def _record(trial: Trial) -> None:
    """Record one more event, as the application does; it is not landed yet."""
    with closing(trial.pipeline.outbox.connect()) as connection:
        event = NewEvent(
            tenant_id=trial.target.tenant_id,
            action="TAMPER_DRILL",
            entity_type="drill",
            entity_id="drill",
            actor_type="system",
            actor_id="lumi-drill",
        )
        AuditRecorder(connection).record_many([event])
        connection.commit()


def _change_unlanded(trial: Trial) -> None:
    _record(trial)
    _sql("UPDATE audit_outbox SET actor_id = 'somebody-else' WHERE actor_id = 'lumi-drill'")(trial)


def _take_back_unlanded(trial: Trial) -> None:
    """Undo a recorded event before anybody has seen it: row and head are as if it had never been."""
    with administering(trial) as connection:
        before = connection.execute(_HEAD, {"tenant": trial.target.tenant_id}).fetchone()
    _record(trial)
    with administering(trial) as connection:
        connection.execute("DELETE FROM audit_outbox WHERE actor_id = 'lumi-drill'")
        connection.execute(
            "UPDATE audit_chain_head SET next_seq = ?, head_hash = ?, last_recorded_at = ? WHERE tenant_id = ?",
            [*before, trial.target.tenant_id],
        )


_HEAD: Final = "SELECT next_seq, head_hash, last_recorded_at FROM audit_chain_head WHERE tenant_id = :tenant"
_ROW: Final = "WHERE tenant_id = :tenant AND seq = :seq"
_BACK: Final = """
UPDATE audit_chain_head SET next_seq = :seq, head_hash = (
    SELECT prev_hash FROM audit_outbox WHERE tenant_id = :tenant AND seq = :seq
) WHERE tenant_id = :tenant
"""
_TAIL: Final = "DELETE FROM audit_outbox WHERE tenant_id = :tenant AND seq >= :seq"

ATTACKS: Final = (
    Attack(
        "outbox-cell",
        Area.OUTBOX,
        "A landed event rewritten, after removing the triggers",
        _sql(f"UPDATE audit_outbox SET actor_id = 'somebody-else' {_ROW}"),  # noqa: S608
        (OUTBOX,),
    ),
    Attack(
        "outbox-chain",
        Area.OUTBOX,
        "The same, and every hash from there to the chain's head",
        _rewrite_chain,
        (OUTBOX,),
    ),
    Attack(
        "outbox-payload",
        Area.OUTBOX,
        "Only the payload of a landed event rewritten",
        _sql(f"UPDATE audit_outbox SET after_state = '{{}}' {_ROW}"),  # noqa: S608
        (OUTBOX,),
    ),
    Attack(
        "outbox-deleted",
        Area.OUTBOX,
        "A landed event deleted",
        _sql(f"DELETE FROM audit_outbox {_ROW}"),  # noqa: S608
        (OUTBOX,),
    ),
    Attack(
        "outbox-tail",
        Area.OUTBOX,
        "All events from one on deleted, and the chain's head set back to it",
        _sql(_BACK, _TAIL),
        (OUTBOX,),
    ),
    Attack(
        "head-back", Area.OUTBOX, "A chain's head set back, to record others over what was landed", _sql(_BACK), (LAND,)
    ),
    Attack(
        "chain-deleted",
        Area.OUTBOX,
        "A tenant's events and head deleted altogether",
        _sql(
            "DELETE FROM audit_outbox WHERE tenant_id = :tenant",
            "DELETE FROM audit_chain_head WHERE tenant_id = :tenant",
        ),
        (OUTBOX,),
    ),
    Attack(
        "reopened",
        Area.OUTBOX,
        "Sealed days opened again in the outbox",
        _sql("UPDATE audit_close SET closed_before = 0"),
        (OUTBOX,),
    ),
    Attack(
        "unlanded-cell",
        Area.OUTBOX,
        "An event rewritten before it is landed, its hashes left",
        _change_unlanded,
        (LAND,),
    ),
    Attack(
        "unlanded-undone",
        Area.OUTBOX,
        "An event taken back before it is landed, and the chain's head set back too",
        _take_back_unlanded,
        (LAND, OUTBOX),
        beyond="nobody: against a database administrator integrity begins at landing; land every few minutes",
    ),
)
