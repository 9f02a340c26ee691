"""Write the sample events, always the same ones: ``python data/sample/generate.py > data/sample/events.ndjson``.

Three invented tenants, three days of March 2025, and some of everything that real events hold: failures, nulls, states
with line breaks, Unicode, cells that a spreadsheet would take for formulas. Addresses come from documentation ranges
(RFC 5737, RFC 3849); nobody of these names exists.
"""  # noqa: INP001

import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random

SEED = 2025
FIRST_MORNING = datetime(2025, 3, 3, 7, 0, tzinfo=UTC)
DAYS = 3
SESSIONS_A_DAY = 16
BROWSERS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/133.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:135.0) Gecko/20100101 Firefox/135.0",
    "Mozilla/5.0 (X11; Linux x86_64; rv:135.0) Gecko/20100101 Firefox/135.0",
)
PEOPLE = (
    ("acme", "u-101", "Zoë Ångström", "saml", "203.0.113.17"),
    ("acme", "u-102", "Jonas Brandt", "saml", "2001:db8:1::2a"),
    ("acme", "u-103", "林 Mei", "saml+totp", "203.0.113.44"),
    ("globex", "u-201", "Ana O'Hara", "password+totp", "198.51.100.9"),
    ("globex", "u-202", "Дмитрий Волков", "password+totp", "198.51.100.23"),
    ("initech", "u-301", '=Peter, the "admin"', "oidc", "192.0.2.200"),
)
REASONS = ("needed for peak load", "=SUM(A1:A9) says otherwise", "planned migration\nin April", "owner disagrees")

Columns = dict[str, str | None]


class Diary:
    """Writes down what happens. Everything, ids too, follows from the seed."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)  # noqa: S311
        self.entries: list[Columns] = []

    def note(self, now: datetime, who: Columns, action: str, entity: tuple[str, str], **more: str | None) -> datetime:
        """Write one event and return a moment soon after it."""
        event: Columns = {
            "tenant_id": who["tenant_id"],
            "event_id": self._event_id(now),
            "occurred_at": now.isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "action": action,
            "entity_type": entity[0],
            "entity_id": entity[1],
            "outcome": "success",
        }
        self.entries.append(event | who | more)
        return now + timedelta(microseconds=self.random.randint(1_500_000, 95_000_000))

    def _event_id(self, now: datetime) -> str:
        """Return a UUID of version 7 (RFC 9562) with this time."""
        value = int(now.timestamp() * 1000) << 80 | 7 << 76 | self.random.getrandbits(12) << 64
        digits = f"{value | 2 << 62 | self.random.getrandbits(62):032x}"
        return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def session(diary: Diary, now: datetime) -> None:
    """Let somebody sign in, sometimes at the second try, work on recommendations, and sign out."""
    random = diary.random
    tenant, actor, name, method, ip = random.choice(PEOPLE)
    who: Columns = {
        "tenant_id": tenant,
        "actor_type": "user",
        "actor_id": actor,
        "auth_method": method,
        "actor_name": name,
        "ip": ip,
        "user_agent": random.choice(BROWSERS),
        "request_id": None,
    }
    door = ("session", f"s-{random.getrandbits(32):08x}")
    if random.random() < 0.2:
        now = diary.note(now, who, "LOGIN", door, outcome="failure", auth_method=None, after_state=None)
    now = diary.note(now, who, "LOGIN", door)
    for _ in range(random.randint(1, 4)):
        now = consider(diary, now, who)
    if random.random() < 0.5:
        now = administer(diary, now, who)
    if random.random() < 0.8:
        diary.note(now, who, "LOGOUT", door)


def consider(diary: Diary, now: datetime, who: Columns) -> datetime:
    """Let somebody look at a recommendation and perhaps decide about it."""
    random = diary.random
    number = random.randint(1, 40)
    entity = ("recommendation", f"rec-{number}")
    now = diary.note(now, who, "RECOMMENDATION_VIEWED", entity, request_id=f"req-{random.getrandbits(32):08x}")
    before = state(status="open", saves_usd=number * 37)
    decision = random.random()
    if decision < 0.3:
        now = diary.note(
            now, who, "RECOMMENDATION_ACCEPTED", entity, before_state=before, after_state=state(status="accepted")
        )
        ticket = ("ticket", f"tkt-{number}")
        now = diary.note(now, who, "TICKET_CREATED", ticket, after_state=state(recommendation=entity[1], note="às 9h"))
        outcome = "failure" if random.random() < 0.2 else "success"
        robot = who | {"actor_type": "service", "actor_id": "svc-apply", "auth_method": "api_key", "actor_name": None}
        robot |= {"ip": None, "user_agent": None}
        diary.note(now + timedelta(hours=1), robot, "RECOMMENDATION_APPLIED", entity, outcome=outcome)
    elif decision < 0.55:
        after = state(status="dismissed", reason=random.choice(REASONS))
        now = diary.note(now, who, "RECOMMENDATION_DISMISSED", entity, before_state=before, after_state=after)
    return now


def administer(diary: Diary, now: datetime, who: Columns) -> datetime:
    """Let somebody do one of the rarer things."""
    random = diary.random
    match random.randint(0, 4):
        case 0:
            return diary.note(now, who, "API_KEY_ROTATED", ("api_key", f"key-{random.randint(1, 5)}"))
        case 1:
            states = {"before_state": state(role="viewer"), "after_state": state(role="analyst")}
            return diary.note(now, who, "ROLE_ASSIGNED", ("user", "u-102"), **states)
        case 2:
            limits = {"before_state": state(limit_usd=9000), "after_state": state(limit_usd=12500)}
            return diary.note(now, who, "BUDGET_UPDATED", ("budget", "team Förderung"), **limits)
        case 3:
            after = state(framework="SOC 2", period_days=30)
            return diary.note(
                now, who, "COMPLIANCE_REPORT_GENERATED", ("compliance_report", "crep-7"), after_state=after
            )
        case _:
            return diary.note(now, who, "SCIM_USER_DEPROVISIONED", ("scim_user", "u-104"), actor_type="system")


def state(**values: str | int) -> str:
    """Return a state as JSON text."""
    return json.dumps(values, ensure_ascii=False)


def events() -> Iterator[Columns]:
    """Yield all events, in order of time."""
    diary = Diary(SEED)
    for day in range(DAYS):
        for _ in range(SESSIONS_A_DAY):
            session(diary, FIRST_MORNING + timedelta(days=day, minutes=diary.random.randint(0, 11 * 60)))
    yield from sorted(diary.entries, key=lambda event: (event["occurred_at"] or "", event["event_id"] or ""))


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8", newline="\n")  # type: ignore[union-attr]
    for event in events():
        sys.stdout.write(json.dumps(event, ensure_ascii=False) + "\n")
