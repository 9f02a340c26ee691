"""How people work: what somebody of a role does in a sitting, step by step.

Every activity writes exactly one event. They hang together through the :class:`Visit` (what was viewed is what gets
accepted or dismissed, what was accepted gets the ticket) and through the tenant's estate (what has a ticket is what
an engineer applies later).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TypeAlias

from lumi_pipeline.demo.cast import Link, Person, Role, travel_link
from lumi_pipeline.demo.estate import Recommendation, state
from lumi_pipeline.demo.scene import Scene, Script
from lumi_pipeline.events import from_micros

_DECIDES = 0.4
_MISTYPES = 0.05
_TRAVELS = 0.004
_ON_THE_MOVE = 0.05
_LEAVES_OPEN = 0.25
_THINKING_SECONDS = 45.0
_FAILS = 0.05
_SNOOZES = 0.92
_DISMISSED: Mapping[str, float] = {"low": 0.5, "medium": 0.35, "high": 0.1}
_DECIDERS = frozenset({Role.FINOPS, Role.ENGINEER, Role.ADMIN, Role.MSP})
_DISMISSAL_REASONS = ("needed for peak load", "planned migration", "owner disagrees", "already handled", "too risky")
_REPORTS = ("cost by team", "savings realised", "commitment coverage", "anomalies", "unit economics")
FRAMEWORKS = ("SOC 2", "ISO 27001")
_FORMATS = ("csv", "xlsx", "pdf")
_GRANTS = ("viewer", "analyst", "engineer", "billing", "auditor")


@dataclass(slots=True)
class Visit:
    """One sitting: who, from where, and the recommendation that is on the screen."""

    person: Person
    link: Link
    session: str
    focus: Recommendation | None = None


Activity: TypeAlias = Callable[[Scene, Visit], str]


def sit_down(scene: Scene, person: Person, link: Link | None = None) -> Visit:
    """Start a visit from the given network, or from one where the person usually is (and, rarely, a new one)."""
    return Visit(person, link or _usual_link(scene, person), f"s-{scene.rng.getrandbits(48):012x}")


def act(
    scene: Scene,
    visit: Visit,
    action: str,
    entity_id: str,
    states: tuple[str | None, str | None] = (None, None),
    *,
    outcome: str = "success",
) -> str:
    """Write the event of what the visitor does; return its id."""
    return scene.emit(visit.person, visit.link, action, entity_id, states=states, outcome=outcome)


def log_in(scene: Scene, visit: Visit, *, outcome: str = "success", occurred: int | None = None) -> str:
    """Sign in, successfully or not, now or at ``occurred`` (µs since 1970); a success says when the last one was."""
    who = visit.person
    after = state(error="invalid_credentials", user=who.actor_id)
    if outcome == "success":
        after = state(role=who.role, mfa="+" in who.auth_method, last_login=scene.last_login.get(who.actor_id))
        when = from_micros(scene.now if occurred is None else occurred)
        scene.last_login[who.actor_id] = f"{when:%Y-%m-%dT%H:%M:%SZ}"
    action = "IMPERSONATION_STARTED" if who.role is Role.SUPPORT else "LOGIN"
    return scene.emit(who, visit.link, action, visit.session, outcome=outcome, states=(None, after), occurred=occurred)


def log_out(scene: Scene, visit: Visit) -> str:
    """Sign out."""
    action = "IMPERSONATION_ENDED" if visit.person.role is Role.SUPPORT else "LOGOUT"
    return act(scene, visit, action, visit.session)


def look(scene: Scene, visit: Visit, found: Recommendation | None = None) -> str:
    """Open a recommendation, any of the open ones unless told which."""
    visit.focus = found or scene.estate.pick()
    return act(scene, visit, "RECOMMENDATION_VIEWED", visit.focus.rec_id)


def dismiss(scene: Scene, visit: Visit, found: Recommendation, reason: str) -> str:
    """Say that a recommendation is not wanted."""
    visit.focus = None
    return act(scene, visit, "RECOMMENDATION_DISMISSED", found.rec_id, found.move("dismissed", reason=reason))


def decide(scene: Scene, visit: Visit) -> str:
    """Accept, dismiss or put off the recommendation on the screen if it is still open, else look at another.

    The more it saves, the rarer it is dismissed: the insider of the planted story does the opposite.
    """
    found = visit.focus
    if found is None or found.status != "open":
        return look(scene, visit)
    scene.estate.settle(found)
    chance = scene.rng.random()
    if chance < _DISMISSED[found.impact]:
        return dismiss(scene, visit, found, scene.rng.choice(_DISMISSAL_REASONS))
    if chance > _SNOOZES:
        scene.estate.snoozed.append(found)
        visit.focus = None
        return act(scene, visit, "RECOMMENDATION_SNOOZED", found.rec_id, found.move("snoozed", days=30))
    scene.estate.accepted.append(found)
    return act(scene, visit, "RECOMMENDATION_ACCEPTED", found.rec_id, found.move("accepted"))


def write_ticket(scene: Scene, visit: Visit) -> str:
    """Write a ticket for something accepted that has none: what this person just accepted, or the last one of all."""
    estate = scene.estate
    found = visit.focus
    if found is None or found.status != "accepted" or found.ticket:
        found = next((one for one in reversed(estate.accepted) if not one.ticket), None) if estate.accepted else None
    if found is None:
        return look(scene, visit)
    found.ticket = estate.number("tkt")
    visit.focus = None
    after = state(status="open", recommendation=found.rec_id, assignee=colleague(scene).actor_id)
    return act(scene, visit, "TICKET_CREATED", found.ticket, (None, after))


def apply(scene: Scene, visit: Visit) -> str:
    """Carry out what was accepted longest ago; once in twenty it fails and stays to be done."""
    estate = scene.estate
    if not estate.accepted:
        return look(scene, visit)
    found = estate.accepted.popleft()
    if scene.rng.random() < _FAILS:
        estate.accepted.append(found)
        states = (found.snapshot(ticket=found.ticket), found.snapshot(error="resource is locked"))
        return act(scene, visit, "RECOMMENDATION_APPLIED", found.rec_id, states, outcome="failure")
    if found.ticket:
        estate.to_close.append(found)
    return act(scene, visit, "RECOMMENDATION_APPLIED", found.rec_id, found.move("applied", ticket=found.ticket))


def close_ticket(scene: Scene, visit: Visit) -> str:
    """Close the ticket of something that was applied."""
    if not scene.estate.to_close:
        return apply(scene, visit)
    found = scene.estate.to_close.popleft()
    states = (state(status="open", recommendation=found.rec_id), state(status="closed", recommendation=found.rec_id))
    return act(scene, visit, "TICKET_CLOSED", found.ticket or found.rec_id, states)


def export_report(scene: Scene, visit: Visit, report: str | None = None, rows: int | None = None) -> str:
    """Take a report out of the product as a file."""
    rng = scene.rng
    after = state(
        report=report or rng.choice(_REPORTS),
        format=rng.choice(_FORMATS),
        rows=rng.randint(20, 900) if rows is None else rows,
    )
    return act(scene, visit, "REPORT_EXPORTED", scene.estate.number("rpt"), (None, after))


def view_dashboard(scene: Scene, visit: Visit) -> str:
    """Look at a dashboard."""
    return act(scene, visit, "DASHBOARD_VIEWED", scene.rng.choice(scene.estate.dashboards))


def change_budget(scene: Scene, visit: Visit) -> str:
    """Raise or lower a team's budget."""
    budget = scene.rng.choice(scene.estate.budgets)
    limit = max(1000, round(budget.limit * scene.rng.uniform(0.85, 1.2) / 500) * 500)
    return act(scene, visit, "BUDGET_UPDATED", budget.budget_id, budget.change(limit))


def buy_commitment(scene: Scene, visit: Visit) -> str:
    """Commit to a year or three of spending for a lower price."""
    rng = scene.rng
    after = state(term_months=rng.choice((12, 36)), hourly_usd=round(rng.uniform(0.5, 40), 2), payment="no_upfront")
    return act(scene, visit, "COMMITMENT_PURCHASED", scene.estate.number("cmt"), (None, after))


def read_audit_log(scene: Scene, visit: Visit) -> str:
    """Look through the audit log."""
    return act(scene, visit, "AUDIT_LOG_VIEWED", f"page-{scene.rng.randint(1, 40)}")


def make_compliance_report(scene: Scene, visit: Visit) -> str:
    """Have a compliance report generated."""
    after = state(framework=scene.rng.choice(FRAMEWORKS), period_days=30)
    return act(scene, visit, "COMPLIANCE_REPORT_GENERATED", scene.estate.number("crep"), (None, after))


def assign_role(scene: Scene, visit: Visit) -> str:
    """Give a colleague another role."""
    before, after = scene.rng.sample(_GRANTS, k=2)
    return act(scene, visit, "ROLE_ASSIGNED", colleague(scene).actor_id, (state(role=before), state(role=after)))


def update_role(scene: Scene, visit: Visit) -> str:
    """Add a harmless permission to a custom role."""
    role = scene.rng.choice(scene.estate.roles)
    states = (state(permissions="recommendations.read"), state(permissions="recommendations.read dashboards.read"))
    return act(scene, visit, "CUSTOM_ROLE_UPDATED", role, states)


def rotate_key(scene: Scene, visit: Visit) -> str:
    """Replace the secret of an API key."""
    key = scene.rng.choice(scene.tenant.keys)
    return act(scene, visit, "API_KEY_ROTATED", key.actor_id, (None, state(expires_in_days=90)))


def test_integration(scene: Scene, visit: Visit) -> str:
    """Try whether a connected system still answers."""
    return act(scene, visit, "INTEGRATION_TESTED", scene.rng.choice(scene.estate.integrations))


def update_policy(scene: Scene, visit: Visit) -> str:
    """Move the threshold of an automation policy."""
    percent = scene.rng.randint(5, 60)
    states = (state(idle_below_percent=percent), state(idle_below_percent=percent + scene.rng.randint(1, 9)))
    return act(scene, visit, "POLICY_UPDATED", scene.rng.choice(scene.estate.policies), states)


def colleague(scene: Scene) -> Person:
    """Return somebody who works in the tenant."""
    return scene.tenant.people[int(scene.rng.random() * len(scene.tenant.people))]


def work(scene: Scene, person: Person, steps: int) -> Script:
    """Sign in (sometimes after a mistyped password), do what the role does, sign out: ``steps`` events in all."""
    rng = scene.rng
    visit = sit_down(scene, person)
    while steps > 1 and rng.random() < _MISTYPES:
        log_in(scene, visit, outcome="failure")
        steps -= 1
        yield rng.uniform(3, 20)
    log_in(scene, visit)
    steps -= 1
    yield rng.uniform(1, 15)
    activities, odds = _DAY[person.role]
    leaves = rng.random() >= _LEAVES_OPEN
    while steps > leaves:
        if visit.focus and person.role in _DECIDERS and rng.random() < _DECIDES:
            follow_up = decide if visit.focus.status == "open" else write_ticket
            follow_up(scene, visit)
        else:
            rng.choices(activities, cum_weights=odds)[0](scene, visit)
        steps -= 1
        yield 2 + rng.expovariate(1 / _THINKING_SECONDS)
    log_out(scene, visit)
    yield 0


def _usual_link(scene: Scene, person: Person) -> Link:
    chance = scene.rng.random()
    if chance < _TRAVELS:
        return travel_link(scene.rng, person)
    if chance < _ON_THE_MOVE:
        return person.mobile
    return person.home if chance > 1 - person.home_share else person.office


_ROUTINES: Mapping[Role, Mapping[Activity, int]] = {
    Role.FINOPS: {
        look: 40,
        decide: 8,
        view_dashboard: 22,
        write_ticket: 6,
        change_budget: 6,
        export_report: 4,
        buy_commitment: 2,
    },
    Role.ENGINEER: {
        look: 40,
        apply: 18,
        close_ticket: 12,
        view_dashboard: 16,
        update_policy: 3,
        test_integration: 2,
    },
    Role.ADMIN: {
        look: 10,
        view_dashboard: 16,
        assign_role: 9,
        update_role: 3,
        rotate_key: 3,
        test_integration: 6,
        read_audit_log: 12,
        update_policy: 4,
        change_budget: 4,
    },
    Role.AUDITOR: {
        read_audit_log: 50,
        view_dashboard: 20,
        look: 12,
        make_compliance_report: 6,
        export_report: 4,
    },
    Role.VIEWER: {
        view_dashboard: 50,
        look: 40,
        export_report: 2,
    },
    Role.MSP: {
        look: 45,
        view_dashboard: 20,
        decide: 12,
        write_ticket: 8,
        export_report: 5,
        read_audit_log: 3,
    },
    Role.SUPPORT: {
        look: 30,
        view_dashboard: 30,
        read_audit_log: 20,
        test_integration: 15,
    },
}
"""What people of a role do in a sitting, and how often, in relation to each other."""

_DAY: Mapping[Role, tuple[Sequence[Activity], Sequence[int]]] = {
    role: (tuple(mix), tuple(accumulate(mix.values()))) for role, mix in _ROUTINES.items()
}
