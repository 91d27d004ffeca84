"""Log in to an MLflow server that is behind OpenID Connect, from a terminal, and keep every MLflow client logged in while it runs.

`login` asks the identity provider for tokens by the device flow (RFC 8628), and keeps them in a file that only the user can read. Then MLflow's
own client sends the access token with each request to that server and no other, and renews it before it expires: `mlflow_utils.login.provider` does.
What is set explicitly, MLFLOW_TRACKING_USERNAME or MLFLOW_TRACKING_TOKEN, takes precedence.
"""
from __future__ import annotations

from .logins import Login, access_token, login, logout, stored
from .oidc import Code, LoginError

__all__ = ["Code", "Login", "LoginError", "access_token", "login", "logout", "stored"]
