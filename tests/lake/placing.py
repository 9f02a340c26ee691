"""Fixtures: the places that worlds lie in. Whoever asks for ``new_place`` runs in each kind of them."""

from collections.abc import Iterator

import pytest

from tests.lake import places
from tests.lake.places import LOCAL, REMOTE, LocalPlace, NewPlace, RemotePlace, Services
from tests.postgresql import Postgresql, cluster
from tests.s3 import S3
from tests.servers import Servers

_KINDS = {"local": [LOCAL], "remote": [REMOTE], "both": [LOCAL, REMOTE]}
EVERYWHERE = "everywhere"
"""Marks tests that run in both kinds of places by default; the others, which are many, run in a local one alone."""

_running: list[Services] = []


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--places",
        choices=list(_KINDS),
        help="run what needs a pipeline with SQLite and files (local), with PostgreSQL and S3 (remote), or both; by"
        " default everything local, and what is marked 'everywhere' in both",
    )
    parser.addoption(
        "--thorough",
        action="store_true",
        help="kill and overtake runs at every moment also with PostgreSQL and S3, where one in six is tried otherwise",
    )


def pytest_configure(config: pytest.Config) -> None:
    places.thorough = config.getoption("thorough")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test once in each kind of place, if it has anything to do with places."""
    if "new_place" in metafunc.fixturenames:
        by_default = "both" if metafunc.definition.get_closest_marker(EVERYWHERE) else "local"
        kinds = _KINDS[metafunc.config.getoption("places") or by_default]
        metafunc.parametrize("new_place", kinds, indirect=True, scope="session")


@pytest.fixture(scope="session")
def services(servers: Servers, s3: S3) -> Services:
    """The servers of remote places."""
    _running.append(Services(Postgresql(servers.shared(cluster)["url"]), s3, s3.bucket()))
    return _running[0]


@pytest.fixture(scope="session")
def new_place(request: pytest.FixtureRequest) -> NewPlace:
    """Makes new places of the kind whose turn it is."""
    if request.param == LOCAL:
        return LocalPlace.create
    services: Services = request.getfixturevalue("services")
    return lambda _: RemotePlace.create(services)


@pytest.fixture(autouse=True)
def _used_databases_dropped() -> Iterator[None]:
    """A world's copy is a database of some megabytes, and some tests make hundreds."""
    before = sum(services.postgresql.databases for services in _running)
    yield
    for services in _running:
        services.postgresql.drop_databases(keep=before)
