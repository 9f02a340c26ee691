"""Splunk's HTTP Event Collector: what its codes mean, and whom to ask for an acknowledgement.

Codes: Splunk, "Troubleshoot HTTP Event Collector", possible error codes. Acknowledgements: Splunk, "About HTTP Event
Collector Indexer Acknowledgment"; their ids count from 0 within a channel at one indexer, and start again when it does.
"""

import json
import re
import secrets
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Final, Self

from lumi_pipeline.siem.answers import Rules
from lumi_pipeline.siem.destination import Assurance, Outcome, Result
from lumi_pipeline.siem.transport import Answer

BIG: Final = 256 << 10
"""Bytes of a body above which its first event may be called invalid only because the body is too large."""

PAUSE: Final = 10.0
"""Seconds that a collector is left alone which took a batch and said that its queues fill up."""

NO_DATA: Final = 5
ACK_DISABLED: Final = 14
HEALTHY: Final = 17

_RULES: Final = Rules(delivered=frozenset({200}))
_REFUSED: Final = frozenset({6, 12, 13, 15})
_INCORRECT_INDEX: Final = 7
_MEANINGS: Final = {
    1: "the token is disabled",
    2: "no token arrived: something in between takes the header Authorization away",
    3: "what arrived is no token: correct the secret",
    4: "the token is unknown: correct the secret, or the URL",
    5: "no data arrived: something in between takes the body away",
    6: "invalid data format",
    7: "the index does not exist or the token may not write to it: correct either",
    8: "an internal error",
    9: "it is busy",
    10: "the channel is missing: something in between takes the header X-Splunk-Request-Channel away",
    11: "the channel is invalid",
    12: "an event without content",
    13: "an event with empty content",
    14: "the token has no indexer acknowledgement: enable it, or set use_ack to 'off' or 'auto'",
    15: "an event's indexed fields are refused",
    16: "authorization in the query is not enabled",
    18: "its queues are full",
    19: "its acknowledgements are out of order",
    20: "its queues are full and its acknowledgements out of order",
    21: "the token is unknown: correct the secret, or the URL",
    22: "the token is disabled",
    23: "it shuts down",
    24: "its queues fill up",
    25: "its acknowledgements fill up",
    26: "its queues are full",
    27: "the channel has too many acknowledgements that nobody asked for",
}


@dataclass(frozen=True, slots=True)
class Said:
    """The body of an answer: ``code``, ``invalid-event-number`` counted from 0, ``ackId``; None for what is missing."""

    code: int | None = None
    event: int | None = None
    ack: int | None = None

    @classmethod
    def of(cls, answer: Answer) -> Self:
        """Read an answer; one that is not the collector's says nothing."""
        content = _object(answer.body)
        code, event, ack = (_count(content.get(name)) for name in ("code", "invalid-event-number", "ackId"))
        if code == _INCORRECT_INDEX and event:
            event -= 1  # this code alone counts from 1
        return cls(code, event, ack)


def judge(answer: Answer, count: int, size: int) -> Outcome:
    """Say what became of a batch of ``count`` events whose uncompressed body had ``size`` bytes."""
    said = Said.of(answer)
    outcome = _RULES.judge(answer)
    if said.code in _MEANINGS:
        outcome = replace(outcome, detail=f"answered {answer.status}, code {said.code}: {_MEANINGS[said.code]}")
    if outcome.result is Result.DELIVERED:
        return _accepted(outcome, said)
    if answer.status == 400 and said.code in _REFUSED:
        return _refused(outcome, said, count, size)
    if said.event:
        return replace(
            outcome,
            result=Result.AMBIGUOUS,
            detail=f"{outcome.detail}; the first {said.event} of {count} events are there",
        )
    return outcome


def _accepted(outcome: Outcome, said: Said) -> Outcome:
    if said.code == 0:
        return outcome
    if said.code in {24, 25}:
        return replace(outcome, retry_after=PAUSE if outcome.retry_after is None else outcome.retry_after)
    return replace(
        outcome,
        result=Result.BLOCKED,
        assurance=None,
        detail="answered 200, but not as an HTTP Event Collector does: correct the URL",
    )


def _refused(outcome: Outcome, said: Said, count: int, size: int) -> Outcome:
    """One event is bad: those before it are there, and only those."""
    if said.event is None or said.event >= count:
        return replace(outcome, result=Result.REFUSED)
    if said.event > 0:
        return replace(outcome, result=Result.PARTIAL, index=said.event, assurance=Assurance.RECEIVED)
    if said.code == 6 and size > BIG and count > 1:
        return replace(outcome, result=Result.TOO_LARGE, detail=f"{outcome.detail}, or the body is too large")
    return replace(outcome, result=Result.REFUSED, index=0)


@dataclass(slots=True)
class Session:
    """Requests that reach the same indexer: by the cookies of a balancer, or because there is but one.

    ``run`` tells acknowledgements of this session from all others that have the same id.
    """

    cookies: dict[str, str] = field(default_factory=dict)
    run: str = field(default_factory=lambda: secrets.token_hex(4))
    given: set[int] = field(default_factory=set)

    def headers(self) -> dict[str, str]:
        """The header that leads to the same indexer, if one is needed."""
        return {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())} if self.cookies else {}


class Channel:
    """A channel, and which acknowledgement was given where. Threads may share it.

    A channel is the same in every process that delivers to a destination, so a later one can ask for what an earlier
    one was promised, unless there is a balancer: then nobody knows which indexer promised it.
    """

    def __init__(self, identity: str) -> None:
        self.identity = identity
        self._lock = Lock()
        self._current = Session()
        self._sessions = {self._current.run: self._current}
        self._anew = False

    def session(self) -> Session:
        """The session that the next request belongs to."""
        with self._lock:
            return self._current

    def answered(self, session: Session, answer: Answer) -> Session:
        """Keep an answer's cookies; return the session that it belongs to, a new one where it brought the first."""
        cookies = dict(_cookies(answer.headers.get("set-cookie", "")))
        if not cookies:
            return session
        with self._lock:
            if session.cookies:
                session.cookies = {**session.cookies, **cookies}
                return session
            self._current = Session(cookies)
            self._sessions[self._current.run] = self._current
            return self._current

    def given(self, session: Session, number: int) -> str:
        """Note that an acknowledgement was promised, and return the text that it is asked for by.

        An id that was given before means that the indexer began anew: what it promised earlier is forgotten.
        """
        with self._lock:
            if number in session.given:
                self._anew = True
                self._sessions.pop(session.run, None)
                session.run, session.given = secrets.token_hex(4), set()
                self._sessions[session.run] = session
            session.given.add(number)
            return f"{number}.{session.run}"

    def whom(self, acks: Sequence[str]) -> list[tuple[Session, dict[str, int]]]:
        """Return whom to ask for which ids, by text. What is in none of them can't be asked for any more."""
        found: dict[str, dict[str, int]] = {}
        with self._lock:
            parts = {ack: ack.partition(".") for ack in acks}
            unknown = Counter(digits for digits, _, run in parts.values() if run not in self._sessions)
            for ack, (digits, _, run) in parts.items():
                if run in self._sessions:
                    found.setdefault(run, {})[ack] = int(digits)
                elif unknown[digits] == 1 and self._is_older(int(digits)):
                    found.setdefault(self._current.run, {})[ack] = int(digits)
            return [(self._sessions[run], numbers) for run, numbers in found.items()]

    def _is_older(self, number: int) -> bool:
        """Whether an earlier process can have been promised this id by the indexer that answers now.

        Not so if a balancer chose it, if it began anew meanwhile, or if it gave an id as low to this process.
        """
        given = self._current.given
        return not self._current.cookies and not self._anew and (not given or number < min(given))


def acknowledged(answer: Answer) -> Mapping[str, bool] | None:
    """Read what was answered to a question for acknowledgements, by id; None if there was no answer to it."""
    acks = _object(answer.body).get("acks")
    return {name: value is True for name, value in acks.items()} if isinstance(acks, dict) else None


def _object(body: bytes) -> dict[str, object]:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


_BETWEEN: Final = re.compile(r",\s*(?=[^\s;,=]+=)")
"""The comma between two cookies, but not the one in a date."""

_COOKIE: Final = re.compile(
    r"\s*([!#$%&'*+.^_`|~0-9A-Za-z-]+)=([\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*|\"[^\"\s;,\\]*\")"
)


def _cookies(header: str) -> Iterator[tuple[str, str]]:
    """Names and values of the cookies in Set-Cookie headers that were joined by commas (RFC 6265 section 4.1.1)."""
    for part in _BETWEEN.split(header):
        found = _COOKIE.match(part)
        if found:
            yield found[1], found[2]
