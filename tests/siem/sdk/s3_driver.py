"""Write an object under a customer's key as AWS's own client does (boto3). Reads JSON: bucket, key, kms_key, body.

Runs in an environment that has that library and not this project. Where the server is, and the credentials, are in the
environment. The library computes the checksum itself.
"""

import base64
import json
import sys

import boto3

given = json.load(sys.stdin)
boto3.client("s3").put_object(
    Bucket=given["bucket"],
    Key=given["key"],
    Body=base64.b64decode(given["body"]),
    ServerSideEncryption="aws:kms",
    SSEKMSKeyId=given["kms_key"],
    BucketKeyEnabled=True,
    ChecksumAlgorithm="SHA256",
    IfNoneMatch="*",
)
