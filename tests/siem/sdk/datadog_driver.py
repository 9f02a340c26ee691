"""Send logs as Datadog's own client does (datadog-api-client). Reads JSON: url, key, rows.

Runs in an environment that has that library and not this project.
"""

import json
import sys
from urllib.parse import urlsplit

from datadog_api_client import ApiClient, Configuration
from datadog_api_client.v2.api.logs_api import LogsApi
from datadog_api_client.v2.model.content_encoding import ContentEncoding
from datadog_api_client.v2.model.http_log import HTTPLog
from datadog_api_client.v2.model.http_log_item import HTTPLogItem

given = json.load(sys.stdin)
place = urlsplit(given["url"])
configuration = Configuration(
    api_key={"apiKeyAuth": given["key"]},
    server_operation_index={"submit_log": 1},
    server_operation_variables={"submit_log": {"protocol": place.scheme, "name": place.netloc}},
)
with ApiClient(configuration) as client:
    logs = HTTPLog([HTTPLogItem(**row) for row in given["rows"]])
    LogsApi(client).submit_log(logs, content_encoding=ContentEncoding.GZIP)
