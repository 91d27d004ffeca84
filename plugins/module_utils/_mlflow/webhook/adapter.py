# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""Webhooks by MLflow's REST API (https://mlflow.org/docs/latest/ml/webhooks, WebhookService)."""
from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._errors import ApiError, Conflict, ServerError, Unsupported
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.rest import RestClient, segment
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.webhook import rules
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.kind import Kind
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.plan import Plan, State

_API = "/api/2.0/mlflow/webhooks"
_SINCE = (3, 3, 0)
#: The most that a page may hold (list_webhooks of mlflow/store/model_registry/sqlalchemy_store.py).
_PAGE = 1000
#: How often, and at which interval in seconds, the older of two concurrent webhooks checks whether the newer one gives way.
_LOOKS, _PAUSE = 50, 0.2
#: How often one who reads looks again whether webhooks of one name are still those of concurrent creators.
_GLANCES = 25
#: MLflow's messages about URLs that it does not deliver to (mlflow/utils/validation.py, 3.17), and the way out.
_REFUSALS = (
    (r"Invalid webhook URL scheme: .* Allowed schemes are: (.*)\.", "MLflow delivers only to {0}", "MLFLOW_WEBHOOK_ALLOWED_SCHEMES=http,https"),
    (r"non-public IP address\. (.*)\.", "{0}, which is not a public address", "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS=true"),
    (r"(Cannot resolve) Webhook URL hostname", "the server cannot resolve its host name", "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS=true"),
)


class Webhook:
    """The webhook with a name, which MLflow does not keep unique: the oldest, with the IDs of the others."""

    immutable: frozenset[str] = frozenset()
    #: ``secret`` is only in a plan, to mark one that will be written.
    read_only = frozenset({"webhook_id", "namesakes", "creation_timestamp", "last_updated_timestamp", "secret"})

    def __init__(self, client: RestClient, params: Mapping[str, Any]) -> None:
        self._client = client
        self._name: str = params["name"]
        self._secret: str | None = params.get("secret")
        self._is_tested = bool(params.get("test"))
        self._is_wanted = params.get("state") == "present"

    @classmethod
    def find(cls, client: RestClient, where: Mapping[str, Any]) -> Iterator[State]:
        """The webhooks named ``name``, or all, the oldest first.

        Raises Unsupported before MLflow 3.3, and ServerError where the server cannot decrypt what it stores.
        """
        entries = sorted(cls._listed(client), key=_age)
        numbers = defaultdict(list)
        for entry in entries:
            numbers[entry["name"]].append(entry["webhook_id"])
        for entry in entries:
            if where.get("name") in (None, entry["name"]):
                yield _state(entry, [number for number in numbers[entry["name"]] if number != entry["webhook_id"]])

    @staticmethod
    def _listed(client: RestClient) -> list[dict[str, Any]]:
        try:
            return list(client.listed(_API, "webhooks", max_results=_PAGE))
        except Unsupported:
            client.require(_SINCE, "a webhook")
            raise
        except ApiError as error:
            # If the encryption key has changed, 3.17 says no more than this, for any webhook.
            if error.code == "INTERNAL_ERROR" and str(error).endswith(": "):
                raise ServerError(
                    "webhooks cannot be read, since the server cannot decrypt the secret of one of them (500); start all its processes with "
                    "the MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY of the time when the secret was written"
                ) from None
            raise

    def read(self) -> State | None:
        """Return the webhook's ID, URL, events, status and description, and the IDs of others of its name, or None.

        Others may be gone in a moment, if they are created at the same time (``_settle``).
        """
        for look in range(_GLANCES):
            state = next(self.find(self._client, {"name": self._name}), None)
            if not (self._is_wanted and state and state["namesakes"]) or look == _GLANCES - 1:
                break
            time.sleep(_PAUSE)
        return state

    def check(self, plan: Plan) -> None:
        """Accept every plan; the server checks URLs only when they are written."""

    def apply(self, plan: Plan) -> None:
        """Create or change the webhook, or delete all of this name."""
        state = plan.before or {}
        if plan.action == "delete":
            for number in [state["webhook_id"], *state["namesakes"]]:
                self._client.write("DELETE", f"{_API}/{segment(number)}", {})
            return
        after = plan.after or {}
        if plan.action == "create":
            body = {key: after[key] for key in ("name", "url", "description", "status")}
            body.update({"events": _events(after), **({"secret": self._secret} if self._secret else {})})
            self._settle(self._sent("POST", _API, body, after["url"]))
            return
        # Fields that are left out of the body are left unchanged.
        body = {key: after[key] for key in ("url", "description", "status") if plan.change_of(key)}
        if plan.change_of("events"):
            body["events"] = _events(after)
        if plan.change_of("secret"):
            body["secret"] = self._secret
        self._sent("PATCH", f"{_API}/{segment(state['webhook_id'])}", body, after["url"])

    def _sent(self, method: str, path: str, body: Mapping[str, Any], url: str) -> dict[str, Any]:
        try:
            webhook: dict[str, Any] = self._client.write(method, path, body, idempotent=method != "POST")["webhook"]
            return webhook
        except ApiError as error:
            for pattern, problem, setting in _REFUSALS:
                found = re.search(pattern, str(error))
                if found:
                    raise ServerError(
                        f"url: {url!r} is refused by the server: {problem.format(found[1])}; give a public https address, "
                        f"or start the server with {setting}"
                    ) from None
            raise

    def _settle(self, made: dict[str, Any]) -> None:
        """Make sure that ``made`` is the only one of its name, even if others were created at the same time.

        Newer ones are deleted at once, and their creators read again. The oldest waits for that, and is deleted too if one
        remains that did not see it. So there is never a second one.
        """
        for _look in range(_LOOKS):
            others = [entry for entry in self._listed(self._client) if entry["name"] == self._name and entry["webhook_id"] != made["webhook_id"]]
            if not others:
                return
            if min(map(_age, others)) < _age(made):
                break
            time.sleep(_PAUSE)
        self._client.write("DELETE", f"{_API}/{segment(made['webhook_id'])}", {})
        raise Conflict(f"name: another webhook named {self._name!r} was created at the same time")

    def finish(self, state: State) -> dict[str, Any]:
        """Return the module's further result: with ``test``, the result of a delivery."""
        return {"test_delivery": self._test(state)} if self._is_tested else {}

    def _test(self, state: State) -> dict[str, Any]:
        """Have the server deliver an example of the first event now.

        Returns ``event`` and the HTTP ``status`` and ``body`` of the response. Raises ServerError if the delivery fails.
        """
        try:
            answer = self._client.write("POST", f"{_API}/{segment(state['webhook_id'])}/test", {"event": _events(state)[0]}, idempotent=False)
        except Conflict as error:
            raise ServerError(f"test: webhook {self._name!r} is in place, but its delivery did not finish in time: {error}; raise timeout") from None
        result = answer["result"]
        body = result.get("response_body", "")
        if not result.get("success"):
            reason = f"{result['response_status']} {body[:200]!r}" if "response_status" in result else result.get("error_message", "no reason given")
            raise ServerError(
                f"test: webhook {self._name!r} is in place, but {state['url']!r} did not accept a delivery: {reason}; "
                "check that the receiver is up, can be reached from the server, and answers with a status below 400"
            )
        return {"event": state["events"][0], "status": result.get("response_status"), "body": body}


def _events(state: State) -> list[dict[str, str]]:
    parts = [event.upper().partition(".") for event in state["events"]]
    return [{"entity": entity, "action": action} for entity, _dot, action in parts]


def _age(entry: Mapping[str, Any]) -> tuple[int, str]:
    """Orders by the time of creation, the oldest first."""
    return entry.get("creation_timestamp", 0), entry["webhook_id"]


def _state(entry: Mapping[str, Any], namesakes: list[str]) -> State:
    return {
        "name": entry["name"],
        "webhook_id": entry["webhook_id"],
        "url": entry["url"],
        "events": sorted(f"{event['entity']}.{event['action']}".lower() for event in entry.get("events", [])),
        "description": entry.get("description", ""),
        "status": entry.get("status", "ACTIVE"),
        "namesakes": namesakes,
        "creation_timestamp": entry.get("creation_timestamp"),
        "last_updated_timestamp": entry.get("last_updated_timestamp"),
    }


WEBHOOK = Kind(
    "webhooks",
    rules,
    Webhook,
    module_options={"test": {"type": "bool", "default": False}},
    finish=Webhook.finish,
    momentary=lambda state: bool(state["namesakes"]),
    unreadable=("secret", "add the secret to each that has one"),
)
