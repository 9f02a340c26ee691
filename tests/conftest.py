"""What holds for every test: how long hypothesis may take, and an environment that is not the developer's own."""

import os

from hypothesis import settings

pytest_plugins = ["tests.servers", "tests.postgresql", "tests.s3", "tests.lake.placing", "tests.daskcluster"]

# No deadlines: with a worker on every core, how long one example takes says more about its neighbours than about it.
settings.register_profile("lumi", deadline=None)
settings.load_profile("lumi")

for variable in [name for name in os.environ if name.startswith(("LUMI_", "AWS_"))]:
    del os.environ[variable]
# No test finds the developer's own profile, or asks the network for the credentials of this machine.
os.environ.update(AWS_CONFIG_FILE=os.devnull, AWS_SHARED_CREDENTIALS_FILE=os.devnull, AWS_EC2_METADATA_DISABLED="true")
