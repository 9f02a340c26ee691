"""Harmless cases that look like the planted stories, so that finding those takes a baseline of each user.

``regular-exports``
    An auditor takes out twenty reports every day.
``forgetful-admin``
    After a change of password an admin mistypes the new one three times, at the office in the morning. (Last day.)
``reinstated``
    The directory deprovisions somebody by mistake and provisions the account again within minutes. (Middle day.)
``back-from-leave``
    Somebody who was away for three weeks signs in and exports a report. (Last day.)
"""

from collections.abc import Iterator, Sequence

from lumi_pipeline.demo.cast import Role, Tenant
from lumi_pipeline.demo.estate import state
from lumi_pipeline.demo.habits import export_report, log_in, log_out, look, sit_down
from lumi_pipeline.demo.scene import DAY_MICROS, Scene
from lumi_pipeline.demo.stories import Part, Plot, local_hour

_REGULAR = 20
_MISTYPED = 3
_LEAVE_DAYS = 22


def lookalikes(tenants: Sequence[Tenant], days: int) -> list[Plot]:
    """Return every such case for that cast, to be played as far as there is room for it."""
    return [
        _regular_exports(tenants[0], days),
        _forgetful_admin(tenants[0], days),
        _reinstated(tenants[min(1, len(tenants) - 1)], days),
        _back_from_leave(tenants[0], days),
    ]


def _regular_exports(tenant: Tenant, days: int) -> Plot:
    actor = tenant.first_of(Role.AUDITOR)

    def play(scene: Scene) -> Iterator[tuple[str, float]]:
        visit = sit_down(scene, actor, actor.office)
        yield log_in(scene, visit), 60
        for _ in range(_REGULAR):
            yield export_report(scene, visit), scene.rng.uniform(20, 90)
        yield log_out(scene, visit), 0

    hour = local_hour(9.5, tenant.utc_offset)
    parts = [Part(tenant, day, hour, 2 + _REGULAR, play) for day in range(days)]
    return Plot("regular-exports", "An auditor takes out reports every day.", actor, parts)


def _forgetful_admin(tenant: Tenant, days: int) -> Plot:
    actor = tenant.first_of(Role.ADMIN)

    def play(scene: Scene) -> Iterator[tuple[str, float]]:
        visit = sit_down(scene, actor, actor.office)
        for _ in range(_MISTYPED):
            yield log_in(scene, visit, outcome="failure"), scene.rng.uniform(10, 30)
        yield log_in(scene, visit), 20
        yield log_out(scene, visit), 0

    hour = local_hour(8.9, tenant.utc_offset)
    parts = [Part(tenant, days - 1, hour, _MISTYPED + 2, play)]
    return Plot("forgetful-admin", "An admin mistypes a new password.", actor, parts)


def _reinstated(tenant: Tenant, days: int) -> Plot:
    actor = tenant.first_of(Role.ENGINEER)

    def play(scene: Scene) -> Iterator[tuple[str, float]]:
        directory = tenant.directory
        for action, before, after in (("DEPROVISIONED", True, False), ("PROVISIONED", False, True)):
            states = (state(active=before), state(active=after))
            yield scene.emit(directory, directory.link, f"SCIM_USER_{action}", actor.actor_id, states=states), 180

    hour = local_hour(3.1, tenant.utc_offset)
    return Plot("reinstated", "The directory takes back a mistake.", actor, [Part(tenant, days // 2, hour, 2, play)])


def _back_from_leave(tenant: Tenant, days: int) -> Plot:
    actor = tenant.sleeper

    def remember(scene: Scene) -> Iterator[tuple[str, float]]:
        long_ago = scene.now - max(0, _LEAVE_DAYS + 1 - days) * DAY_MICROS
        yield log_in(scene, sit_down(scene, actor, actor.office), occurred=long_ago), 0

    def play(scene: Scene) -> Iterator[tuple[str, float]]:
        visit = sit_down(scene, actor, actor.office)
        yield log_in(scene, visit), 60
        yield look(scene, visit), 60
        yield export_report(scene, visit), 60
        yield log_out(scene, visit), 0

    hour = local_hour(9.1, tenant.utc_offset)
    parts = [Part(tenant, 0, 0.1, 1, remember), Part(tenant, days - 1, hour, 4, play)]
    return Plot("back-from-leave", "Somebody is back after weeks.", actor, parts)
