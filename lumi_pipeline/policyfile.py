"""Reading the policy file that the setting ``policy_file`` names."""

from pathlib import Path
from typing import Final

from lumi_pipeline.errors import ConfigError
from transparency.errors import FormatError
from transparency.policy import Policy

_MAX_POLICY: Final = 1 << 20


def read_policy(path: Path) -> Policy:
    """Read a policy; :class:`~lumi_pipeline.errors.ConfigError` when it can't be read or is none."""
    try:
        with path.open("rb") as file:
            return Policy.parse(file.read(_MAX_POLICY + 1))
    except OSError as error:
        raise ConfigError(f"the policy file {path} can't be read: {error.strerror}") from None
    except FormatError as error:
        raise ConfigError(f"the policy file {path}: {error}") from None
