"""What the roles make of external databases and S3 servers with the settings that the documentation shows, without one."""
from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.server import Server
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.values import read
from roles import CLUSTER, PUBLISHED, Role


def sessions(most: int, **given: Any) -> tuple[int, int]:
    """The pool's size with a database that takes so many connections, and the sessions that the deployment may need."""
    connection = PUBLISHED["postgresql_connection"] | {"max_connections": most}
    server = Role("mlflow_server", **CLUSTER, **PUBLISHED)
    container = server.decided("deployment", postgresql_connection=connection, **given)["objects"][5]["spec"]["template"]["spec"]["containers"][0]
    size = next(int(each["value"]) for each in container["env"] if each["name"] == "MLFLOW_SQLALCHEMYSTORE_POOL_SIZE")
    variables = server.said("__mlflow_server_given.variables", **given)
    return size, read(Server, variables, "mlflow_server_").sessions(most)


@pytest.mark.parametrize(("most", "given", "size"), [
    (200, {}, 20),
    (100, {}, 18),
    (100, {"mlflow_server_auth": "basic"}, 10),
    (200, {"mlflow_server_auth": "basic", "mlflow_server_replicas": 2}, 16),
    (500, {"mlflow_server_workers": 4}, 20),
    (100, {"mlflow_server_max_overflow": "10"}, 13),
])
def test_by_default_the_pools_fit_the_database(most: int, given: dict[str, Any], size: int) -> None:
    found, needed = sessions(most, **given)
    assert found == size
    assert needed <= most - 5


def test_a_database_that_is_too_small_for_any_pool_is_seen() -> None:
    found, needed = sessions(30)
    assert found == 5
    assert needed > 25


def test_a_size_that_is_given_stays() -> None:
    assert sessions(100, mlflow_server_pool_size=20) == (20, 100)


@pytest.mark.parametrize(("given", "days"), [
    ({"artifact_store_provider": "embedded"}, 7),
    ({"artifact_store_provider": "external_s3"}, 7),
    ({"artifact_store_provider": "external_s3", "artifact_store_endpoint_url": "https://s3.eu-west-1.amazonaws.com"}, 7),
    ({"artifact_store_provider": "external_s3", "artifact_store_endpoint_url": "http://minio:9000"}, None),
    ({"artifact_store_provider": "external_s3", "artifact_store_endpoint_url": "https://amazonaws.com.example.com"}, None),
    ({"artifact_store_provider": "external_s3", "artifact_store_endpoint_url": "http://ceph:8000", "artifact_store_abort_multipart_days": 3}, 3),
])
def test_unfinished_uploads_expire_where_the_server_is_known_to_have_a_rule(given: dict[str, Any], days: int | None) -> None:
    assert Role("artifact_store", **CLUSTER).said("artifact_store_abort_multipart_days", **given) == days


@pytest.mark.parametrize(("given", "provider"), [
    (CLUSTER, "seaweedfs"),
    (CLUSTER | {"__artifact_store_deployed": "minio"}, "minio"),
    ({"groups": {}}, "folder"),
    ({"groups": {}, "embedded_runtime": {"has_s3": False}}, "folder"),
    ({"groups": {}, "embedded_runtime": {"has_s3": True}}, "embedded"),
    ({"groups": {}, "embedded_runtime": {"has_s3": True}, "artifact_store_provider": "folder"}, "folder"),
])
def test_artifacts_stay_where_they_are_and_new_stacks_have_a_folder(given: dict[str, Any], provider: str) -> None:
    assert Role("artifact_store", **given).said("artifact_store_provider") == provider
