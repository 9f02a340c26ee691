"""The simulation: so many events, spread over days, tenants and hours the way people work, in order of time.

Pure: the same plan always gives the same events, ids included. (What the recorder adds to them, salts and chain ids,
is random by design and differs from run to run.) Memory is bounded by the sittings of one tenant's day.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from heapq import heapify, heappop, heapreplace
from itertools import accumulate, count
from random import Random

from lumi_pipeline.demo.cast import Person, Tenant, build_cast, zipf_shares
from lumi_pipeline.demo.habits import work
from lumi_pipeline.demo.lookalikes import lookalikes
from lumi_pipeline.demo.routines import analyse, send_reports, sync_directory, use_key
from lumi_pipeline.demo.scene import DAY_MICROS, Scene, Script, Timed
from lumi_pipeline.demo.stories import Part, Plot, Story, play_part, plots
from lumi_pipeline.events import to_micros

BATCH_EVENTS = 2_000
"""Events of one tenant handed over at once, at most."""

_WEEKDAYS = (1.0, 1.08, 1.05, 1.0, 0.86, 0.16, 0.13)
_SERVICE_SHARE = 0.22
_NIGHT_OWLS = 0.02
_WEEKEND_WORK = 0.15
_SATURDAY = 5
_TRIES = 4
_HOUR = 3_600_000_000
_LAST_START = DAY_MICROS - _HOUR // 2
_LAST_EVENT = DAY_MICROS - 1_000_000
_MEAN_STEPS = 13
_MOST_STEPS = 70


@dataclass(frozen=True, slots=True)
class Plan:
    """What to simulate: ``events`` in all, over ``days`` UTC days from ``first_day`` on and ``tenants`` tenants."""

    first_day: date
    days: int
    tenants: int
    events: int
    seed: int

    @property
    def last_day(self) -> date:
        """The last day, which has events as every day has."""
        return self.first_day + timedelta(days=self.days - 1)

    def day(self, number: int) -> date:
        """Return the ``number``-th day, from 0."""
        return self.first_day + timedelta(days=number)

    def volumes(self) -> list[list[int]]:
        """Return how many events each tenant makes each day, as ``[day][tenant]``; they sum to ``events``.

        Working days have six times the events of weekends; tenants follow Zipf's law.
        """
        weekdays = [_WEEKDAYS[self.day(number).weekday()] for number in range(self.days)]
        weights = [weekday * share for weekday in weekdays for share in zipf_shares(self.tenants)]
        cells = apportion(self.events, weights)
        return [cells[start : start + self.tenants] for start in range(0, len(cells), self.tenants)]


def apportion(total: int, weights: Sequence[float]) -> list[int]:
    """Split a total into whole parts in proportion to the weights, by largest remainder; they sum to the total."""
    scale = total / sum(weights)
    exact = [weight * scale for weight in weights]
    parts = [int(value) for value in exact]
    by_remainder = sorted(range(len(parts)), key=lambda index: (parts[index] - exact[index], index))
    for index in by_remainder[: total - sum(parts)]:
        parts[index] += 1
    return parts


class Simulation:
    """One run of a plan. Read :attr:`stories` once all events were taken; before, they are not all told."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._volumes = plan.volumes()
        self._cast = build_cast(str(plan.seed), plan.tenants, plan.events / plan.days)
        candidates = plots(self._cast, plan.days)
        self._plots = _fitting([*candidates, *lookalikes(self._cast, plan.days)], self._volumes)
        self._names = {plot.name for plot in candidates}
        self._numbers = count()

    @property
    def tenants(self) -> tuple[str, ...]:
        """The tenants, largest first."""
        return tuple(tenant.tenant_id for tenant in self._cast)

    @property
    def stories(self) -> tuple[Story, ...]:
        """The stories that were played."""
        return tuple(plot.told() for plot in self._plots if plot.name in self._names)

    def run(self) -> Iterator[list[Timed]]:
        """Yield the events in batches of one tenant each, day by day, in order of time within each tenant."""
        scenes = [Scene(Random(f"{self.plan.seed}/events/{tenant.tenant_id}"), tenant) for tenant in self._cast]
        for day in range(self.plan.days):
            for scene in scenes:
                yield from self._play(scene, day)

    def _play(self, scene: Scene, day: int) -> Iterator[list[Timed]]:
        """Advance all scripts of one tenant's day, always the one whose turn is next."""
        midnight = to_micros(datetime.combine(self.plan.day(day), time(), UTC))
        end = midnight + _LAST_EVENT
        agenda = [
            (midnight + min(start, _LAST_START), next(self._numbers), steps, play)
            for start, steps, play in self._agenda(scene, day)
        ]
        heapify(agenda)
        while agenda:
            scene.now, _, left, play = agenda[0]
            pause = next(play)
            if left == 1:
                heappop(agenda)
            else:
                # Nobody works past midnight: who runs out of time gets faster.
                pause_micros = min(int(pause * 1_000_000), (end - scene.now) // left)
                heapreplace(agenda, (scene.now + pause_micros, next(self._numbers), left - 1, play))
            if scene.waiting == BATCH_EVENTS:
                yield scene.collect()
        if scene.waiting:
            yield scene.collect()

    def _agenda(self, scene: Scene, day: int) -> Iterator[tuple[int, int, Script]]:
        """Yield when each script starts (µs after midnight), its number of steps, and the script."""
        tenant = scene.tenant
        volume = self._volumes[day][tenant.number]
        people = [*tenant.people, *tenant.guests]
        for plot, part in self._parts(tenant, day):
            volume -= part.steps
            yield int(part.hour * _HOUR), part.steps, play_part(plot, part, scene)
        if self._has_left(tenant, day):
            people.remove(tenant.leaver)
        share = min(0.7, _SERVICE_SHARE / _WEEKDAYS[self.plan.day(day).weekday()])
        services = int(volume * share)
        yield from _services(scene, services)
        yield from _sittings(scene, people, volume - services, self.plan.day(day))

    def _parts(self, tenant: Tenant, day: int) -> Iterator[tuple[Plot, Part]]:
        for plot in self._plots:
            for part in plot.parts:
                if part.tenant is tenant and part.day == day:
                    yield plot, part

    def _has_left(self, tenant: Tenant, day: int) -> bool:
        return any(plot.leaver is tenant.leaver and day >= plot.parts[0].day for plot in self._plots)


def _fitting(candidates: Sequence[Plot], volumes: Sequence[Sequence[int]]) -> list[Plot]:
    """Keep the stories that find room: at most half of what a tenant does on one day is planted."""
    room = [[volume // 2 for volume in day] for day in volumes]
    kept: list[Plot] = []
    for plot in candidates:
        needs = Counter[tuple[int, int]]()
        for part in plot.parts:
            needs[part.day, part.tenant.number] += part.steps
        if all(room[day][tenant] >= steps for (day, tenant), steps in needs.items()):
            kept.append(plot)
            for (day, tenant), steps in needs.items():
                room[day][tenant] -= steps
    return kept


def _services(scene: Scene, volume: int) -> Iterator[tuple[int, int, Script]]:
    """Yield the day's scripts of the services: directory sync and reports by local time, the rest by UTC."""
    tenant = scene.tenant
    local = [((hour - tenant.utc_offset) % 24) * _HOUR for hour in (2, 6)]
    jobs = [
        (local[0], 15.0, partial(sync_directory, scene)),
        (local[1], 10.0, partial(send_reports, scene)),
        *((hour * _HOUR, 9.0, partial(analyse, scene)) for hour in (0, 6, 12, 18)),
        *((0, 39.0 / len(tenant.keys), partial(use_key, scene, key)) for key in tenant.keys),
    ]
    for (start, _, job), steps in zip(jobs, apportion(volume, [weight for _, weight, _ in jobs]), strict=True):
        if steps:
            yield start + int(scene.rng.random() * _HOUR / 6), steps, job(steps)


def _sittings(scene: Scene, people: Sequence[Person], volume: int, day: date) -> Iterator[tuple[int, int, Script]]:
    """Yield sittings of people who work that day until the volume is spent."""
    rng = scene.rng
    odds = list(accumulate(person.diligence for person in people))
    while volume:
        steps = min(volume, 2 + int(rng.expovariate(1 / _MEAN_STEPS)), _MOST_STEPS)
        volume -= steps
        person = rng.choices(people, cum_weights=odds)[0]
        yield _start(rng, person, day), steps, work(scene, person, steps)


def _start(rng: Random, person: Person, day: date) -> int:
    """Draw when a sitting starts, in µs of the UTC day: in the local working hours, rarely at night or weekends."""
    hour = 0.0
    for _ in range(_TRIES):
        local = rng.uniform(0, 24) if rng.random() < _NIGHT_OWLS else person.day_start + rng.triangular(0, 9, 2)
        hour = (local - person.utc_offset) % 24
        local_day = day + timedelta(days=(hour + person.utc_offset) // 24)
        if local_day.weekday() < _SATURDAY or rng.random() < _WEEKEND_WORK:
            break
    return int(hour * _HOUR)
