"""mlflow_bucket against a real S3 server."""
from __future__ import annotations

import json
import socket
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import botocore.config
import botocore.exceptions
import botocore.session
import loopback
import pytest
from harness import ModuleRunner, Stack, Table, WriteGuard, tls_in_front, twelve_steps

from ansible_collections.mlops.mlflow.plugins.module_utils._s3.client import Connection, S3Client

Run = Callable[..., dict[str, Any]]
Refused = Callable[..., str]


class S3:
    """The server, as its administrator sees it; deletes at the end what a test says it made."""

    def __init__(self, stack: Stack) -> None:
        self.client: Any = botocore.session.Session().create_client(
            "s3",
            region_name="us-east-1",
            endpoint_url=stack.s3_endpoint,
            aws_access_key_id=stack.s3_access_key,
            aws_secret_access_key=stack.s3_secret_key,
            config=botocore.config.Config(s3={"addressing_style": "path"}, request_checksum_calculation="when_required"),
        )
        self.made: list[str] = []

    def name(self, purpose: str) -> str:
        """A new name, which is deleted after the test."""
        self.made.append(f"test-{purpose}-{uuid.uuid4().hex[:8]}")
        return self.made[-1]

    def bucket(self, purpose: str, versioning: str | None = None) -> str:
        """A new bucket with that name."""
        name = self.name(purpose)
        self.client.create_bucket(Bucket=name)
        if versioning:
            self.client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": versioning})
        return name

    def exists(self, name: str) -> bool:
        return name in [bucket["Name"] for bucket in self.client.list_buckets()["Buckets"]]

    def contents(self, name: str) -> list[str]:
        """The keys of all versions, delete markers and unfinished uploads."""
        page, uploads = self.client.list_object_versions(Bucket=name), self.client.list_multipart_uploads(Bucket=name)
        entries = [*page.get("Versions", []), *page.get("DeleteMarkers", []), *uploads.get("Uploads", [])]
        return [entry["Key"] for entry in entries]

    def empty(self, name: str) -> None:
        page, uploads = self.client.list_object_versions(Bucket=name), self.client.list_multipart_uploads(Bucket=name)
        for entry in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]:
            self.client.delete_object(Bucket=name, Key=entry["Key"], VersionId=entry["VersionId"])
        for upload in uploads.get("Uploads", []):
            self.client.abort_multipart_upload(Bucket=name, Key=upload["Key"], UploadId=upload["UploadId"])

    def policy(self, name: str) -> Any:
        return json.loads(self.client.get_bucket_policy(Bucket=name)["Policy"])

    def rules(self, name: str) -> dict[str, Any]:
        return {rule["ID"]: rule for rule in self.client.get_bucket_lifecycle_configuration(Bucket=name)["Rules"]}

    def clean(self) -> None:
        for name in filter(self.exists, self.made):
            self.empty(name)
            self.client.delete_bucket(Bucket=name)


@pytest.fixture
def s3(stack: Stack) -> Iterator[S3]:
    server = S3(stack)
    try:
        yield server
    finally:
        server.clean()


@pytest.fixture
def bucket(run: ModuleRunner) -> Run:
    """Runs the module, which must succeed."""
    return partial(run.succeed, "mlflow_bucket")


@pytest.fixture
def refused(run: ModuleRunner) -> Refused:
    """Runs the module, which must fail; gives its message."""
    return partial(run.fail, "mlflow_bucket")


def statement(name: str, principal: Any, sid: str = "Read") -> dict[str, Any]:
    return {"Sid": sid, "Effect": "Allow", "Principal": principal, "Action": ["s3:GetObject"], "Resource": [f"arn:aws:s3:::{name}/*"]}


def test_twelve_steps(run: ModuleRunner, stack: Stack, s3: S3) -> None:
    name = s3.name("steps")
    policy = {"Version": "2012-10-17", "Statement": statement(name, {"AWS": ["arn:aws:iam:::user/mlflow"]})}
    table = Table(
        module="mlflow_bucket",
        create={"name": name, "versioning": True, "abort_incomplete_multipart_days": 7, "tags": {"team": "risk", "tier": 1}},
        change={"name": name, "versioning": False, "noncurrent_expiration_days": 30, "policy": policy, "tags": {"a b": ""}, "purge_tags": True},
        delete={"name": name, "state": "absent"},
        result="bucket",
    )
    with WriteGuard(stack.s3_endpoint).running() as guard:
        twelve_steps(run, table, {"AWS_ENDPOINT_URL": guard.uri}, lambda: guard.writes)


# Deletion


def test_absent_spares_what_a_bucket_holds(bucket: Run, refused: Refused, s3: S3) -> None:
    name = s3.bucket("full", versioning="Enabled")
    s3.client.put_object(Bucket=name, Key="mlflow/a", Body=b"1")
    message = refused(name=name, state="absent")
    assert "contains objects (such as 'mlflow/a')" in message
    assert "set force: true" in message

    s3.client.delete_object(Bucket=name, Key="mlflow/a")
    assert "contains old versions (such as 'mlflow/a')" in refused(name=name, state="absent", check=True)
    s3.empty(name)
    s3.client.create_multipart_upload(Bucket=name, Key="mlflow/half")
    assert "contains unfinished uploads (such as 'mlflow/half')" in refused(name=name, state="absent")

    for number in range(5):
        s3.client.put_object(Bucket=name, Key=f"mlflow/<&'\" ü+%20 {number}", Body=b"1")
    s3.client.delete_object(Bucket=name, Key="mlflow/gone")
    result = bucket(name=name, state="absent", force=True)
    assert result["actions"] == [f"delete bucket {name}"]
    assert result["bucket"] == {}
    assert not s3.exists(name)


# Settings


def test_the_lifecycle_rules_of_others_stay(bucket: Run, s3: S3) -> None:
    name = s3.bucket("rules")
    theirs = {"ID": "theirs", "Status": "Enabled", "Filter": {"Prefix": "tmp/"}, "Expiration": {"Days": 3}}
    s3.client.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration={"Rules": [theirs]})
    result = bucket(name=name, abort_incomplete_multipart_days=7, noncurrent_expiration_days=30)
    ours = {"mlops.mlflow/abort-incomplete-multipart", "mlops.mlflow/expire-noncurrent-versions"}
    assert set(s3.rules(name)) == {"theirs", *ours}
    assert result["bucket"]["other_lifecycle_rules"] == ["theirs"]

    result = bucket(name=name, abort_incomplete_multipart_days=0)
    assert result["actions"] == [f"update bucket {name} lifecycle.abort_incomplete_multipart_days"]
    assert result["bucket"]["lifecycle"] == {"abort_incomplete_multipart_days": 0, "noncurrent_expiration_days": 30}
    assert s3.rules(name)["theirs"]["Expiration"] == {"Days": 3}
    assert set(s3.rules(name)) == {"theirs", "mlops.mlflow/expire-noncurrent-versions"}


def test_a_policy_is_compared_by_its_meaning(bucket: Run, s3: S3) -> None:
    name = s3.bucket("policy")
    one = statement(name, {"AWS": ["arn:aws:iam:::user/mlflow", "arn:aws:iam:::user/jane"]}, "One")
    two = statement(name, {"AWS": "arn:aws:iam:::user/mlflow"}, "Two")
    assert bucket(name=name, policy={"Version": "2012-10-17", "Statement": [one, two]})["changed"]
    one["Principal"]["AWS"].reverse()
    assert not bucket(name=name, policy={"Statement": [two, one], "Version": "2012-10-17"})["changed"]
    # By hand, behind the module's back.
    s3.client.put_bucket_policy(Bucket=name, Policy=json.dumps({"Version": "2012-10-17", "Statement": [one]}))
    assert bucket(name=name, policy={"Version": "2012-10-17", "Statement": [one, two]})["actions"] == [f"update bucket {name} policy.Statement"]
    assert {entry["Sid"] for entry in s3.policy(name)["Statement"]} == {"One", "Two"}
    assert bucket(name=name, policy={})["bucket"]["policy"] == {}
    with pytest.raises(botocore.exceptions.ClientError, match="NoSuchBucketPolicy"):
        s3.policy(name)


def test_a_bucket_is_closed_to_the_public(bucket: Run, refused: Refused, s3: S3) -> None:
    name = s3.bucket("public")
    anyone = {"Version": "2012-10-17", "Statement": [statement(name, "*")]}
    message = refused(name=name, policy=anyone, check=True)
    assert message.startswith("policy: 'Read' is a statement that grants access to everyone; ")
    assert "public_access: unmanaged" in message

    assert bucket(name=name, policy=anyone, public_access="unmanaged")["changed"]
    message = refused(name=name)
    assert "has a policy that grants access to everyone (statement 'Read')" in message
    assert "policy: {} for none" in message

    s3.client.put_bucket_acl(Bucket=name, ACL="public-read")
    result = bucket(name=name, policy={})
    assert f"update bucket {name} public_access" in result["actions"]
    assert result["bucket"]["public_access"] == "refused"
    assert [grant["Grantee"]["Type"] for grant in s3.client.get_bucket_acl(Bucket=name)["Grants"]] == ["CanonicalUser"]


def test_encryption_is_set_where_it_works_and_refused_where_it_does_not(run: ModuleRunner, s3: S3) -> None:
    name = s3.bucket("secret")
    for algorithm in ("AES256", "aws:kms"):
        result = run("mlflow_bucket", {"name": name, "encryption": algorithm})
        if result.get("failed"):
            assert result["msg"].startswith("encryption: the server does not support it: ")
            assert "leave encryption out, or use a server that has it" in result["msg"]
        else:
            assert result["bucket"]["encryption"] == algorithm
        s3.client.put_object(Bucket=name, Key="mlflow/a", Body=b"1")
    assert s3.contents(name) == ["mlflow/a"]
    result = run("mlflow_bucket", {"name": name, "encryption": "none"})
    assert result["bucket"]["encryption"] == "none"


@pytest.mark.parametrize("versioning", ["Enabled", "Suspended", None])
def test_verify_leaves_nothing(bucket: Run, s3: S3, versioning: str | None) -> None:
    name = s3.bucket("verify", versioning)
    result = bucket(name=name, verify=True, prefix="/some where/")
    assert not result["changed"]
    assert sorted(result["verification"]) == ["delete_ms", "get_ms", "put_ms"]
    assert all(0 < value < 30_000 for value in result["verification"].values())
    assert s3.contents(name) == []


def test_verify_writes_nothing_in_check_mode(run: ModuleRunner, stack: Stack, s3: S3) -> None:
    with WriteGuard(stack.s3_endpoint).running() as guard:
        result = run("mlflow_bucket", {"name": s3.bucket("verify"), "verify": True}, check=True, env={"AWS_ENDPOINT_URL": guard.uri})
        assert "verification" not in result
        assert guard.writes == []
        message = run("mlflow_bucket", {"name": s3.bucket("verify"), "verify": True, "retries": 0}, env={"AWS_ENDPOINT_URL": guard.uri})["msg"]
    assert message.startswith("verify: cannot write s3://test-verify-")


def test_two_at_once(run: ModuleRunner, s3: S3) -> None:
    args = {"name": s3.name("twins"), "versioning": True, "noncurrent_expiration_days": 3, "tags": {"team": "risk"}}
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda _number: run("mlflow_bucket", args), range(2)))
    assert [result.get("failed") for result in results] == [None, None], results
    assert not run("mlflow_bucket", args)["changed"]


# What can go wrong

BAD_OPTIONS = [
    ({"name": "My_Bucket"}, "name: 'My_Bucket' has a character other than a-z"),
    ({"tags": ["a"]}, "'tags' is of type list and we were unable to convert to dict"),
    ({"ca_path": "/does/not/exist.pem", "endpoint_url": "https://127.0.0.1"}, "ca_path: '/does/not/exist.pem' cannot be read on the host"),
    ({"access_key": "nobody"}, "the credentials are refused; check access_key and secret_key (InvalidAccessKeyId)"),
    ({"secret_key": "wrong-wrong-wrong"}, "the credentials are refused; check access_key and secret_key (SignatureDoesNotMatch)"),
]


@pytest.mark.parametrize(("args", "expected"), BAD_OPTIONS, ids=[expected.partition(":")[0] for _args, expected in BAD_OPTIONS])
def test_bad_options(refused: Refused, args: dict[str, Any], expected: str) -> None:
    message = refused(**{"name": "test-bad", **args})
    assert expected in message
    assert "wrong-wrong-wrong" not in message


def test_an_address_where_nothing_listens(refused: Refused) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    message = refused(name="test-bad", endpoint_url=address, retries=0)
    assert f"GetBucketLocation at {address} got no answer in 1 tries: connection refused; check endpoint_url" in message


@pytest.mark.parametrize("status", [200, 404])
def test_a_web_page_where_s3_answers_xml(refused: Refused, status: int) -> None:
    page = loopback.reply(status, "<!doctype html><html><body>Hello<br></body></html>", "text/html; charset=utf-8")
    with loopback.Server([page]).running() as server:
        message = refused(name="test-bad", endpoint_url=f"http://127.0.0.1:{server.port}", retries=0)
    assert "this is not an S3 API, it answered" in message
    assert "check that endpoint_url is the server's S3 API, not its console, a proxy or an MLflow server" in message


def test_an_empty_answer_is_no_page_whatever_it_is_called() -> None:
    """Moto and OpenStack Swift call the empty answer to a write text/html."""
    with loopback.Server([loopback.reply(200, "", "text/html; charset=utf-8")]).running() as server:
        client = S3Client(Connection("us-east-1", f"http://127.0.0.1:{server.port}", access_key="a", secret_key="b", retries=0))
        assert client.call("delete_bucket_policy", Bucket="b") == {}


def test_a_missing_library(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "botocore").mkdir()
    (tmp_path / "botocore" / "__init__.py").write_text("raise ImportError('No module named botocore')\n")
    assert "required Python library (boto3)" in refused(name="test-bad", env={"PYTHONPATH": str(tmp_path)})


# TLS


def test_tls(bucket: Run, refused: Refused, stack: Stack, s3: S3, tmp_path: Path) -> None:
    authority = loopback.Authority(tmp_path)
    name = s3.bucket("tls")
    with tls_in_front(stack.s3_endpoint, authority.context("127.0.0.1")) as address:
        message = refused(name=name, endpoint_url=address, retries=0)
        assert f"{address}: the server's TLS certificate is not trusted: " in message
        assert message.endswith("give the CA that signed it as ca_path")
        assert bucket(name=name, endpoint_url=address, ca_path=str(authority.path), verify=True)["verification"]
        assert not bucket(name=name, endpoint_url=address, validate_certs=False)["changed"]
        empty = tmp_path / "empty.pem"
        empty.write_text("nothing\n")
        assert "ca_path: " in refused(name=name, endpoint_url=address, ca_path=str(empty), retries=0)
        plain = refused(name=name, endpoint_url=stack.s3_endpoint.replace("http:", "https:"), retries=0)
        assert "does not speak TLS there; check the scheme and the port of endpoint_url" in plain
