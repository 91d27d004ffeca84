"""The service account by which this deployment asks a server with mlflow-oidc-auth: ``administrator_token.py set``.

Reads MLFLOW_AUTH_ADMIN_USERNAME, MLFLOW_AUTH_ADMIN_PASSWORD and OIDC_USERS_DB_URI; PostgreSQL's password comes from PGPASSWORD.
The password becomes the account's one access token without a name in itself, which does not end: it is changed where it is kept, as a rotation
does. Nobody logs in as a service account at the issuer, whatever its token says.
"""
from __future__ import annotations

import os
import sys
from datetime import datetime

from mlflow_oidc_auth.db.models import SqlUser, SqlUserToken
from sqlalchemy import create_engine, delete, select
from sqlalchemy.orm import Session
from werkzeug.security import generate_password_hash

NAME = "mlops.mlflow"
#: The last moment that every database keeps.
NEVER = datetime(9999, 12, 31)


def set_token(session: Session, username: str, password: str) -> None:
    """Make the account, an administrator, and give it the token. Ends the program for an account that is somebody's."""
    user = session.scalars(select(SqlUser).where(SqlUser.username == username)).one_or_none()
    if user is None:
        user = SqlUser(username=username, display_name=NAME, service_account_source="internal", is_service_account=True)
        session.add(user)
    elif not user.is_service_account:
        sys.exit(f"mlflow_server_admin_username: '{username}' is a person who has logged in; set another name")
    user.is_admin, user.active = True, True
    session.flush()
    session.execute(delete(SqlUserToken).where(SqlUserToken.user_id == user.id, SqlUserToken.token_prefix.is_(None)))
    token = SqlUserToken(
        user_id=user.id, name=NAME, token_hash=generate_password_hash(password), created_at=datetime.utcnow(), created_by=NAME, expires_at=NEVER
    )
    session.add(token)


def main(_action: str) -> None:
    """Run ``set``."""
    engine = create_engine(os.environ["OIDC_USERS_DB_URI"])
    with Session(engine) as session, session.begin():
        set_token(session, os.environ["MLFLOW_AUTH_ADMIN_USERNAME"], os.environ["MLFLOW_AUTH_ADMIN_PASSWORD"])


if __name__ == "__main__":
    main(*sys.argv[1:])
