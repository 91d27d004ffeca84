"""The pure core of mlflow_bucket, and its adapter against servers that lack, drop or forbid things."""
from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.mlops.mlflow.plugins.doc_fragments.s3 import ModuleDocFragment
from ansible_collections.mlops.mlflow.plugins.module_utils._errors import Conflict, NotPermitted, ServerError, Unreachable, Unsupported
from ansible_collections.mlops.mlflow.plugins.module_utils._options import InvalidOption, Refused
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.plan import Plan, apply_changes, make_plan
from ansible_collections.mlops.mlflow.plugins.module_utils._s3 import connection
from ansible_collections.mlops.mlflow.plugins.module_utils._s3.bucket import rules
from ansible_collections.mlops.mlflow.plugins.module_utils._s3.bucket.adapter import Bucket
from ansible_collections.mlops.mlflow.plugins.module_utils._s3.bucket.policy import canonical_policy, public_statements
from ansible_collections.mlops.mlflow.plugins.module_utils._s3.client import Connection, S3Client, _add_content_md5

MINIO = "http://minio:9000"


def options(**given: Any) -> dict[str, Any]:
    return {"name": "mlflow", "state": "present", "endpoint_url": MINIO, "region": "us-east-1", "public_access": "refused", **given}


# Options

BAD_OPTIONS = [
    ({"name": "n" * 64}, "name: '" + "n" * 64 + "' has 64 characters; use 3 to 63"),
    ({"name": "a_b"}, "name: 'a_b' has a character other than a-z, 0-9, '.' and '-'; use only these"),
    ({"name": "name\n"}, "has a character other than"),
    ({"name": "amzn-s3-demo-x"}, "begins with 'amzn-s3-demo-', which S3 reserves"),
    ({"name": "x-s3alias"}, "ends with '-s3alias'"),
    ({"abort_incomplete_multipart_days": -1}, "abort_incomplete_multipart_days: -1 is negative; give a number of days, or 0"),
    ({"kms_key_id": "k", "encryption": "AES256"}, "kms_key_id: 'k' is given, but not used; set encryption: aws:kms"),
    ({"policy": {"Version": "2012-10-17"}}, "policy: ['Version'] has no statements with an Effect of Allow or Deny; give {} to remove"),
    ({"policy": {"Statement": ["Allow"]}}, "policy: ['Statement'] has no statements"),
    ({"policy": {"Statement": {"Effect": "Deny", "Condition": {"Bool": "x"}}}}, "policy: {'Bool': 'x'} is not a Condition"),
    (
        {"policy": {"Statement": {"Effect": "Allow", "Principal": "*"}}},
        "policy: 'number 1' is a statement that grants access to everyone; restrict it with Principal",
    ),
    ({"tags": {"": "x"}}, "tags: '' is a key of 0 characters; use 1 to 128"),
    ({"tags": {"aws:x": "1"}}, "tags: 'aws:x' begins with 'aws:', which AWS reserves; use another key"),
    ({"tags": {"x": [1]}}, "tags: 'x' has a value that is a list or a dictionary; give a string"),
    ({"tags": {"x": "v" * 257}}, "tags: 'x' has a value of 257 characters; S3 stores at most 256"),
    ({"tags": {str(number): "" for number in range(51)}}, "tags: '51 tags' are too many; S3 stores at most 50 on a bucket"),
    ({"prefix": "模" * 400}, "is too long; give at most 960 bytes"),
]


@pytest.mark.parametrize(("given", "message"), BAD_OPTIONS)
def test_bad_options(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        rules.check_options(options(**given))
    assert message in str(caught.value)


@pytest.mark.parametrize("name", ["abc", "a" * 63, "1.2.3", "a.b-c.4", "192.0.2.1a", "xn-a", "n--x"])
def test_good_names(name: str) -> None:
    rules.check_options(options(name=name))


def connected(**given: Any) -> dict[str, Any]:
    validated = ArgumentSpecValidator(connection.argument_spec()).validate(given)
    assert not validated.error_messages
    return dict(validated.validated_parameters)


BAD_CONNECTIONS = [
    ({"endpoint_url": "s3.example.com:9000"}, "endpoint_url: 's3.example.com:9000' is not an HTTP address; give http://HOST:PORT"),
    ({"endpoint_url": "http://h:99999"}, "endpoint_url: 'http://h:99999' is not an HTTP address"),
    ({"endpoint_url": "https://key:hunter2@h"}, "endpoint_url: 'https://…@h' contains credentials; give them as access_key and secret_key"),
    ({"access_key": "a"}, "secret_key: '' is empty, and access_key is given; give both, or neither"),
    ({"secret_key": "hunter2"}, "access_key: '' is empty, and secret_key is given"),
    ({"timeout": 0}, "timeout: 0 is too small; give 1 or more"),
    ({"retries": -1}, "retries: -1 is too small; give 0 or more"),
]


@pytest.fixture
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for option in connection.argument_spec().values():
        for variable in option.get("fallback", (None, []))[1]:
            monkeypatch.delenv(variable, raising=False)


@pytest.mark.usefixtures("no_environment")
@pytest.mark.parametrize(("given", "message"), BAD_CONNECTIONS)
def test_bad_connections(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        connection.client(connected(**given))
    assert message in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.usefixtures("no_environment")
def test_the_environment_is_asked_in_the_order_documented(monkeypatch: pytest.MonkeyPatch) -> None:
    assert connected()["region"] == "us-east-1"
    for variable in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "MLFLOW_S3_ENDPOINT_URL", "AWS_DEFAULT_REGION", "AWS_REGION"):
        monkeypatch.setenv(variable, f"https://{variable}")
        assert f"https://{variable}" in connected().values()


def test_the_connection_is_documented_as_it_is() -> None:
    documented = yaml.safe_load(ModuleDocFragment.DOCUMENTATION)["options"]
    spec = connection.argument_spec()
    assert set(documented) == set(spec)
    for name, option in spec.items():
        for key in ("type", "default", "choices", "required"):
            assert documented[name].get(key) == option.get(key), (name, key)
        for variable in option.get("fallback", (None, []))[1]:
            assert f"E({variable})" in "".join(documented[name]["description"])


# Policies


def allow(principal: Any, **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Principal": principal, "Action": "s3:GetObject", "Resource": "r", **more}


PUBLIC = [
    ({"AWS": "*"}, None, True),
    ({"AWS": ["arn:x", "*"]}, None, True),
    ("*", {"Bool": {"aws:SecureTransport": "true"}}, True),
    ("*", {"StringLike": {"aws:Referer": "https://example.com/*"}}, True),
    ("*", {"NotIpAddress": {"aws:SourceIp": "10.0.0.0/8"}}, True),
    ("*", {"IpAddress": {"aws:SourceIp": ["10.0.0.0/8", "0.0.0.0/0"]}}, True),
    ("*", {"IpAddress": {"aws:SourceIp": "::/0"}}, True),
    ("*", {"ForAllValues:StringEquals": {"aws:PrincipalOrgID": "o-1"}}, True),
    ("*", {"StringEquals": {"aws:SourceVpce": "${aws:username}"}}, True),
    ("*", {"StringEquals": {"AWS:SourceVpce": "vpce-1"}, "Bool": {"aws:SecureTransport": "true"}}, False),
    ("*", {"ForAnyValue:StringEquals": {"aws:PrincipalOrgID": ["o-1"]}}, False),
    ({"AWS": "arn:aws:iam::123456789012:root"}, None, False),
    ({"Service": "logging.s3.amazonaws.com"}, None, False),
]


@pytest.mark.parametrize(("principal", "condition", "public"), PUBLIC)
def test_public_statements(principal: Any, condition: Any, public: bool) -> None:
    entry = allow(principal, Condition=condition) if condition else allow(principal)
    assert bool(public_statements({"Statement": [entry]})) is public
    assert not public_statements({"Statement": [{**entry, "Effect": "Deny"}]})


def test_equal_policies_have_one_spelling() -> None:
    one = {
        "Version": "2012-10-17",
        "Statement": [
            allow({"AWS": ["123456789012", "arn:x"]}, Sid="", Action=["s3:b", "s3:a", "s3:a"], Condition={}),
            {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "r", "Condition": {"Bool": {"aws:SecureTransport": False}}},
        ],
    }
    two = {
        "Statement": [
            {
                "Effect": "Deny", "Principal": {"AWS": "*"}, "Action": ["s3:*"], "Resource": ["r"],
                "Condition": {"Bool": {"aws:SecureTransport": ["false"]}},
            },
            {"Action": ["s3:a", "s3:b"], "Effect": "Allow", "Principal": {"AWS": ["arn:x", "arn:aws:iam::123456789012:root"]}, "Resource": "r"},
        ],
        "Version": "2012-10-17",
    }
    assert canonical_policy(one) == canonical_policy(two)
    assert canonical_policy(canonical_policy(one)) == canonical_policy(one)
    assert canonical_policy({}) == {}
    assert canonical_policy(one) != canonical_policy({**one, "Version": "2008-10-17"})


# The state wanted


def test_a_version_left_out_of_a_policy_is_dropped() -> None:
    current = {"name": "mlflow", "region": "us-east-1", "policy": {"Id": "x", "Version": "2012-10-17", "Statement": [allow("arn:x")]}}
    desired = rules.desired_state(options(policy={"Statement": allow("arn:x")}), current)
    assert make_plan(current, desired).after == {**current, "policy": {"Statement": [allow("arn:x")]}, "public_access": "refused"}


def test_another_region_is_an_error_on_aws_alone() -> None:
    current = {"name": "mlflow", "region": "eu-west-1"}
    assert rules.desired_state(options(), current)
    message = r"region: 'us-east-1' is not the region of bucket 'mlflow', and a bucket cannot be moved; give region: eu-west-1"
    with pytest.raises(InvalidOption, match=message):
        rules.desired_state(options(endpoint_url=None), current)


def test_none_means_aes256_on_aws() -> None:
    assert (rules.desired_state(options(endpoint_url=None, encryption="none"), None) or {})["encryption"] == "AES256"
    assert (rules.desired_state(options(encryption="none"), None) or {})["encryption"] == "none"


def test_an_open_policy_that_nothing_overrules_is_refused() -> None:
    current = {"name": "mlflow", "region": "us-east-1", "policy": {"Statement": [allow("*", Sid="Web")]}, "public_access": "allowed"}
    message = r"has a policy that grants access to everyone \(statement 'Web'\).*declare the bucket's policy.*public_access: unmanaged"
    with pytest.raises(Refused, match=message):
        rules.desired_state(options(), current)
    assert rules.desired_state(options(), {**current, "public_access_block": False})
    assert rules.desired_state(options(policy={}), current)
    assert rules.desired_state(options(public_access="unmanaged"), current) == {"name": "mlflow"}


def test_tags_of_aws_survive_purging() -> None:
    current = {"name": "mlflow", "region": "us-east-1", "tags": {"aws:stack": "1", "old": "1", "team": "a"}}
    desired = rules.desired_state(options(tags={"team": True, "gone": None}, purge_tags=True), current)
    assert (make_plan(current, desired).after or {})["tags"] == {"aws:stack": "1", "team": "true"}


STATES = st.fixed_dictionaries(
    {
        "name": st.just("mlflow"),
        "region": st.just("us-east-1"),
        "versioning": st.sampled_from(["Disabled", "Enabled", "Suspended"]),
        "lifecycle": st.fixed_dictionaries({option: st.integers(0, 2) for option in rules.LIFECYCLE_OPTIONS}),
        "policy": st.sampled_from([{}, canonical_policy({"Version": "2012-10-17", "Statement": allow("arn:x")}), {"Statement": [], "Id": "x"}]),
        "tags": st.dictionaries(st.sampled_from("ab"), st.sampled_from("12")),
        "encryption": st.sampled_from(["none", "AES256", "aws:kms"]),
        "public_access": st.sampled_from(["refused", "allowed"]),
    }
)
WANTED = st.fixed_dictionaries(
    {},
    optional={
        "versioning": st.booleans(),
        "abort_incomplete_multipart_days": st.integers(0, 2),
        "noncurrent_expiration_days": st.integers(0, 2),
        "policy": st.sampled_from([{}, {"Statement": allow(["arn:x"])}, {"Version": "2012-10-17", "Statement": [allow("arn:x"), allow("arn:y")]}]),
        "tags": st.dictionaries(st.sampled_from("abc"), st.sampled_from(["1", 2, None])),
        "purge_tags": st.booleans(),
        "encryption": st.sampled_from(["none", "AES256", "aws:kms"]),
        "public_access": st.sampled_from(["refused", "unmanaged"]),
    },
)


@given(st.none() | STATES, WANTED)
def test_what_a_plan_gives_needs_no_further_plan(current: dict[str, Any] | None, wanted: dict[str, Any]) -> None:
    params = options(**wanted)
    plan = make_plan(current, rules.desired_state(params, current))
    assert plan.after is not None
    if current:
        assert apply_changes(current, plan.changes) == plan.after
    after = copy.deepcopy(plan.after)
    assert make_plan(after, rules.desired_state(params, after)).is_empty


# The adapter


class FakeS3(S3Client):
    """Gives ``answers`` by operation: a dictionary, or a status and an error code. ``sent`` is what it was asked to write."""

    def __init__(self, **answers: Any) -> None:
        super().__init__(Connection(region="us-east-1", endpoint_url=MINIO))
        unset = {
            "get_bucket_lifecycle_configuration": (404, "NoSuchLifecycleConfiguration"),
            "get_bucket_policy": (404, "NoSuchBucketPolicy"),
            "get_bucket_tagging": (404, "NoSuchTagSet"),
            "get_bucket_encryption": (404, "ServerSideEncryptionConfigurationNotFoundError"),
            "get_public_access_block": (404, "NoSuchPublicAccessBlockConfiguration"),
        }
        self.answers: dict[str, Any] = {**unset, **answers}
        self.sent: list[tuple[str, dict[str, Any]]] = []

    def _answer(self, operation: str, params: Mapping[str, Any]) -> dict[str, Any]:
        if not operation.startswith(("get_", "list_", "head_")):
            self.sent.append((operation, dict(params)))
        answer = self.answers.get(operation, {})
        if callable(answer):
            answer = answer(**params)
        if isinstance(answer, tuple):
            status, code = answer
            metadata = {"HTTPStatusCode": status, "HTTPHeaders": {"content-type": "text/html"}}
            raise self._server_error(operation, {"Error": {"Code": code, "Message": "because"}, "ResponseMetadata": metadata})
        return dict(answer)


def adapter(client: S3Client, **given: Any) -> Bucket:
    params = options(**given)
    return Bucket(client, "mlflow", rules.asked(params), prefix="mlflow/", removal=params["state"] == "absent")


def plan_of(client: S3Client, **given: Any) -> tuple[Bucket, Plan]:
    bucket = adapter(client, **given)
    current = bucket.read()
    return bucket, make_plan(current, rules.desired_state(options(**given), current))


def carried_out(client: S3Client, **given: Any) -> Plan:
    bucket, plan = plan_of(client, **given)
    bucket.check(plan)
    bucket.apply(plan)
    return plan


def test_a_public_access_block_is_set() -> None:
    client = FakeS3()
    assert carried_out(client).changes_under("public_access")
    four = {"BlockPublicAcls": True, "IgnorePublicAcls": True, "BlockPublicPolicy": True, "RestrictPublicBuckets": True}
    assert client.sent == [("put_public_access_block", {"Bucket": "mlflow", "PublicAccessBlockConfiguration": four})]
    assert plan_of(FakeS3(get_public_access_block={"PublicAccessBlockConfiguration": four}))[1].is_empty
    assert not plan_of(FakeS3(get_public_access_block={"PublicAccessBlockConfiguration": {**four, "BlockPublicAcls": False}}))[1].is_empty


@pytest.mark.parametrize("lacking", [(501, "NotImplemented"), (405, "MethodNotAllowed"), {"Contents": []}])
def test_without_public_access_blocks_the_grants_to_everyone_go(lacking: Any) -> None:
    owner = {"Grantee": {"Type": "CanonicalUser", "ID": "me"}, "Permission": "FULL_CONTROL"}
    anyone = {"Grantee": {"Type": "Group", "URI": "http://acs.amazonaws.com/groups/global/AuthenticatedUsers"}, "Permission": "READ"}
    acl = {"Owner": {"ID": "me"}, "Grants": [owner, anyone]}
    client = FakeS3(get_public_access_block=lacking, put_public_access_block=(501, "NotImplemented"), get_bucket_acl=acl)
    carried_out(client)
    assert client.sent[-1] == ("put_bucket_acl", {"Bucket": "mlflow", "AccessControlPolicy": {"Owner": {"ID": "me"}, "Grants": [owner]}})
    assert plan_of(FakeS3(get_public_access_block=lacking, get_bucket_acl=(501, "NotImplemented")))[1].is_empty


def test_what_may_not_be_read_matters_only_where_it_is_asked_for() -> None:
    client = FakeS3(get_bucket_tagging=(403, "AccessDenied"), get_public_access_block=(403, "AccessDenied"))
    state = adapter(client, public_access="unmanaged").read() or {}
    assert "tags" not in state
    assert "public_access" not in state
    with pytest.raises(NotPermitted, match=r"GetBucketTagging at .*: access is denied .* the credentials lack the right to GetBucketTagging"):
        adapter(client, public_access="unmanaged", tags={}).read()
    for answer, kind in (((403, "AccessDenied"), NotPermitted), ((400, "Odd"), ServerError)):
        with pytest.raises(kind, match=r"^public_access: cannot tell whether the bucket is open: .*set public_access: unmanaged$"):
            adapter(FakeS3(get_public_access_block=answer)).read()


LACKING = [
    ({"encryption": "AES256"}, "get_bucket_encryption", "encryption"),
    ({"tags": {"a": "b"}}, "get_bucket_tagging", "tags"),
    ({"versioning": True}, "get_bucket_versioning", "versioning"),
    ({"noncurrent_expiration_days": 3}, "get_bucket_lifecycle_configuration", "noncurrent_expiration_days"),
    ({"policy": {"Statement": allow("arn:x")}}, "get_bucket_policy", "policy"),
]


@pytest.mark.parametrize("exists", [True, False])
@pytest.mark.parametrize(("wanted", "read", "option"), LACKING)
def test_what_a_server_lacks_is_found_before_anything_is_written(wanted: dict[str, Any], read: str, option: str, exists: bool) -> None:
    location = {} if exists else {"get_bucket_location": (404, "NoSuchBucket")}
    client = FakeS3(**{read: (501, "NotImplemented"), **location})
    bucket, plan = plan_of(client, **wanted)
    with pytest.raises(Unsupported, match=rf"^{option}: the server does not support it: .* 501 NotImplemented: because; leave {option} out, or use"):
        bucket.check(plan)
    assert client.sent == []


@pytest.mark.parametrize("read", [read for _wanted, read, _option in LACKING])
def test_what_a_server_lacks_is_no_matter_where_it_is_to_be_off(read: str) -> None:
    client = FakeS3(**{read: (501, "NotImplemented")})
    carried_out(client, versioning=False, noncurrent_expiration_days=0, encryption="none", policy={}, tags={})
    assert [operation for operation, _params in client.sent] == ["put_public_access_block"]


def test_encryption_that_no_object_can_be_written_with_is_not_set() -> None:
    client = FakeS3(put_object=(500, "InternalError"))
    with pytest.raises(Unsupported, match=r"^encryption: the server does not support it: PutObject .*500 InternalError"):
        carried_out(client, encryption="AES256", public_access="unmanaged")
    assert [operation for operation, _params in client.sent] == ["put_object"]
    client = FakeS3(put_object=(403, "AccessDenied"))
    carried_out(client, encryption="aws:kms", kms_key_id="k", public_access="unmanaged")
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "k"}}
    assert client.sent[-1][1]["ServerSideEncryptionConfiguration"] == {"Rules": [rule]}


@pytest.mark.parametrize("answer", [(400, "MalformedXML"), (400, "InvalidArgument"), {}])
def test_a_lifecycle_rule_that_the_server_refuses_or_drops(answer: Any) -> None:
    client = FakeS3(put_bucket_lifecycle_configuration=answer)
    with pytest.raises(Unsupported, match=r"^abort_incomplete_multipart_days: the server does not support it: "):
        carried_out(client, abort_incomplete_multipart_days=1, public_access="unmanaged")


def test_a_rule_of_ours_that_was_changed_by_hand_does_not_count() -> None:
    rule = {"ID": "mlops.mlflow/expire-noncurrent-versions", "Status": "Enabled", "NoncurrentVersionExpiration": {"NoncurrentDays": 3}}
    for changed in ({"Status": "Disabled"}, {"Filter": {"Prefix": "x"}}, {"Filter": {"Tag": {"Key": "a", "Value": "b"}}}, {"Prefix": "x"}):
        state = adapter(FakeS3(get_bucket_lifecycle_configuration={"Rules": [{**rule, **changed}]})).read() or {}
        assert state["lifecycle"]["noncurrent_expiration_days"] == 0, changed
    whole = {"Rules": [{**rule, "Filter": {"Prefix": ""}}, {"ID": "theirs"}]}
    state = adapter(FakeS3(get_bucket_lifecycle_configuration=whole)).read() or {}
    assert state["lifecycle"]["noncurrent_expiration_days"] == 3
    assert state["other_lifecycle_rules"] == ["theirs"]


def test_everything_is_deleted_a_page_at_a_time() -> None:
    def versions(KeyMarker: str = "", **params: Any) -> dict[str, Any]:
        entry = {"Key": KeyMarker or "a", "VersionId": "1"}
        more = {"IsTruncated": True, "NextKeyMarker": "b", "NextVersionIdMarker": "1"} if not KeyMarker else {}
        return {"Versions": [entry], "DeleteMarkers": [{**entry, "VersionId": "2"}], **more}

    uploads = {"Uploads": [{"Key": "c", "UploadId": "u"}]}
    client = FakeS3(list_object_versions=versions, list_multipart_uploads=uploads)
    assert carried_out(client, state="absent", force=True).action == "delete"
    assert [operation for operation, _params in client.sent] == ["delete_objects", "delete_objects", "abort_multipart_upload", "delete_bucket"]
    assert [entry["Key"] for entry in client.sent[1][1]["Delete"]["Objects"]] == ["b", "b"]


def test_what_arrives_after_the_reading_is_not_deleted() -> None:
    client = FakeS3(delete_bucket=(409, "BucketNotEmpty"))
    with pytest.raises(Conflict):
        carried_out(client, state="absent")
    assert [operation for operation, _params in client.sent] == ["delete_bucket"]


def test_an_object_that_cannot_be_deleted_is_named() -> None:
    locked = {"Errors": [{"Key": "a", "Code": "AccessDenied", "Message": "locked"}]}
    client = FakeS3(list_object_versions={"Versions": [{"Key": "a", "VersionId": "1"}]}, delete_objects=locked)
    with pytest.raises(ServerError, match=r"^force: 'a' in bucket 'mlflow' cannot be deleted \(AccessDenied: locked\); see whether a lock"):
        carried_out(client, state="absent", force=True)


def test_verify_compares_and_cleans_up(monkeypatch: pytest.MonkeyPatch) -> None:
    client = FakeS3(get_bucket_versioning={"Status": "Suspended"}, get_object=(404, "NoSuchKey"))
    bucket = adapter(client)
    bucket.read()
    monkeypatch.setattr(client, "download", lambda **_params: b"other")
    with pytest.raises(ServerError, match=r"^verify: s3://mlflow/mlflow/\.mlops-mlflow-probe-\w+ was read back with 5 bytes that are not the 65536"):
        bucket.verify()
    assert client.sent[-1][0] == "delete_object"
    assert client.sent[-1][1]["VersionId"] == "null"


ERRORS = [
    (403, "InvalidAccessKeyId", NotPermitted, "the credentials are refused; check access_key and secret_key (InvalidAccessKeyId)"),
    (403, "SignatureDoesNotMatch", NotPermitted, "check access_key and secret_key"),
    (400, "ExpiredToken", NotPermitted, "the session token is refused; get a new one, and give it as session_token (ExpiredToken)"),
    (403, "RequestTimeTooSkewed", NotPermitted, "the clocks differ too much; set the clock of the host where the module runs"),
    (403, "AccessDenied", NotPermitted, "the bucket belongs to another account, or the credentials lack the right to CreateBucket"),
    (400, "AuthorizationHeaderMalformed", ServerError, "region 'us-east-1' is not the right one (400 Authorization"),
    (301, "PermanentRedirect", ServerError, "check region"),
    (409, "BucketAlreadyExists", Conflict, "the bucket belongs to another account (409 BucketAlreadyExists: because); choose another name"),
    (507, "XMinioStorageFull", ServerError, "the server's volume is full (507 XMinioStorageFull: because); enlarge it, or delete what is no longer"),
    (409, "BucketAlreadyOwnedByYou", Conflict, "BucketAlreadyOwnedByYou"),
    (409, "OperationAborted", Conflict, "OperationAborted"),
    (503, "SlowDown", Unreachable, "failed 4 times (503 SlowDown: because); see the server's log"),
    (404, "404", Unreachable, "this is not an S3 API, it answered 404 with text/html; check that endpoint_url is the server's S3 API"),
    (400, "TooManyBuckets", ServerError, "CreateBucket at http://minio:9000 failed (400 TooManyBuckets: because)"),
]


@pytest.mark.parametrize(("status", "code", "kind", "message"), ERRORS)
def test_errors(status: int, code: str, kind: type[ServerError], message: str) -> None:
    with pytest.raises(kind) as caught:
        FakeS3(create_bucket=(status, code)).call("create_bucket", Bucket="mlflow")
    assert message in str(caught.value)


def test_a_web_page_for_an_answer() -> None:
    page = {"ResponseMetadata": {"HTTPHeaders": {"content-type": "text/html; charset=utf-8"}}}
    with pytest.raises(Unreachable, match="not an S3 API, it answered 200 with text/html; check that endpoint_url"):
        FakeS3(get_bucket_location=page).call("get_bucket_location", Bucket="mlflow")


def test_bodies_carry_their_md5() -> None:
    request: dict[str, Any] = {"body": b"x", "headers": {}}
    _add_content_md5(request)
    assert request["headers"] == {"Content-MD5": "ndTkYSaMgDT1yFZOFVxnpg=="}


def test_a_policy_is_sent_as_json() -> None:
    client = FakeS3()
    carried_out(client, policy={"Statement": allow("arn:x")}, public_access="unmanaged")
    assert json.loads(client.sent[-1][1]["Policy"]) == {"Statement": [allow("arn:x")]}


def test_a_bucket_that_has_to_be_there_is_not_made_anew() -> None:
    assert rules.desired_state(options(create=False), {"name": "mlflow", "region": "us-east-1"})
    with pytest.raises(Refused, match="bucket 'mlflow' does not exist, and create is false; restore it from a backup"):
        rules.desired_state(options(create=False), None)
