"""Who is in the demo: invented tenants, the people and services that act in them, and the networks they come from.

Everything is drawn from the random source that is handed in, so one seed always makes the same cast. Names are put
together from syllables and belong to nobody; addresses come from the documentation ranges only (RFC 5737, RFC 3849).
The ranges are split, so that a network says what it is: 203.0.113.0/24 offices, 192.0.2.0/24 and 2001:db8:1::/48
homes, 198.51.100.0/25 mobile carriers, 198.51.100.128–199 services, 2001:db8:7::/48 travel. What is left
(198.51.100.200 upwards and 2001:db8:bad::/48) is only ever used by the planted stories.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random

PEOPLE_PER_EVENTS = 28
"""One person for so many events of a tenant's average day: about two sessions a day each."""

MIN_PEOPLE = 8
MSP_ANALYSTS = 3
SUPPORT_ENGINEERS = 2
_IPV4_HOMES = 0.4
_OTHER_METHOD = 1 / 12
_NEXT_ZONE = 0.1


class Role(StrEnum):
    """What somebody does in the product; decides what a session of theirs looks like."""

    ADMIN = "admin"
    FINOPS = "finops_analyst"
    ENGINEER = "engineer"
    AUDITOR = "auditor"
    VIEWER = "viewer"
    MSP = "msp_analyst"
    SUPPORT = "support"


@dataclass(frozen=True, slots=True)
class Link:
    """Where a session comes from."""

    ip: str
    user_agent: str


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with habits. Times are hours of the local day, ``utc_offset`` is in hours east of UTC."""

    actor_id: str
    name: str
    actor_type: str
    role: Role
    auth_method: str
    utc_offset: int
    day_start: float
    office: Link
    home: Link
    mobile: Link
    home_share: float
    diligence: float


@dataclass(frozen=True, slots=True)
class Service:
    """An account without a person behind it: directory sync, scheduler, analysis engine or API key."""

    actor_id: str
    name: str
    actor_type: str
    auth_method: str | None
    link: Link | None


@dataclass(frozen=True, slots=True)
class Tenant:
    """One customer. ``people`` work for it, ``guests`` (its service provider, the vendor's support) work in it.

    ``leaver`` works until the day the story says; ``sleeper`` only ever appears in the story of the dormant account.
    ``collector`` is the viewer who takes out reports in another story, and works like the others besides.
    """

    tenant_id: str
    number: int
    is_msp: bool
    utc_offset: int
    people: Sequence[Person]
    guests: Sequence[Person]
    leaver: Person
    sleeper: Person
    collector: Person
    directory: Service
    engine: Service
    scheduler: Service
    keys: Sequence[Service]

    def first_of(self, role: Role) -> Person:
        """Return the first person of that role; every tenant has an admin, a FinOps analyst and an engineer."""
        return next(person for person in self.people if person.role is role)


_COMPANIES = (
    "harbourline", "umbradesk-msp", "quellstone", "brightfen", "tarnwick", "saltmarsh-labs", "orrisvale", "kettlemoor",
    "fennimere", "lodestrand", "copperlarch", "wrenfield", "mirefall", "halcyard", "drumlinworks", "pallisay",
    "eskerlane", "juniperax", "thistlequay", "ostermill", "gannetfold", "veldspar", "rookhollow", "lanternwold",
)  # fmt: skip
_MSP_NUMBER = 1
_OFFSETS = (-5, 1, 0, 9, -8, 2, 5, 10, -3, 8)

_GIVEN_HEADS = (
    "Am", "Bel", "Cor", "Dav", "Él", "Fen", "Gar", "Hal", "Il", "Jor", "Kel", "Lor", "Mar", "Nev", "Or", "Pel",
    "Quin", "Ros", "Sel", "Tam", "Ul", "Ves", "Wil", "Yar", "Zo",
)  # fmt: skip
_GIVEN_TAILS = ("a", "an", "en", "eth", "ia", "in", "is", "o", "on", "ë", "ara", "iel")
_FAMILY_HEADS = (
    "Ash", "Bram", "Crel", "Dorn", "Ever", "Fal", "Grim", "Hol", "Isk", "Kor", "Lind", "Mer", "Nør", "Ost", "Pell",
    "Quar", "Rav", "Stel", "Thorn", "Ulv", "Var", "Wend", "Yl", "Zör",
)  # fmt: skip
_FAMILY_TAILS = ("ab", "dale", "eck", "fold", "garde", "ista", "lund", "mere", "ow", "quay", "stok", "vane", "wick")

_DESKTOP_AGENTS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.0 Safari/605",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari",
    "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:144.0) Gecko/20100101 Firefox/144.0",
)
_MOBILE_AGENTS = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
    "Mozilla/5.0 (Linux; Android 16; Mobile) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Mobile",
)
_SUPPORT_AGENT = "LumiSupportConsole/3.2"
_KEY_AGENTS = ("lumi-cli/1.8.2", "python-httpx/0.28", "cost-exporter/2.1", "infra-as-code/1.9 (provider lumi)")

_SCIM_AGENT = "DirectorySync/2.4 (SCIM 2.0)"

_STAFF: Mapping[Role, int] = {Role.ENGINEER: 46, Role.FINOPS: 28, Role.VIEWER: 14, Role.AUDITOR: 6, Role.ADMIN: 6}
_DILIGENCE: Mapping[Role, float] = {
    Role.ADMIN: 1.0,
    Role.FINOPS: 1.6,
    Role.ENGINEER: 1.0,
    Role.AUDITOR: 0.5,
    Role.VIEWER: 0.6,
    Role.MSP: 0.9,
    Role.SUPPORT: 0.3,
}
"""How many sessions somebody of that role has, compared with an engineer."""

_FOUNDERS = (Role.ADMIN, Role.FINOPS, Role.ENGINEER, Role.AUDITOR, Role.ENGINEER)


def zipf_shares(tenants: int) -> list[float]:
    """Return how much of the volume each tenant makes: shares that sum to one, the k-th tenant's ∝ 1/k."""
    weights = [1 / rank for rank in range(1, tenants + 1)]
    return [weight / sum(weights) for weight in weights]


def build_cast(seed: str, tenants: int, events_a_day: float) -> list[Tenant]:
    """Draw the tenants, largest first, with people in proportion to the events they have to make.

    The second tenant (the only one, if there is one) is a managed service provider: its analysts also work in its
    customers' tenants under the same ``actor_id``. So does the vendor's support, in every tenant.
    """
    rng = Random(f"{seed}/cast")
    msp = min(_MSP_NUMBER, tenants - 1)
    guests = [
        *(_person(rng, Role.MSP, _OFFSETS[msp], "oidc", msp) for _ in range(MSP_ANALYSTS)),
        *(_person(rng, Role.SUPPORT, 1, "vendor_sso", msp) for _ in range(SUPPORT_ENGINEERS)),
    ]
    return [
        _tenant(seed, number, max(MIN_PEOPLE, round(events_a_day * share / PEOPLE_PER_EVENTS)), guests, number == msp)
        for number, share in enumerate(zipf_shares(tenants))
    ]


def _tenant(seed: str, number: int, staff: int, guests: Sequence[Person], is_msp: bool) -> Tenant:
    generation, company = divmod(number, len(_COMPANIES))
    tenant_id = _COMPANIES[company] + (f"-{generation + 1}" if generation else "")
    rng = Random(f"{seed}/cast/{tenant_id}")
    offset = _OFFSETS[number % len(_OFFSETS)]
    method = rng.choice(("saml", "oidc", "saml", "password+totp", "password+webauthn"))
    drawn = rng.choices(list(_STAFF), weights=list(_STAFF.values()), k=staff - len(_FOUNDERS) - 2)
    people = [_person(rng, role, offset, method, number) for role in (*_FOUNDERS, *drawn, Role.VIEWER, Role.FINOPS)]
    return Tenant(
        tenant_id=tenant_id,
        number=number,
        is_msp=is_msp,
        utc_offset=offset,
        people=people,
        guests=guests,
        leaver=people[-1],
        collector=people[-2],
        sleeper=_person(rng, Role.ADMIN, offset, "password", number),
        directory=Service(
            f"svc-scim-{number + 1}", "Directory sync", "service", "scim_token", _service_link(rng, _SCIM_AGENT)
        ),
        engine=Service("sys-analysis", "Analysis engine", "system", None, None),
        scheduler=Service("sys-scheduler", "Report scheduler", "system", None, None),
        keys=tuple(
            Service(
                f"key-{rng.getrandbits(32):08x}", f"Automation {index}", "service", "api_key", _service_link(rng, agent)
            )
            for index, agent in enumerate(rng.sample(_KEY_AGENTS, k=2 + number % 2), start=1)
        ),
    )


def _person(rng: Random, role: Role, offset: int, method: str, number: int) -> Person:
    """Draw one person who works at ``offset``; some live in the next time zone, some sign in differently."""
    vendor = role is Role.SUPPORT
    desktop = rng.choice(_DESKTOP_AGENTS)
    home = f"192.0.2.{rng.randint(1, 254)}" if rng.random() < _IPV4_HOMES else _address6(rng, 1, number)
    return Person(
        actor_id=f"{'sup' if vendor else 'u'}-{rng.getrandbits(40):010x}",
        name=invented_name(rng),
        actor_type="support" if vendor else "user",
        role=role,
        auth_method=method if vendor or rng.random() > _OTHER_METHOD else "password+totp",
        utc_offset=offset + (1 if rng.random() < _NEXT_ZONE else 0),
        day_start=min(max(rng.gauss(8.8, 0.8), 6.0), 12.0),
        office=Link(f"203.0.113.{1 + (2 * number + rng.randrange(2)) % 254}", _SUPPORT_AGENT if vendor else desktop),
        home=Link(home, desktop),
        mobile=Link(f"198.51.100.{rng.randint(1, 127)}", rng.choice(_MOBILE_AGENTS)),
        home_share=0.0 if vendor else rng.choice((0.1, 0.2, 0.3, 0.8)),
        diligence=_DILIGENCE[role] * rng.uniform(0.5, 1.8),
    )


def invented_name(rng: Random) -> str:
    """Put a name together from syllables; it is nobody's."""
    given = rng.choice(_GIVEN_HEADS) + rng.choice(_GIVEN_TAILS)
    return f"{given} {rng.choice(_FAMILY_HEADS)}{rng.choice(_FAMILY_TAILS)}"


def travel_link(rng: Random, person: Person) -> Link:
    """Return a network where that person has never been: the hotel, the train, the conference."""
    return Link(_address6(rng, 7, 0), person.home.user_agent)


def _service_link(rng: Random, agent: str) -> Link:
    return Link(f"198.51.100.{rng.randint(128, 199)}", agent)


def _address6(rng: Random, network: int, number: int) -> str:
    return f"2001:db8:{network}:{number:x}::{rng.getrandbits(16):x}:{rng.getrandbits(16):x}"
