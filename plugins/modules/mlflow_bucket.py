#!/usr/bin/python
# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Manage the S3 bucket that MLflow keeps its artifacts in."""
from __future__ import annotations

DOCUMENTATION = r"""
---
module: mlflow_bucket
short_description: Manage the S3 bucket that MLflow keeps its artifacts in
version_added: 1.0.0
author: The mlops.mlflow maintainers (@mlops-mlflow)
description:
  - Creates, changes and deletes a bucket, with its versioning, lifecycle rules, policy, tags and encryption, blocks public access,
    and optionally verifies that objects can be written, read and deleted.
  - Works with AWS and with any server that implements the S3 API. If the server does not support what an option asks for, the module
    fails and says so. A setting whose option is not given is left unchanged.
extends_documentation_fragment:
  - mlops.mlflow.s3
  - mlops.mlflow.attributes
  - mlops.mlflow.attributes.action_group
options:
  name:
    description: The bucket's name, of 3 to 63 lower-case letters, digits, dots and hyphens, as S3 requires.
    type: str
    required: true
  create:
    description:
      - Whether a missing bucket may be created. With V(false), a missing bucket is an error, raised before anything is changed. Use this
        when the bucket existed before, and an empty one in its place would hide that its contents are lost.
    type: bool
    default: true
  state:
    description:
      - With V(present), the bucket exists as described.
      - With V(absent), it does not exist. Deleting a bucket that is not empty needs O(force).
    type: str
    choices: [present, absent]
    default: present
  force:
    description:
      - Whether O(state=absent) deletes a bucket with the objects, old versions and unfinished multipart uploads that it holds.
      - This cannot be undone.
    type: bool
    default: false
  versioning:
    description:
      - Whether overwritten and deleted objects are kept as old versions.
      - Once enabled, versioning can only be suspended, which V(false) does. Existing versions are kept.
    type: bool
  abort_incomplete_multipart_days:
    description:
      - After how many days an unfinished multipart upload is deleted. V(0) removes the rule.
      - This is a lifecycle rule with the ID C(mlops.mlflow/abort-incomplete-multipart). Rules with other IDs are kept.
      - MinIO does this itself after one day, and does not support such a rule.
    type: int
  noncurrent_expiration_days:
    description:
      - After how many days an old version is deleted. V(0) removes the rule.
      - This is a lifecycle rule with the ID C(mlops.mlflow/expire-noncurrent-versions). Rules with other IDs are kept.
    type: int
  policy:
    description:
      - The bucket's policy. V({}) removes it.
      - Policies are compared by meaning. The order of statements and lists does not matter, nor whether a single value is in a list.
    type: dict
  tags:
    description:
      - Tags to set. A null value removes the tag. Tags that are not listed are kept, unless O(purge_tags) is true.
      - Values are stored as strings, booleans as V(true) and V(false).
    type: dict
  purge_tags:
    description: Whether to remove tags that O(tags) does not list. AWS's own tags, which start with C(aws:), are kept.
    type: bool
    default: false
  encryption:
    description:
      - The default encryption of new objects. V(none) sets no default. AWS then encrypts with V(AES256), so the two mean the same there.
      - Before it is set, a test object is written with it and deleted, because a server without a key may accept the setting and then
        refuse every object.
    type: str
    choices: [none, AES256, "aws:kms"]
  kms_key_id:
    description: The key for O(encryption=aws:kms). If not given, the server uses its default key.
    type: str
  public_access:
    description:
      - With V(refused), public access is blocked. O(policy) must not grant access to everyone, and if the server supports public access
        blocks, as AWS does, all four of them are set.
      - If it does not, grants to everyone are removed from the bucket's ACL. An existing policy that grants access to everyone is an error
        unless O(policy) replaces it.
      - With V(unmanaged), none of this is checked.
    type: str
    choices: [refused, unmanaged]
    default: refused
  prefix:
    description: The prefix in the bucket under which MLflow keeps its artifacts, and test objects are written.
    type: str
    default: mlflow/
  verify:
    description:
      - Whether to write a test object of 64 KiB under O(prefix), read it back, compare it, and delete it with all its versions.
      - This is done at the end of each run, whether anything changed or not, except in check mode.
    type: bool
    default: false
seealso:
  - name: The S3 API
    description: What each setting means to AWS.
    link: https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations_Amazon_Simple_Storage_Service.html
"""

EXAMPLES = r"""
- name: Create a bucket for MLflow, and verify that it works
  mlops.mlflow.mlflow_bucket:
    endpoint_url: https://minio.example.com:9000
    ca_path: /etc/ssl/certs/example-ca.pem
    access_key: mlflow
    secret_key: "{{ mlflow_s3_secret_key }}"
    name: mlflow-artifacts
    versioning: true
    noncurrent_expiration_days: 30
    tags:
      team: ml-platform
    verify: true

- name: Create an encrypted bucket on AWS for one role
  mlops.mlflow.mlflow_bucket:
    region: eu-west-1
    name: akko-warehouse
    abort_incomplete_multipart_days: 7
    encryption: aws:kms
    kms_key_id: arn:aws:kms:eu-west-1:123456789012:key/0f3a9c1e-5b1d-4f6e-9a53-2f1f0d6c7a11
    policy:
      Version: "2012-10-17"
      Statement:
        - Sid: MLflow
          Effect: Allow
          Principal:
            AWS: arn:aws:iam::123456789012:role/mlflow
          Action: ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"]
          Resource: arn:aws:s3:::akko-warehouse/mlflow/*

- name: Delete a bucket with all its objects
  mlops.mlflow.mlflow_bucket:
    endpoint_url: http://127.0.0.1:8333
    name: mlflow-artifacts
    state: absent
    force: true
"""

RETURN = r"""
bucket:
  description:
    - The bucket as it is now, or, in check mode, as it would be. Empty if it does not exist.
    - A setting whose option was not given is left out if the credentials may not read it.
  returned: success
  type: dict
  contains:
    name:
      description: The bucket's name.
      type: str
      sample: mlflow-artifacts
    region:
      description: The region that the server reports; if it reports none, O(region).
      type: str
      sample: us-east-1
    versioning:
      description: V(Disabled) if it was never enabled, else V(Enabled) or V(Suspended).
      type: str
      sample: Enabled
    lifecycle:
      description: The days of the rules that this module manages; 0 if there is no such rule.
      type: dict
      sample: {abort_incomplete_multipart_days: 7, noncurrent_expiration_days: 30}
    other_lifecycle_rules:
      description: The IDs of all other rules.
      type: list
      elements: str
      sample: [archive-reports]
    policy:
      description: The bucket's policy in the normalized form used for comparison; empty if there is none.
      type: dict
      sample: {Version: "2012-10-17", Statement: [{Effect: Allow, Principal: {AWS: "arn:aws:iam::123456789012:role/mlflow"}, Action: "s3:*"}]}
    tags:
      description: All tags of the bucket.
      type: dict
      sample: {team: ml-platform}
    encryption:
      description: V(none) or the algorithm of the default encryption.
      type: str
      sample: AES256
    kms_key_id:
      description: The key of the default encryption, if one is set.
      type: str
      sample: arn:aws:kms:eu-west-1:123456789012:key/0f3a9c1e-5b1d-4f6e-9a53-2f1f0d6c7a11
    public_access:
      description: V(refused) or V(allowed). Left out with O(public_access=unmanaged).
      type: str
      sample: refused
    public_access_block:
      description: Whether all four public access blocks are set. Left out if the server does not support them.
      type: bool
      sample: true
verification:
  description: How long it took to write, read and delete the test object, in milliseconds.
  returned: when O(verify) is true, O(state=present), and not in check mode
  type: dict
  contains:
    put_ms:
      description: The time to write it.
      type: float
      sample: 6.2
    get_ms:
      description: The time to read it.
      type: float
      sample: 2.9
    delete_ms:
      description: The time to delete it.
      type: float
      sample: 3.4
empty:
  description: Whether O(prefix) is empty.
  returned: when O(verify) is true, O(state=present), and not in check mode
  type: bool
  sample: false
actions:
  description: What was done, or in check mode would be done, one line per action.
  returned: success
  type: list
  elements: str
  sample: [update bucket mlflow-artifacts lifecycle.noncurrent_expiration_days]
"""

from functools import partial

from ansible_collections.mlops.mlflow.plugins.module_utils import _module
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.kind import Step
from ansible_collections.mlops.mlflow.plugins.module_utils._s3 import connection
from ansible_collections.mlops.mlflow.plugins.module_utils._s3.bucket import rules
from ansible_collections.mlops.mlflow.plugins.module_utils._s3.bucket.adapter import Bucket


def main() -> None:
    """Run the module."""
    module = _module.Module(
        argument_spec=connection.argument_spec(
            name={"type": "str", "required": True},
            state={"type": "str", "choices": ["present", "absent"], "default": "present"},
            create={"type": "bool", "default": True},
            force={"type": "bool", "default": False},
            versioning={"type": "bool"},
            abort_incomplete_multipart_days={"type": "int"},
            noncurrent_expiration_days={"type": "int"},
            policy={"type": "dict"},
            tags={"type": "dict"},
            purge_tags={"type": "bool", "default": False},
            encryption={"type": "str", "choices": ["none", "AES256", "aws:kms"]},
            kms_key_id={"type": "str", "no_log": False},
            public_access={"type": "str", "choices": ["refused", "unmanaged"], "default": "refused"},
            prefix={"type": "str", "default": "mlflow/"},
            verify={"type": "bool", "default": False},
        ),
        supports_check_mode=True,
    )
    params = module.params
    with _module.errors_as_failures(module):
        rules.check_options(params)
        removal = params["state"] == "absent"
        bucket = Bucket(connection.client(params), params["name"], rules.asked(params), prefix=params["prefix"], removal=removal)
        result, (state,) = _module.reconcile(module, [Step("bucket", params["name"], bucket, partial(rules.desired_state, params))])
        if params["verify"] and state and not module.check_mode:
            result["verification"] = bucket.verify()
            result["empty"] = bucket.is_empty()
        module.exit_json(bucket=state, **result)


if __name__ == "__main__":
    main()
