# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""The desired state of a bucket: options in, state out. No I/O."""
from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.mlops.mlflow.plugins.module_utils._options import GONE, InvalidOption, Refused, check, check_number, refuse_empty
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.plan import ABSENT, State, purged
from ansible_collections.mlops.mlflow.plugins.module_utils._s3.bucket.policy import canonical_policy, public_statements, statements

#: The options that make up the setting ``lifecycle``, one rule each.
LIFECYCLE_OPTIONS = ("abort_incomplete_multipart_days", "noncurrent_expiration_days")
#: Tags with this prefix are AWS's own; they are never purged, and nobody else may set them.
SYSTEM_TAG_PREFIX = "aws:"

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
_RESERVED_PREFIXES = ("xn--", "sthree-", "amzn-s3-demo-")
_RESERVED_SUFFIXES = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/CostAllocTagging.html
_MAX_TAGS = 50
_MAX_TAG_KEY = 128
_MAX_TAG_VALUE = 256
#: Besides letters, digits and spaces (https://docs.aws.amazon.com/AmazonS3/latest/API/API_control_S3Tag.html).
_TAG_CHARACTERS = "_.:/=+-@"
#: The longest object key in bytes of UTF-8, minus the name of a test object after the prefix.
#: https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
_MAX_PREFIX = 1024 - 64


def check_options(params: Mapping[str, Any]) -> None:
    """Raise InvalidOption for a value that no S3 server accepts, or that would grant access to everyone.

    >>> check_options({"name": "My_Bucket"})
    Traceback (most recent call last):
    ...
    ansible_collections...: name: 'My_Bucket' has a character other than a-z, 0-9, '.' and '-'; ...
    """
    check({option: {} for option in ("prefix", "policy", "tags", "kms_key_id")}, params)
    _check_name(params["name"])
    if len((params.get("prefix") or "").encode()) > _MAX_PREFIX:
        raise InvalidOption("prefix", params["prefix"][:20] + "…", "is too long", f"give at most {_MAX_PREFIX} bytes")
    for option in LIFECYCLE_OPTIONS:
        if (params.get(option) or 0) < 0:
            raise InvalidOption(option, params[option], "is negative", "give a number of days, or 0 for no rule")
        check_number(option, params.get(option), 0, 2**31 - 1)
    refuse_empty(params, ["kms_key_id"])
    if params.get("kms_key_id") and params.get("encryption") != "aws:kms":
        raise InvalidOption("kms_key_id", params["kms_key_id"], "is given, but not used", "set encryption: aws:kms, or leave kms_key_id out")
    if params.get("policy"):
        _check_policy(params["policy"], params["public_access"])
    _check_tags(params.get("tags") or {})


def asked(params: Mapping[str, Any]) -> frozenset[str]:
    """Return the settings that ``params`` manage; the others are left unchanged.

    >>> sorted(asked({"versioning": False, "noncurrent_expiration_days": 3, "tags": None, "public_access": "refused"}))
    ['lifecycle', 'public_access', 'versioning']
    """
    settings = {setting for setting in ("versioning", "policy", "tags", "encryption", "kms_key_id") if params.get(setting) is not None}
    if any(params.get(option) is not None for option in LIFECYCLE_OPTIONS):
        settings.add("lifecycle")
    if params.get("public_access") == "refused":
        settings.add("public_access")
    return frozenset(settings)


def desired_state(params: Mapping[str, Any], current: State | None) -> State | None:
    """Return the desired state for ``params``, given the current one.

    Raises Refused if that would delete objects without ``force``, or leave public a bucket that should not be, and
    InvalidOption if the bucket is in another region.

    >>> params = {"name": "mlflow", "state": "present", "region": "us-east-1", "versioning": True, "public_access": "unmanaged"}
    >>> desired_state(params, None)
    {'name': 'mlflow', 'region': 'us-east-1', 'versioning': 'Enabled'}
    >>> desired_state({**params, "state": "absent"}, {"name": "mlflow", "contents": {"uploads": "a/b"}})
    Traceback (most recent call last):
    ...
    ansible_collections...Refused: bucket 'mlflow' contains uploads (such as 'a/b'), which cannot be restored; set force: true ...
    """
    if params["state"] == "absent":
        _check_emptiness(params, (current or {}).get("contents", {}))
        return None
    desired: State = {"name": params["name"]}
    if current is None and not params.get("create", True):
        raise Refused(f"bucket {params['name']!r} does not exist, and create is false; {GONE}")
    if current is None:
        desired["region"] = params["region"]
    else:
        _check_region(params, current["region"])
    have = current or {}
    settings = asked(params)
    if "public_access" in settings:
        _check_openness(params, have)
        desired["public_access"] = "refused"
    if "versioning" in settings:
        desired["versioning"] = _versioning(params["versioning"], have.get("versioning", "Disabled"))
    if "lifecycle" in settings:
        desired["lifecycle"] = {} if current else {option: 0 for option in LIFECYCLE_OPTIONS}
        desired["lifecycle"].update({option: params[option] for option in LIFECYCLE_OPTIONS if params.get(option) is not None})
    if "encryption" in settings:
        desired.update(_encryption(params, bool(current)))
    if "policy" in settings:
        desired["policy"] = purged(have.get("policy", {}), canonical_policy(params["policy"]))
    if "tags" in settings:
        wanted = {key: ABSENT if value is None else _text(value) for key, value in params["tags"].items()}
        desired["tags"] = purged(have.get("tags", {}), wanted, _is_system_tag) if params.get("purge_tags") else wanted
    return desired


def is_aws(endpoint_url: str | None) -> bool:
    """Whether requests go to AWS, which has rules that other servers do not have.

    >>> is_aws(None), is_aws("https://s3.eu-west-1.amazonaws.com"), is_aws("http://minio:9000")
    (True, True, False)
    """
    if not endpoint_url:
        return True
    host = urlsplit(endpoint_url).hostname or ""
    return host.endswith((".amazonaws.com", ".amazonaws.com.cn"))


def _check_name(name: str) -> None:
    """Raise InvalidOption for a name that violates a rule of S3, naming the rule.

    >>> for name in ("ab", "-ab", "a..b", "192.0.2.1", "xn--a", "logs--ol-s3"):
    ...     try:
    ...         _check_name(name)
    ...     except InvalidOption as error:
    ...         print(error)
    name: 'ab' has 2 characters; use 3 to 63
    name: '-ab' does not begin and end with a letter or a digit; use one at both ends
    name: 'a..b' has two dots in a row; use one
    name: '192.0.2.1' looks like an IP address; use a name
    name: 'xn--a' begins with 'xn--', which S3 reserves; use another prefix
    name: 'logs--ol-s3' ends with '--ol-s3', which S3 reserves; use another suffix
    """
    if re.search(r"[^a-z0-9.-]", name):
        raise InvalidOption("name", name, "has a character other than a-z, 0-9, '.' and '-'", "use only these")
    if not 3 <= len(name) <= 63:
        raise InvalidOption("name", name, f"has {len(name)} characters", "use 3 to 63")
    if not re.fullmatch(r"[a-z0-9].*[a-z0-9]", name):
        raise InvalidOption("name", name, "does not begin and end with a letter or a digit", "use one at both ends")
    if ".." in name:
        raise InvalidOption("name", name, "has two dots in a row", "use one")
    if re.fullmatch(r"\d+\.\d+\.\d+\.\d+", name):
        raise InvalidOption("name", name, "looks like an IP address", "use a name")
    for prefix in _RESERVED_PREFIXES:
        if name.startswith(prefix):
            raise InvalidOption("name", name, f"begins with {prefix!r}, which S3 reserves", "use another prefix")
    for suffix in _RESERVED_SUFFIXES:
        if name.endswith(suffix):
            raise InvalidOption("name", name, f"ends with {suffix!r}, which S3 reserves", "use another suffix")


def _check_policy(policy: Mapping[str, Any], public_access: str) -> None:
    entries = statements(policy)
    if not entries or not all(isinstance(entry, dict) and entry.get("Effect") in ("Allow", "Deny") for entry in entries):
        raise InvalidOption("policy", sorted(policy), "has no statements with an Effect of Allow or Deny", "give {} to remove the bucket's policy")
    for entry in entries:
        condition = entry.get("Condition") or {}
        if not isinstance(condition, dict) or not all(isinstance(tests, dict) for tests in condition.values()):
            raise InvalidOption("policy", condition, "is not a Condition", "give {operator: {key: value}}")
    public = public_statements(policy) if public_access == "refused" else []
    if public:
        raise InvalidOption(
            "policy",
            public[0],
            "is a statement that grants access to everyone",
            "restrict it with Principal or with a Condition on the source, or set public_access: unmanaged",
        )


def _check_tags(tags: Mapping[str, Any]) -> None:
    if len(tags) > _MAX_TAGS:
        raise InvalidOption("tags", f"{len(tags)} tags", "are too many", f"S3 stores at most {_MAX_TAGS} on a bucket")
    for key, value in tags.items():
        if not 1 <= len(key) <= _MAX_TAG_KEY:
            raise InvalidOption("tags", key[:20], f"is a key of {len(key)} characters", f"use 1 to {_MAX_TAG_KEY}")
        _check_tag_text(key, key, "is a key")
        if _is_system_tag(key):
            raise InvalidOption("tags", key, f"begins with {SYSTEM_TAG_PREFIX!r}, which AWS reserves", "use another key")
        if isinstance(value, (dict, list)):
            raise InvalidOption("tags", key, "has a value that is a list or a dictionary", "give a string")
        if value is not None and len(_text(value)) > _MAX_TAG_VALUE:
            raise InvalidOption("tags", key, f"has a value of {len(_text(value))} characters", f"S3 stores at most {_MAX_TAG_VALUE}")
        if value is not None:
            _check_tag_text(key, _text(value), "has a value")


def _check_tag_text(key: str, text: str, what: str) -> None:
    """Raise InvalidOption for a character that S3 does not allow in tags.

    >>> _check_tag_text("owner", "имя 1+/@", "has a value")
    >>> _check_tag_text("owner", "a*", "has a value")
    Traceback (most recent call last):
    ...
    ansible_collections...InvalidOption: tags: 'owner' has a value with '*'; use letters, digits, spaces, and _ . : / = + - @
    """
    for character in text:
        if character not in _TAG_CHARACTERS and unicodedata.category(character)[0] not in "LNZ":
            raise InvalidOption("tags", key, f"{what} with {character!r}", f"use letters, digits, spaces, and {' '.join(_TAG_CHARACTERS)}")


def _check_emptiness(params: Mapping[str, Any], contents: Mapping[str, str]) -> None:
    if contents and not params.get("force"):
        kinds = " and ".join(f"{kind} (such as {key!r})" for kind, key in sorted(contents.items()))
        raise Refused(
            f"bucket {params['name']!r} contains {kinds}, which cannot be restored; set force: true to delete it with all its contents"
        )


def _check_region(params: Mapping[str, Any], region: str) -> None:
    if is_aws(params.get("endpoint_url")) and region != params["region"]:
        raise InvalidOption(
            "region", params["region"], f"is not the region of bucket {params['name']!r}, and a bucket cannot be moved", f"give region: {region}"
        )


def _check_openness(params: Mapping[str, Any], current: State) -> None:
    """Raise Refused for a public policy that nothing overrides and that is not declared: it is not ours to delete."""
    public: list[str] = public_statements(current.get("policy", {}))
    if public and params.get("policy") is None and "public_access_block" not in current:
        raise Refused(
            f"bucket {params['name']!r} has a policy that grants access to everyone (statement {public[0]!r}), and this server has no public access "
            "block to override it; declare the bucket's policy, policy: {} for none, or set public_access: unmanaged"
        )


def _versioning(wanted: bool, current: str) -> str:
    """Once enabled, versioning can only be suspended.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketVersioning.html

    >>> _versioning(False, "Disabled"), _versioning(False, "Enabled"), _versioning(False, "Suspended"), _versioning(True, "Suspended")
    ('Disabled', 'Suspended', 'Suspended', 'Enabled')
    """
    if wanted:
        return "Enabled"
    return "Suspended" if current == "Enabled" else current


def _encryption(params: Mapping[str, Any], exists: bool) -> dict[str, Any]:
    """The two keys of the state. AWS encrypts with AES256 where nothing else is set, so 'none' means that there.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/default-encryption-faq.html
    """
    algorithm = params["encryption"]
    if algorithm == "none" and is_aws(params.get("endpoint_url")):
        algorithm = "AES256"
    if algorithm == "aws:kms":
        return {"encryption": algorithm, "kms_key_id": params["kms_key_id"]} if params.get("kms_key_id") else {"encryption": algorithm}
    return {"encryption": algorithm, "kms_key_id": ABSENT} if exists else {"encryption": algorithm}


def _is_system_tag(key: str) -> bool:
    return key.startswith(SYSTEM_TAG_PREFIX)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
