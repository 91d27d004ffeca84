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
  - Creates, changes and deletes a bucket, with its versioning, lifecycle rules, policy, tags and encryption, closes it to the public,
    and proves on request that objects can be written, read and deleted.
  - It works with AWS and with any server that speaks the S3 API. Where the server does not offer what an option asks for, the module
    fails and says so. A setting whose option is left out stays as it is.
extends_documentation_fragment:
  - mlops.mlflow.s3
  - mlops.mlflow.attributes
  - mlops.mlflow.attributes.action_group
options:
  name:
    description: The bucket's name, by the rules of S3. It is 3 to 63 characters of V(a) to V(z), V(0) to V(9), dots and hyphens.
    type: str
    required: true
  state:
    description:
      - With V(present), the bucket exists as described.
      - With V(absent), it does not. A bucket that holds anything needs O(force).
    type: str
    choices: [present, absent]
    default: present
  force:
    description:
      - Whether O(state=absent) deletes a bucket that holds objects, old versions or unfinished multipart uploads, and these with it.
      - Nothing brings them back.
    type: bool
    default: false
  versioning:
    description:
      - Whether overwritten and deleted objects are kept as old versions.
      - S3 has no way back to a bucket that was never versioned. V(false) suspends versioning, and versions that are there stay.
    type: bool
  abort_incomplete_multipart_days:
    description:
      - After how many days an unfinished multipart upload is deleted. V(0) is for no such rule.
      - This is a lifecycle rule with the ID C(mlops.mlflow/abort-incomplete-multipart). Rules with other IDs are kept.
      - MinIO does this by itself after a day, and takes no such rule.
    type: int
  noncurrent_expiration_days:
    description:
      - After how many days an old version is deleted. V(0) is for no such rule.
      - This is a lifecycle rule with the ID C(mlops.mlflow/expire-noncurrent-versions). Rules with other IDs are kept.
    type: int
  policy:
    description:
      - The bucket's policy. V({}) removes it.
      - It is compared by what it means. The order of statements and lists makes no difference, nor does a list of one value.
    type: dict
  tags:
    description:
      - Tags to set. A key with a null value is removed. Keys that are not given stay, unless O(purge_tags) is true.
      - Values are stored as strings; V(true) and V(false) in lower case.
    type: dict
  purge_tags:
    description: Whether tags that O(tags) does not name are removed. AWS's own, which start with C(aws:), are kept.
    type: bool
    default: false
  encryption:
    description:
      - How the server encrypts objects that are written without saying how. V(none) is for no such default. AWS then encrypts with
        V(AES256), so the two mean the same there.
      - Before it is set, an object is written with it and deleted, since a server that has no key may take the setting and then refuse
        every object.
    type: str
    choices: [none, AES256, "aws:kms"]
  kms_key_id:
    description: The key for O(encryption=aws:kms). If left out, the server takes its own.
    type: str
  public_access:
    description:
      - With V(refused), the bucket is closed to the public. O(policy) may not let anyone in, and where the server has public access
        blocks, as AWS has, all four of them are set.
      - Where it has none, grants of the bucket's ACL to everyone are removed. A policy that lets anyone in and is not declared
        here is an error, which asks you to declare O(policy).
      - With V(unmanaged), none of this is looked at.
    type: str
    choices: [refused, unmanaged]
    default: refused
  prefix:
    description: Where in the bucket MLflow keeps its artifacts, and probe objects are written.
    type: str
    default: mlflow/
  verify:
    description:
      - Whether to write an object of 64 KiB under O(prefix), read it back, compare and delete it, with every version of it.
      - It takes place at the end of each run, changed or not, but not in check mode.
    type: bool
    default: false
seealso:
  - name: The S3 API
    description: What each setting means to AWS.
    link: https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations_Amazon_Simple_Storage_Service.html
"""

EXAMPLES = r"""
- name: A bucket for MLflow, proven to work
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

- name: A bucket on AWS, encrypted, for one role
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

- name: Delete a bucket with all that it holds
  mlops.mlflow.mlflow_bucket:
    endpoint_url: http://127.0.0.1:8333
    name: mlflow-artifacts
    state: absent
    force: true
"""

RETURN = r"""
bucket:
  description:
    - The bucket as it is now, or as it would be outside check mode. Empty where it does not exist.
    - A setting that no option was given for is left out where the credentials may not read it.
  returned: success
  type: dict
  contains:
    name:
      description: The bucket's name.
      type: str
      sample: mlflow-artifacts
    region:
      description: The region, as the server names it; where it names none, O(region).
      type: str
      sample: us-east-1
    versioning:
      description: V(Disabled), which is never set, V(Enabled) or V(Suspended).
      type: str
      sample: Enabled
    lifecycle:
      description: The days of the rules that this module manages; 0 where there is no such rule.
      type: dict
      sample: {abort_incomplete_multipart_days: 7, noncurrent_expiration_days: 30}
    other_lifecycle_rules:
      description: The IDs of all other rules.
      type: list
      elements: str
      sample: [archive-reports]
    policy:
      description: The bucket's policy in the spelling that it is compared in; empty if there is none.
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
      description: The key of the default encryption, where one is set.
      type: str
      sample: arn:aws:kms:eu-west-1:123456789012:key/0f3a9c1e-5b1d-4f6e-9a53-2f1f0d6c7a11
    public_access:
      description: V(refused) or V(allowed). Left out with O(public_access=unmanaged).
      type: str
      sample: refused
    public_access_block:
      description: Whether all four public access blocks are set. Left out where the server has none.
      type: bool
      sample: true
verification:
  description: How long it took to write, to read and to delete the probe object, in milliseconds.
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
actions:
  description: What was done, or would be done outside check mode, a line each.
  returned: success
  type: list
  elements: str
  sample: [update bucket mlflow-artifacts lifecycle.noncurrent_expiration_days]
"""

from functools import partial

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mlops.mlflow.plugins.module_utils import _module, _s3
from ansible_collections.mlops.mlflow.plugins.module_utils._adapters.bucket import Bucket
from ansible_collections.mlops.mlflow.plugins.module_utils._core import bucket as core
from ansible_collections.mlops.mlflow.plugins.module_utils._core import bucket_policy
from ansible_collections.mlops.mlflow.plugins.module_utils._ports import Step


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec=_s3.argument_spec(
            name={"type": "str", "required": True},
            state={"type": "str", "choices": ["present", "absent"], "default": "present"},
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
        core.check_options(params)
        removal = params["state"] == "absent"
        bucket = Bucket(_s3.client(params), params["name"], core.asked(params), bucket_policy, prefix=params["prefix"], removal=removal)
        result, (state,) = _module.reconcile(module, [Step("bucket", params["name"], bucket, partial(core.desired_state, params))])
        if params["verify"] and state and not module.check_mode:
            result["verification"] = bucket.verify()
        module.exit_json(bucket=state, **result)


if __name__ == "__main__":
    main()
