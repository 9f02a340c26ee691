"""Moves and ledgers as JSON, and back."""

from dataclasses import fields
from datetime import datetime
from typing import Final

from lumi_pipeline.errors import LedgerError, RecordError
from lumi_pipeline.records import json_count, json_text
from lumi_pipeline.siem.ledger import Delivery, Do, Hold, Key, Later, Ledger, Move, State
from transparency.encoding import Json, format_timestamp, parse_timestamp
from transparency.errors import EncodingError

_MOVE_FIELDS: Final = frozenset(field.name for field in fields(Move))


def move_json(move: Move) -> dict[str, Json]:
    """A move; what it says nothing of is left out."""
    value: dict[str, Json] = {"at": format_timestamp(move.at), "do": move.do.value}
    if move.key is not None:
        value["key"] = str(move.key)
    if move.until is not None:
        value["until"] = format_timestamp(move.until)
    for name in ("detail", "ack"):
        if text := getattr(move, name):
            value[name] = text
    if move.cuts:
        value["cuts"] = list(move.cuts)
    if move.do is Do.TAKE:
        value |= {"lanes": list(move.lanes), "number": move.number, "refused": move.refused, "sizes": list(move.sizes)}
    elif move.do is Do.DEFER:
        value |= {"end": move.end, "lanes": list(move.lanes), "number": move.number}
    elif move.lanes:
        value["lanes"] = list(move.lanes)
    if move.settings:
        value["settings"] = True
    return value


def parse_move(value: Json) -> Move:
    """Read what :func:`move_json` wrote; :class:`~lumi_pipeline.errors.LedgerError` otherwise."""
    if not isinstance(value, dict) or not set(value) <= _MOVE_FIELDS:
        raise LedgerError("a move is not in form")
    try:
        return Move(
            Do(value["do"]),
            parse_timestamp(json_text(value["at"])),
            Key.parse(json_text(value["key"])) if "key" in value else None,
            json_text(value.get("detail", "")),
            _time(value.get("until")),
            json_text(value["ack"]) if "ack" in value else None,
            _numbers(value.get("cuts", [])),
            _number(value.get("number", 0)),
            _numbers(value.get("sizes", [])),
            _texts(value.get("lanes", [])),
            _number(value.get("refused", 0)),
            value.get("settings", False) is True,
            _number(value.get("end", 0)),
        )
    except (KeyError, ValueError, EncodingError, RecordError) as error:
        raise LedgerError(f"a move is not in form: {error}") from None


def ledger_json(ledger: Ledger) -> dict[str, Json]:
    """A whole ledger."""
    return {
        "failures": ledger.failures,
        "hold": _hold_json(ledger.hold) if ledger.hold else None,
        "last_receipt": ledger.last_receipt,
        "later": [[part.first, part.end, part.lane] for part in ledger.later],
        "next_plan": ledger.next_plan,
        "open": [_delivery_json(ledger.open[key]) for key in sorted(ledger.open)],
        "pauses": {lane: _hold_json(pause) for lane, pause in ledger.pauses.items()},
        "receipts": str(ledger.receipts),
        "refusals": ledger.refusals,
    }


def parse_ledger(value: Json) -> Ledger:
    """Read what :func:`ledger_json` wrote; :class:`~lumi_pipeline.errors.LedgerError` otherwise."""
    try:
        match value:
            case {
                "failures": int(failures),
                "hold": hold,
                "last_receipt": str(last_receipt),
                "later": list(later),
                "next_plan": int(next_plan),
                "open": list(rows),
                "pauses": dict(pauses),
                "receipts": receipts,
                "refusals": int(refusals),
            }:
                deliveries = [_delivery(row) for row in rows]
                return Ledger(
                    next_plan,
                    {delivery.key: delivery for delivery in sorted(deliveries, key=lambda delivery: delivery.key)},
                    None if hold is None else _parse_hold(hold),
                    failures,
                    refusals,
                    json_count(receipts),
                    last_receipt,
                    {lane: _parse_hold(pause) for lane, pause in pauses.items()},
                    tuple(_later(part) for part in later),
                )
    except (ValueError, EncodingError, RecordError) as error:
        raise LedgerError(f"a ledger is not in form: {error}") from None
    raise LedgerError("a ledger is not in form")


def _delivery_json(delivery: Delivery) -> Json:
    return [
        str(delivery.key),
        delivery.lane,
        format_timestamp(delivery.since),
        delivery.state.value,
        delivery.attempts,
        format_timestamp(delivery.until) if delivery.until else None,
        delivery.detail,
        delivery.ack,
        delivery.duplicates,
        format_timestamp(delivery.failing) if delivery.failing else None,
    ]


def _delivery(value: Json) -> Delivery:
    match value:
        case [
            str(key),
            str(lane),
            str(since),
            str(state),
            int(attempts),
            until,
            str(detail),
            (str() | None) as ack,
            bool(duplicates),
            failing,
        ]:
            return Delivery(
                Key.parse(key),
                lane,
                parse_timestamp(since),
                State(state),
                attempts,
                _time(until),
                detail,
                ack,
                duplicates,
                _time(failing),
            )
    raise LedgerError("an open batch is not in form")


def _later(value: Json) -> Later:
    match value:
        case [int(first), int(end), str(lane)] if first < end:
            return Later(first, end, lane)
    raise LedgerError("plans that are left for later are not in form")


def _hold_json(hold: Hold) -> Json:
    return {
        "detail": hold.detail,
        "settings": hold.settings,
        "since": format_timestamp(hold.since),
        "until": format_timestamp(hold.until),
    }


def _parse_hold(value: Json) -> Hold:
    match value:
        case {"detail": str(detail), "settings": bool(settings), "since": str(since), "until": str(until)}:
            return Hold(parse_timestamp(until), parse_timestamp(since), detail, settings)
    raise LedgerError("a hold is not in form")


def _time(value: Json) -> datetime | None:
    return None if value is None else parse_timestamp(json_text(value))


def _number(value: Json) -> int:
    if type(value) is not int or value < 0:
        raise LedgerError("a number is not in form")
    return value


def _numbers(value: Json) -> tuple[int, ...]:
    if not isinstance(value, list):
        raise LedgerError("a list of numbers is not in form")
    return tuple(_number(number) for number in value)


def _texts(value: Json) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise LedgerError("a list of texts is not in form")
    return tuple(json_text(text) for text in value)
