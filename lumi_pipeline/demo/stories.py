"""The planted stories: what an insider-risk analyst should find in a demo, and where it was put.

Each story needs a part of one tenant's events of one day, so a demo that is too small does without;
:class:`Story` reports what was really played. Beside every story there are harmless cases of the same kind, so that
finding it takes more than counting an action.

``night-dismissals``
    An analyst of the service provider signs in past two at night from a network never seen before and, in two
    customers' tenants within the hour, views and dismisses one high-impact recommendation after the other, always
    with the same words. By day the same analyst works like the others. (Last night but one.)
``privilege-escalation``
    In the evening an engineer widens a custom role, assigns it to their own account and exports two dozen large
    reports within minutes. Others change roles and export reports too, but not in one sitting. (Last day.)
``leaver-active``
    The directory deprovisions an analyst at 01:30 UTC; from 14:18 UTC on, a session of theirs looks around and exports
    from a new network. Others who are deprovisioned stay away. (Last day.)
``password-guessing``
    At 03:36 local time an admin's password is guessed: a dozen failed logins from one address, then a success, single
    sign-on no longer enforced and a new API key that never expires. Others mistype once or twice. (Middle day.)
``dormant-account``
    An account whose last login was 140 days ago (a late record, which arrives on the first day) wakes up, creates an
    API key and exports reports. (Last day.)
``mass-export``
    On an ordinary day, at the office, a viewer takes out forty reports, one every few minutes. An auditor does so every
    day, which is nothing unusual. (Last day.)
``key-probing``
    An API key, from a network and with a program it never used, asks for thirty things it may not see, and then for
    what it may. Others are refused now and then. (Middle day.)
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from lumi_pipeline.demo.cast import Link, Person, Role, Service, Tenant
from lumi_pipeline.demo.estate import RESERVED, state
from lumi_pipeline.demo.habits import act, dismiss, export_report, log_in, log_out, look, sit_down
from lumi_pipeline.demo.scene import DAY_MICROS, Scene, Script

_DISMISSALS = RESERVED
_EXPORTS = 24
_GUESSES = 12
_DORMANT_DAYS = 140
_TAKEN = 40
_REFUSED = 30
_ANSWERED = 10


@dataclass(frozen=True, slots=True)
class Story:
    """What was planted: a stable name, one sentence, where, whose story it is, and its events in order of time."""

    name: str
    summary: str
    tenant_ids: tuple[str, ...]
    actor_id: str
    event_ids: tuple[str, ...]


@dataclass(slots=True)
class Plot:
    """A story while it is played: all its parts are, or none. ``leaver`` stops working on the first part's day."""

    name: str
    summary: str
    actor: Person | Service
    parts: Sequence["Part"]
    leaver: Person | None = None
    event_ids: list[str] = field(default_factory=list)

    def told(self) -> Story:
        """Return the story with the events written so far. Their ids start with the time, so they sort by it."""
        tenants = tuple(dict.fromkeys(part.tenant.tenant_id for part in self.parts))
        return Story(self.name, self.summary, tenants, self.actor.actor_id, tuple(sorted(self.event_ids)))


@dataclass(frozen=True, slots=True)
class Part:
    """One sitting of a story: ``steps`` events from ``hour`` (UTC) of the ``day``-th day (from 0) on.

    The script yields the id of the event and the seconds until the next.
    """

    tenant: Tenant
    day: int
    hour: float
    steps: int
    play: Callable[[Scene], Iterator[tuple[str, float]]]


def play_part(plot: Plot, part: Part, scene: Scene) -> Script:
    """Play a part, noting its events in the plot."""
    for event_id, pause in part.play(scene):
        plot.event_ids.append(event_id)
        yield pause


def plots(tenants: Sequence[Tenant], days: int) -> list[Plot]:
    """Return every story for that cast, to be played as far as there is room for it."""
    return [
        _night_dismissals(tenants, days),
        _privilege_escalation(tenants, days),
        _leaver_active(tenants, days),
        _password_guessing(tenants, days),
        _dormant_account(tenants, days),
        _mass_export(tenants, days),
        _key_probing(tenants, days),
    ]


def _night_dismissals(tenants: Sequence[Tenant], days: int) -> Plot:
    msp = next(tenant for tenant in tenants if tenant.is_msp)
    customers = [tenant for tenant in tenants if not tenant.is_msp][:2] or [msp]
    actor = next(guest for guest in msp.guests if guest.role is Role.MSP)
    link = Link("2001:db8:bad:1::2f", actor.home.user_agent)

    def play(scene: Scene) -> Iterator[tuple[str, float]]:
        visit = sit_down(scene, actor, link)
        yield log_in(scene, visit), 20
        for found in scene.estate.reserved[:_DISMISSALS]:
            yield look(scene, visit, found), scene.rng.uniform(15, 40)
            yield dismiss(scene, visit, found, "not relevant"), scene.rng.uniform(10, 30)
        yield log_out(scene, visit), 0

    day = max(0, days - 2)
    hour = local_hour(2.2, actor.utc_offset)
    return Plot(
        "night-dismissals",
        "An MSP analyst views and dismisses high-impact recommendations of its customers, at night from a new network.",
        actor,
        [Part(tenant, day, hour + 0.6 * number, 2 + 2 * _DISMISSALS, play) for number, tenant in enumerate(customers)],
    )


def _privilege_escalation(tenants: Sequence[Tenant], days: int) -> Plot:
    tenant = tenants[0]
    actor = tenant.first_of(Role.ENGINEER)

    def play(scene: Scene) -> Iterator[tuple[str, float]]:
        visit = sit_down(scene, actor, actor.home)
        role = scene.estate.roles[0]
        few, many = state(permissions="recommendations.read"), state(permissions="recommendations.read reports.export")
        yield log_in(scene, visit), 40
        yield act(scene, visit, "CUSTOM_ROLE_UPDATED", role, (few, many)), 35
        yield act(scene, visit, "ROLE_ASSIGNED", actor.actor_id, (state(role="engineer"), state(role=role))), 50
        for _ in range(_EXPORTS):
            yield export_report(scene, visit, rows=scene.rng.randint(20_000, 90_000)), scene.rng.uniform(4, 15)
        yield log_out(scene, visit), 0

    return Plot(
        "privilege-escalation",
        "An engineer widens a custom role, assigns it to their own account and exports reports by the dozen.",
        actor,
        [Part(tenant, days - 1, local_hour(19.1, tenant.utc_offset), 4 + _EXPORTS, play)],
    )


def _leaver_active(tenants: Sequence[Tenant], days: int) -> Plot:
    tenant = tenants[2 % len(tenants)]
    actor = tenant.leaver
    link = Link("198.51.100.203", actor.home.user_agent)

    def leave(scene: Scene) -> Iterator[tuple[str, float]]:
        states = (state(active=True), state(active=False))
        directory = tenant.directory
        yield scene.emit(directory, directory.link, "SCIM_USER_DEPROVISIONED", actor.actor_id, states=states), 0

    def play(scene: Scene) -> Iterator[tuple[str, float]]:
        visit = sit_down(scene, actor, link)
        yield look(scene, visit), 45
        yield look(scene, visit), 60
        for _ in range(5):
            yield export_report(scene, visit, report="cost by team"), scene.rng.uniform(20, 60)
        yield log_out(scene, visit), 0

    return Plot(
        "leaver-active",
        "A session goes on, from a new network, hours after the directory deprovisioned its user.",
        actor,
        [Part(tenant, days - 1, 1.5, 1, leave), Part(tenant, days - 1, 14.3, 8, play)],
        leaver=actor,
    )


def _password_guessing(tenants: Sequence[Tenant], days: int) -> Plot:
    tenant = tenants[3 % len(tenants)]
    actor = tenant.first_of(Role.ADMIN)
    link = Link("198.51.100.231", "python-requests/2.32")

    def play(scene: Scene) -> Iterator[tuple[str, float]]:
        visit = sit_down(scene, actor, link)
        for _ in range(_GUESSES):
            yield log_in(scene, visit, outcome="failure"), scene.rng.uniform(2, 7)
        yield log_in(scene, visit), 25
        yield act(scene, visit, "SSO_UPDATED", scene.estate.sign_on, (state(enforced=True), state(enforced=False))), 40
        yield act(scene, visit, "API_KEY_CREATED", _key(scene), (None, state(scopes="admin", expires=None))), 30
        yield log_out(scene, visit), 0

    return Plot(
        "password-guessing",
        "A dozen failed logins of an admin from one address at night, then a success and changed settings.",
        actor,
        [Part(tenant, days // 2, local_hour(3.6, tenant.utc_offset), _GUESSES + 4, play)],
    )


def _dormant_account(tenants: Sequence[Tenant], days: int) -> Plot:
    tenant = tenants[4 % len(tenants)]
    actor = tenant.sleeper
    link = Link("198.51.100.219", actor.office.user_agent)

    def remember(scene: Scene) -> Iterator[tuple[str, float]]:
        long_ago = scene.now - _DORMANT_DAYS * DAY_MICROS
        yield log_in(scene, sit_down(scene, actor, actor.office), occurred=long_ago), 0

    def play(scene: Scene) -> Iterator[tuple[str, float]]:
        visit = sit_down(scene, actor, link)
        yield log_in(scene, visit), 60
        yield act(scene, visit, "API_KEY_CREATED", _key(scene), (None, state(scopes="read", expires=None))), 45
        for _ in range(4):
            yield export_report(scene, visit, rows=scene.rng.randint(5_000, 20_000)), scene.rng.uniform(20, 60)
        yield log_out(scene, visit), 0

    return Plot(
        "dormant-account",
        f"An account that nobody used for {_DORMANT_DAYS} days signs in, creates an API key and exports reports.",
        actor,
        [Part(tenant, 0, 0.1, 1, remember), Part(tenant, days - 1, local_hour(16.4, tenant.utc_offset), 7, play)],
    )


def _mass_export(tenants: Sequence[Tenant], days: int) -> Plot:
    tenant = tenants[min(1, len(tenants) - 1)]
    actor = tenant.collector

    def play(scene: Scene) -> Iterator[tuple[str, float]]:
        visit = sit_down(scene, actor, actor.office)
        yield log_in(scene, visit), 60
        for _ in range(_TAKEN):
            yield export_report(scene, visit), scene.rng.uniform(60, 400)
        yield log_out(scene, visit), 0

    return Plot(
        "mass-export",
        f"A viewer takes out {_TAKEN} reports in one sitting, by day and at the office.",
        actor,
        [Part(tenant, days - 1, local_hour(10.2, tenant.utc_offset), 2 + _TAKEN, play)],
    )


def _key_probing(tenants: Sequence[Tenant], days: int) -> Plot:
    tenant = tenants[0]
    key = tenant.keys[0]
    link = Link("198.51.100.242", "curl/8.14.1")

    def play(scene: Scene) -> Iterator[tuple[str, float]]:
        for action, entity in (("AUDIT_LOG_VIEWED", "page-1"), ("DASHBOARD_VIEWED", scene.estate.dashboards[0])) * (
            _REFUSED // 2
        ):
            yield scene.emit(key, link, action, entity, outcome="failure"), scene.rng.uniform(1, 4)
        for _ in range(_ANSWERED):
            yield scene.emit(key, link, "RECOMMENDATION_VIEWED", scene.estate.pick().rec_id), scene.rng.uniform(1, 4)

    return Plot(
        "key-probing",
        "An API key is tried out from a new network: most of what it asks for is refused.",
        key,
        [Part(tenant, days // 2, local_hour(12.4, tenant.utc_offset), _REFUSED + _ANSWERED, play)],
    )


def _key(scene: Scene) -> str:
    return f"key-{scene.rng.getrandbits(32):08x}"


def local_hour(hour: float, utc_offset: int) -> float:
    """Return the hour of the UTC day at which it is that hour there; so a story stays within one UTC day."""
    return (hour - utc_offset) % 24
