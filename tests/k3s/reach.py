"""What MLflow's user of an S3 server may do, tried on a host with boto3.

Reads a JSON list: the server's URL, the bucket, the prefix, and the keys of the administrator and of the user. Prints JSON: each request by
what it tries, with True where the server let it through.
"""
from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError


def client(url: str, access_key: str, secret_key: str) -> Any:
    """A client that tries each request once."""
    config = Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}, proxies={}, request_checksum_calculation="when_required",
                    response_checksum_validation="when_required")
    return boto3.client("s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id=access_key, aws_secret_access_key=secret_key,
                        config=config)


def is_let(request: Callable[[], object]) -> bool:
    """Whether the server answers with anything but a refusal. Raises ClientError for another error."""
    try:
        request()
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != 403:
            raise
        return False
    return True


def multipart(user: Any, bucket: str, key: str) -> None:
    """An upload in two parts, whose parts are listed."""
    there = {"Bucket": bucket, "Key": key}
    there["UploadId"] = user.create_multipart_upload(**there)["UploadId"]
    sizes = {1: 5 << 20, 2: 10}
    parts = [{"PartNumber": number, "ETag": user.upload_part(**there, PartNumber=number, Body=b"p" * size)["ETag"]} for number, size in sizes.items()]
    user.list_parts(**there)
    user.complete_multipart_upload(**there, MultipartUpload={"Parts": parts})


def main(url: str, bucket: str, prefix: str, admin_keys: list[str], user_keys: list[str]) -> None:
    """Try all, and leave nothing behind."""
    admin, user = client(url, *admin_keys), client(url, *user_keys)
    inside, outside = f"{prefix}/reach", ["reach", f"{prefix}x/reach", "other/reach"]
    other = f"{bucket}-other"
    admin.create_bucket(Bucket=other)
    try:
        for key in [inside, *outside]:
            admin.put_object(Bucket=bucket, Key=key, Body=b"content")
        admin.put_object(Bucket=other, Key=inside, Body=b"content")
        requests: dict[str, Callable[[], object]] = {
            "list the prefix": lambda: user.list_objects_v2(Bucket=bucket, Prefix=f"{prefix}/"),
            "get inside": lambda: user.get_object(Bucket=bucket, Key=inside),
            "put inside": lambda: user.put_object(Bucket=bucket, Key=inside, Body=b"new"),
            "upload inside": lambda: multipart(user, bucket, f"{inside}-parts"),
            "list the bucket": lambda: user.list_objects_v2(Bucket=bucket),
            "list beside": lambda: user.list_objects_v2(Bucket=bucket, Prefix=f"{prefix}x/"),
            "list another bucket": lambda: user.list_objects_v2(Bucket=other, Prefix=f"{prefix}/"),
            "get of another bucket": lambda: user.get_object(Bucket=other, Key=inside),
            "put to another bucket": lambda: user.put_object(Bucket=other, Key=inside, Body=b"new"),
            "copy from outside": lambda: user.copy_object(Bucket=bucket, Key=f"{inside}-copy", CopySource=f"{bucket}/other/reach"),
            "make a bucket": lambda: user.create_bucket(Bucket=f"{bucket}-third"),
            "open the bucket": lambda: user.put_bucket_policy(Bucket=bucket, Policy='{"Version": "2012-10-17", "Statement": []}'),
        }
        for key in outside:
            requests[f"get {key}"] = lambda key=key: user.get_object(Bucket=bucket, Key=key)  # type: ignore[misc]
            requests[f"put {key}"] = lambda key=key: user.put_object(Bucket=bucket, Key=key, Body=b"new")  # type: ignore[misc]
            requests[f"upload {key}"] = lambda key=key: multipart(user, bucket, key)  # type: ignore[misc]
            requests[f"delete {key}"] = lambda key=key: user.delete_object(Bucket=bucket, Key=key)  # type: ignore[misc]
        found = {name: is_let(request) for name, request in requests.items()}
        found["delete inside"] = is_let(lambda: user.delete_object(Bucket=bucket, Key=inside))
        print(json.dumps(found))
    finally:
        for key in [inside, f"{inside}-parts", f"{inside}-copy", *outside]:
            admin.delete_object(Bucket=bucket, Key=key)
        admin.delete_object(Bucket=other, Key=inside)
        admin.delete_bucket(Bucket=other)


if __name__ == "__main__":
    main(*json.load(sys.stdin))
