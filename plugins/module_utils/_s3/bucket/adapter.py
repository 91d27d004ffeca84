# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""Buckets by the S3 API (https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations_Amazon_Simple_Storage_Service.html).

A server other than AWS may not support a setting. It then reads as unset, and only setting it is an error.
"""
from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Callable

from ansible_collections.mlops.mlflow.plugins.module_utils._errors import ApiError, Conflict, NotPermitted, ServerError, Unreachable, Unsupported
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.plan import ABSENT, Change, Plan, State
from ansible_collections.mlops.mlflow.plugins.module_utils._s3.bucket.contents import Contents
from ansible_collections.mlops.mlflow.plugins.module_utils._s3.bucket.policy import canonical_policy, public_statements
from ansible_collections.mlops.mlflow.plugins.module_utils._s3.client import Answer, S3Client

#: Our lifecycle rules, by option: the rule's ID, its action, and the key for the number of days.
_RULES = {
    "abort_incomplete_multipart_days": ("mlops.mlflow/abort-incomplete-multipart", "AbortIncompleteMultipartUpload", "DaysAfterInitiation"),
    "noncurrent_expiration_days": ("mlops.mlflow/expire-noncurrent-versions", "NoncurrentVersionExpiration", "NoncurrentDays"),
}
_OUR_RULES = frozenset(rule for rule, _action, _days in _RULES.values())
#: How each setting is read, and the error codes that mean that it is not set.
_READS: dict[str, tuple[str, frozenset[str]]] = {
    "versioning": ("get_bucket_versioning", frozenset()),
    "lifecycle": ("get_bucket_lifecycle_configuration", frozenset({"NoSuchLifecycleConfiguration"})),
    "policy": ("get_bucket_policy", frozenset({"NoSuchBucketPolicy"})),
    "tags": ("get_bucket_tagging", frozenset({"NoSuchTagSet", "NoSuchTagSetError"})),
    "encryption": ("get_bucket_encryption", frozenset({"ServerSideEncryptionConfigurationNotFoundError"})),
}
_BLOCK = {"BlockPublicAcls": True, "IgnorePublicAcls": True, "BlockPublicPolicy": True, "RestrictPublicBuckets": True}
#: The grantees for everyone, and for everyone with an AWS account. https://docs.aws.amazon.com/AmazonS3/latest/userguide/acl-overview.html
_PUBLIC_GROUPS = tuple(f"http://acs.amazonaws.com/groups/global/{group}" for group in ("AllUsers", "AuthenticatedUsers"))
_MISSING = frozenset({"NoSuchBucket"})
#: The request is well-formed, so the server does not know a part of it.
_UNKNOWN_PART = frozenset({"MalformedXML"})
#: Operations whose values are checked before, so that an argument that is refused is one that the server does not know: MinIO's code for
#: AbortIncompleteMultipartUpload.
_CHECKED = frozenset({"put_bucket_lifecycle_configuration"})
#: The settings of a new bucket.
_OFF = (0, "none", "Disabled")
#: The keys of the state for a setting, if different from its name.
_KEYS = {"encryption": ("encryption", "kms_key_id")}


class Bucket:
    """One bucket. ``asked`` names the settings that the caller manages; ``prefix`` is where test objects are written.

    With ``removal``, its contents are read instead of its settings.
    """

    immutable: frozenset[str] = frozenset()

    def __init__(self, client: S3Client, name: str, asked: frozenset[str], *, prefix: str = "", removal: bool = False) -> None:
        self._client = client
        self._name = name
        self._asked = asked
        self._contents = Contents(client, name, prefix)
        self._removal = removal
        self._unsupported: dict[str, ServerError] = {}
        self._versioning = "Disabled"
        self._acl: Answer = {}
        always = {"region", "other_lifecycle_rules", "public_access_block", "contents"}
        self.read_only = frozenset(always | ({*_READS, "kms_key_id", "public_access"} - asked))

    def read(self) -> State | None:
        """The bucket's name, region and settings, or None where there is none.

        Settings that are not managed are left out if the credentials may not read them.
        """
        location = self._client.call_or_none("get_bucket_location", _MISSING, Bucket=self._name)
        if location is None:
            return None
        state: State = {"name": self._name, "region": self._region(location)}
        if self._removal:
            return {**state, "contents": self._contents.samples()}
        outcomes = self._attempt(_READS)
        for setting, outcome in outcomes.items():
            if isinstance(outcome, ServerError) and setting not in self._unsupported:
                if setting in self._asked or isinstance(outcome, Unreachable):
                    raise outcome
                continue
            answer = {} if outcome is None or isinstance(outcome, ServerError) else outcome
            state.update(self._policy(answer) if setting == "policy" else _PARSERS[setting](answer))
        self._versioning = state.get("versioning", "Disabled")
        if "public_access" in self._asked:
            state.update(self._public_access(outcomes["policy"], state))
        return state

    def check(self, plan: Plan) -> None:
        """Raise Unsupported if the server is known not to support a setting that the plan changes."""
        changed = [change for change in plan.changes if change.path[0] in _READS and change.after not in _OFF]
        if plan.action == "create" and changed:
            # A server without a setting reports that before it looks for the bucket; one that has it reports NoSuchBucket.
            self._attempt({change.path[0] for change in changed})
        for change in changed:
            if change.path[0] in self._unsupported:
                option = change.path[1] if change.path[0] == "lifecycle" else change.path[0]
                raise _not_offered(option, self._unsupported[change.path[0]])

    def apply(self, plan: Plan) -> None:
        """Create, change or delete the bucket. Blocking public access comes first."""
        if plan.action == "delete":
            # Objects written since the bucket was read were not checked: the server then reports BucketNotEmpty.
            if (plan.before or {}).get("contents"):
                self._contents.delete()
            self._client.call_or_none("delete_bucket", _MISSING, Bucket=self._name)
            return
        if plan.action == "create":
            self._create(plan.after or {})
        if plan.change_of("public_access"):
            self._refuse_public_access()
        for setting, write in (
            ("encryption", self._put_encryption),
            ("versioning", self._put_versioning),
            ("lifecycle", self._put_lifecycle),
            ("policy", self._put_policy),
            ("tags", self._put_tags),
        ):
            if any(not _stays_off(change) for key in _KEYS.get(setting, (setting,)) for change in plan.changes_under(key)):
                write(plan.after or {})

    def verify(self) -> dict[str, float]:
        """Write, read and delete an object, and return how long each took, in milliseconds. Leaves nothing behind, not even versions."""
        return self._contents.verify(versioned=self._versioning != "Disabled")

    def is_empty(self) -> bool:
        """Whether the prefix is empty."""
        return self._contents.is_empty()

    # Reading

    def _region(self, location: Answer) -> str:
        """AWS gives null for us-east-1, and an old name for eu-west-1; other servers give null for any."""
        here: str | None = location.get("LocationConstraint")
        if here == "EU":
            return "eu-west-1"
        settings = self._client.connection
        return here or ("us-east-1" if settings.is_aws else settings.region)

    def _attempt(self, settings: Iterable[str]) -> dict[str, Answer | ServerError | None]:
        """Read each of ``settings``, and note those that the server does not support."""
        outcomes = {setting: self._client.attempt(*_READS[setting], Bucket=self._name) for setting in settings}
        self._unsupported = {setting: outcome for setting, outcome in outcomes.items() if isinstance(outcome, Unsupported)}
        return outcomes

    def _policy(self, answer: Answer) -> State:
        return {"policy": canonical_policy(json.loads(answer.get("Policy", "").strip() or "{}"))}

    def _public_access(self, policy: Answer | ServerError | None, state: State) -> State:
        """Whether public access is blocked: by the public access block or, if there is none, by ACL and policy."""
        block = self._client.attempt("get_public_access_block", {"NoSuchPublicAccessBlockConfiguration"}, Bucket=self._name)
        if block is None:
            return {"public_access": "allowed", "public_access_block": False}
        # A server that ignores the subresource returns 200 with something else: MinIO a listing, which botocore reads as an empty block.
        if isinstance(block, dict) and block.get("PublicAccessBlockConfiguration"):
            closed = all(block["PublicAccessBlockConfiguration"].get(key) for key in _BLOCK)
            return {"public_access": "refused" if closed else "allowed", "public_access_block": closed}
        if isinstance(block, ServerError) and not isinstance(block, Unsupported):
            raise _while_closing(block)
        if isinstance(policy, ServerError) and not isinstance(policy, Unsupported):
            raise _while_closing(policy)
        try:
            self._acl = self._client.call("get_bucket_acl", Bucket=self._name)
        except Unsupported:
            self._acl = {}
        except ServerError as error:
            raise _while_closing(error) from None
        open_to_all = bool(public_statements(state["policy"])) or any(map(_is_public, self._acl.get("Grants", [])))
        return {"public_access": "allowed" if open_to_all else "refused"}

    # Writing

    def _create(self, state: State) -> None:
        # us-east-1 has no name as a location (API_CreateBucket).
        where = {} if state["region"] == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": state["region"]}}
        self._client.call("create_bucket", Bucket=self._name, **where)

    def _put(self, option: str, operation: str, **params: Any) -> None:
        """Write, and name the option in errors."""
        try:
            self._client.call(operation, Bucket=self._name, **params)
        except Unsupported as error:
            raise _not_offered(option, error) from None
        except ApiError as error:
            if error.code in _MISSING:
                raise Conflict(f"bucket {self._name!r} no longer exists") from None
            if error.code in _UNKNOWN_PART or (error.code == "InvalidArgument" and operation in _CHECKED):
                raise _not_offered(option, error) from None
            raise ApiError(f"{option}: {error}; check its value", error.status, error.code) from None

    def _refuse_public_access(self) -> None:
        try:
            self._client.call("put_public_access_block", Bucket=self._name, PublicAccessBlockConfiguration=_BLOCK)
            return
        except Unsupported:
            pass
        except ApiError as error:
            if error.code != "MalformedXML":  # MinIO's code for an unknown setting
                raise
        grants = [grant for grant in self._acl.get("Grants", []) if not _is_public(grant)]
        if len(grants) < len(self._acl.get("Grants", [])):
            self._put("public_access", "put_bucket_acl", AccessControlPolicy={"Owner": self._acl["Owner"], "Grants": grants})

    def _put_encryption(self, state: State) -> None:
        """Set the default encryption, after writing a test object with it; raise Unsupported if that fails.

        A server without a key may accept the setting, and then refuse every object (seen with SeaweedFS 4.48, status 500).
        """
        algorithm, key = state["encryption"], state.get("kms_key_id")
        if algorithm == "none":
            self._put("encryption", "delete_bucket_encryption")
            return
        try:
            self._contents.try_write(ServerSideEncryption=algorithm, **({"SSEKMSKeyId": key} if key else {}))
        except NotPermitted:
            pass
        except (ApiError, Unsupported, Unreachable) as error:
            raise _not_offered("encryption", error) from None
        default = {"SSEAlgorithm": algorithm, **({"KMSMasterKeyID": key} if key else {})}
        rules = {"Rules": [{"ApplyServerSideEncryptionByDefault": default}]}
        self._put("encryption", "put_bucket_encryption", ServerSideEncryptionConfiguration=rules)

    def _put_versioning(self, state: State) -> None:
        self._put("versioning", "put_bucket_versioning", VersioningConfiguration={"Status": state["versioning"]})

    def _put_policy(self, state: State) -> None:
        if state["policy"]:
            self._put("policy", "put_bucket_policy", Policy=json.dumps(state["policy"]))
        else:
            self._put("policy", "delete_bucket_policy")

    def _put_tags(self, state: State) -> None:
        tags = [{"Key": key, "Value": value} for key, value in state["tags"].items()]
        if tags:
            self._put("tags", "put_bucket_tagging", Tagging={"TagSet": tags})
        else:
            self._put("tags", "delete_bucket_tagging")

    def _put_lifecycle(self, state: State) -> None:
        """Write our rules next to other ones, read again beforehand, and check that they are stored."""
        days = state["lifecycle"]
        option = " and ".join(name for name in _RULES if days.get(name)) or "lifecycle"
        read, unset = _READS["lifecycle"]
        current = self._client.call_or_none(read, unset, Bucket=self._name) or {}
        rules = [rule for rule in current.get("Rules", []) if rule.get("ID") not in _OUR_RULES]
        for name, (rule, action, unit) in _RULES.items():
            if days.get(name):
                rules.append({"ID": rule, "Status": "Enabled", "Filter": {"Prefix": ""}, action: {unit: days[name]}})
        if not rules:
            self._put(option, "delete_bucket_lifecycle")
            return
        minimum = {key: current[key] for key in ("TransitionDefaultMinimumObjectSize",) if key in current}
        self._put(option, "put_bucket_lifecycle_configuration", LifecycleConfiguration={"Rules": rules}, **minimum)
        if self._client.connection.is_aws:  # which stores every rule, but may take a while to show it
            return
        kept = _lifecycle(self._client.call_or_none(read, unset, Bucket=self._name) or {})["lifecycle"]
        for name, number in days.items():
            if kept[name] != number:
                # MinIO does so with AbortIncompleteMultipartUpload (minio#19115).
                raise _not_offered(name, ServerError(f"{self._client.connection.endpoint_url} accepted the rule but did not store it"))


def _stays_off(change: Change) -> bool:
    """Whether this is the state of a new bucket, or of any on a server without the setting."""
    return change.before is ABSENT and change.after in _OFF


def _not_offered(option: str, error: ServerError) -> Unsupported:
    return Unsupported(f"{option}: the server does not support it: {error}; leave {option} out, or use a server that has it")


def _while_closing(error: ServerError) -> ServerError:
    kind = NotPermitted if isinstance(error, NotPermitted) else ServerError
    return kind(f"public_access: cannot tell whether the bucket is open: {error}; allow it, or set public_access: unmanaged")


def _is_public(grant: Mapping[str, Any]) -> bool:
    return grant.get("Grantee", {}).get("URI") in _PUBLIC_GROUPS


# Answers into state


def _lifecycle(answer: Answer) -> State:
    rules = answer.get("Rules", [])
    ours = {rule["ID"]: rule for rule in rules if rule.get("ID") in _OUR_RULES}
    days = {name: _days(ours.get(rule, {}), action, unit) for name, (rule, action, unit) in _RULES.items()}
    return {"lifecycle": days, "other_lifecycle_rules": sorted(str(rule.get("ID", "")) for rule in rules if rule.get("ID") not in _OUR_RULES)}


def _days(rule: Answer, action: str, unit: str) -> int:
    """Return the days of one of our rules; 0 if it does not exist, or was changed not to apply to the whole bucket."""
    filters = rule.get("Filter") or {}
    whole = not rule.get("Prefix") and not filters.get("Prefix") and set(filters) <= {"Prefix"}
    return int(rule.get(action, {}).get(unit, 0)) if rule.get("Status") == "Enabled" and whole else 0


def _encryption(answer: Answer) -> State:
    rules = answer.get("ServerSideEncryptionConfiguration", {}).get("Rules") or [{}]
    default = rules[0].get("ApplyServerSideEncryptionByDefault", {})
    state: State = {"encryption": default.get("SSEAlgorithm", "none")}
    if default.get("KMSMasterKeyID"):
        state["kms_key_id"] = default["KMSMasterKeyID"]
    return state


_PARSERS: dict[str, Callable[[Answer], State]] = {
    "versioning": lambda answer: {"versioning": answer.get("Status") or "Disabled"},
    "lifecycle": _lifecycle,
    "tags": lambda answer: {"tags": {tag["Key"]: tag.get("Value", "") for tag in answer.get("TagSet", [])}},
    "encryption": _encryption,
}
