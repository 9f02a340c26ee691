"""Writing a large object to S3 part by part; it appears whole, with the last request."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from lumi_pipeline.stores.s3client import S3Client, checked
from lumi_pipeline.stores.s3errors import FAILURES

CREATE_ONLY: Final = {"IfNoneMatch": "*"}
"""The condition of a request that may create an object and never replace one."""


def upload_parts(
    client: S3Client,
    target: Mapping[str, str],
    properties: Mapping[str, object],
    condition: Mapping[str, str],
    *,
    data: bytes,
    part_size: int,
) -> None:
    """Write ``data`` as the object that ``target`` names; ``condition`` holds for its appearance.

    Raises what botocore raises, and then leaves no upload behind. A crash leaves an incomplete one: invisible, but
    paid for until a lifecycle rule of the bucket ends it.
    """
    begun = client.create_multipart_upload(**target, **properties, ChecksumAlgorithm="SHA256")
    upload = {**target, "UploadId": begun["UploadId"]}
    try:
        parts = []
        for number, start in enumerate(range(0, len(data), part_size), start=1):
            part = data[start : start + part_size]
            content = checked(part)
            answer = client.upload_part(**upload, PartNumber=number, **content)
            checksum = content["ChecksumSHA256"]
            parts.append({"PartNumber": number, "ETag": answer["ETag"], "ChecksumSHA256": checksum})
        client.complete_multipart_upload(**upload, **condition, MultipartUpload={"Parts": parts})
    except BaseException:
        with suppress(*FAILURES):
            client.abort_multipart_upload(**upload)
        raise
