"""What holds for every test: how long hypothesis may take, and an environment that is not the developer's own."""

import os

from hypothesis import settings

pytest_plugins = ["tests.servers", "tests.postgresql"]

# No deadlines: with a worker on every core, how long one example takes says more about its neighbours than about it.
settings.register_profile("lumi", deadline=None)
settings.load_profile("lumi")

for variable in [name for name in os.environ if name.startswith("LUMI_")]:
    del os.environ[variable]
