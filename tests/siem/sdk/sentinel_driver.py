"""Upload rows as Microsoft's own client does (azure-monitor-ingestion). Reads JSON: url, token, dcr, stream, rows.

Runs in an environment that has that library and not this project.
"""

import json
import sys

from azure.core.credentials import AccessToken
from azure.monitor.ingestion import LogsIngestionClient


class Holder:
    """A credential that has its token already."""

    def __init__(self, token: str) -> None:
        self._token = token

    def get_token(self, *_scopes: str, **_options: object) -> AccessToken:
        return AccessToken(self._token, 4_000_000_000)


given = json.load(sys.stdin)
with LogsIngestionClient(given["url"], Holder(given["token"])) as client:
    # The server of the test has no TLS, which the library refuses unless it is told not to.
    client.upload(given["dcr"], given["stream"], given["rows"], enforce_https=False)
