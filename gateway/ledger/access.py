"""Who may sign in: users, their sessions, and tokens of the API. Secrets are kept as hashes only."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import Engine, delete, insert, select, update

from gateway.errors import NotFound, Refused
from gateway.ledger import audit
from gateway.ledger.database import Record, put, reading, writing
from gateway.ledger.tables import api_tokens, sessions, users

Role: TypeAlias = Literal["admin", "agent", "viewer"]

_ROLES: tuple[Role, ...] = ("viewer", "agent", "admin")  # each may do what those before it may
SESSION_MS = 12 * 3_600_000  # a working day with its overtime (OWASP Session Management: 4 to 8 h idle, or a day)
# Verified for unknown logins, so that they take as long as known ones; made from random bytes nobody kept.
_DECOY = "$argon2id$v=19$m=65536,t=3,p=4$ZOh7gRyb9CTKdHLt7vZf5g$0COwB0m/2JM4/x55aipaJFvcUc058wncKz/BvDkwhxE"
_HASHER = PasswordHasher()  # argon2id at the library's defaults (RFC 9106, low-memory profile)


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """One who signs in."""

    login: str
    name: str
    role: Role
    disabled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A signed-in user; `csrf` goes with every form."""

    user: User
    csrf: str
    expires_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiToken:
    """A token of the API, without its secret."""

    token_id: str
    login: str
    name: str
    role: Role
    created_ms: int
    expires_ms: int | None
    revoked_ms: int | None
    used_ms: int | None


def save_user(engine: Engine, user: User, *, password: str, now_ms: int) -> None:
    """Add a user, or replace one: then all of its sessions end.

    Raises:
        Refused: `weak_password`: shorter than 8 characters (NIST SP 800-63B 5.1.1).
    """
    if len(password) < 8:
        raise Refused("weak_password", "at least 8 characters")
    row = {
        "login": user.login,
        "name": user.name,
        "role": user.role,
        "password_hash": _HASHER.hash(password),
        "disabled": user.disabled,
        "created_ms": now_ms,
    }
    with writing(engine) as connection:
        put(connection, users, [row])
        connection.execute(delete(sessions).where(sessions.c.login == user.login))


def disable_user(engine: Engine, login: str, *, actor: str, now_ms: int) -> None:
    """Lock a user out: sessions end, tokens are void, and no password fits until the user is saved anew.

    Raises:
        NotFound: `user`.
    """
    with writing(engine) as connection:
        if connection.execute(update(users).where(users.c.login == login).values(disabled=True)).rowcount == 0:
            raise NotFound("user", login)
        connection.execute(delete(sessions).where(sessions.c.login == login))
        audit.record(connection, at_ms=now_ms, actor=actor, action="user_disabled", subject=f"user:{login}")


def list_users(engine: Engine) -> tuple[User, ...]:
    """All users by login."""
    with reading(engine) as connection:
        return tuple(_user(row) for row in connection.execute(select(users).order_by(users.c.login)))


def sign_in(engine: Engine, login: str, password: str, *, now_ms: int) -> tuple[str, Session]:
    """A new session and its cookie. Takes about 50 ms of a core by design, also for a login that does not exist.

    Raises:
        Refused: `wrong_login`: unknown, disabled, or not the password.
    """
    with reading(engine) as connection:
        row = connection.execute(select(users).where(users.c.login == login)).one_or_none()
    if not _password_fits("" if row is None else row.password_hash, password) or row is None or row.disabled:
        raise Refused("wrong_login", "unknown login or wrong password")
    cookie, csrf, expires_ms = secrets.token_urlsafe(32), secrets.token_urlsafe(24), now_ms + SESSION_MS
    kept = {"token_hash": _digest(cookie), "login": login, "csrf": csrf, "created_ms": now_ms, "expires_ms": expires_ms}
    with writing(engine) as connection:
        connection.execute(delete(sessions).where(sessions.c.expires_ms <= now_ms))
        connection.execute(insert(sessions), kept)
    return cookie, Session(user=_user(row), csrf=csrf, expires_ms=expires_ms)


def find_session(engine: Engine, cookie: str, *, now_ms: int) -> Session | None:
    """The session of a cookie, or None where it is unknown, over, or its user disabled."""
    query = (
        select(users, sessions.c.csrf, sessions.c.expires_ms)
        .join(sessions, sessions.c.login == users.c.login)
        .where(sessions.c.token_hash == _digest(cookie), sessions.c.expires_ms > now_ms, users.c.disabled.is_(False))
    )
    with reading(engine) as connection:
        row = connection.execute(query).one_or_none()
    return None if row is None else Session(user=_user(row), csrf=row.csrf, expires_ms=row.expires_ms)


def sign_out(engine: Engine, cookie: str) -> None:
    """End a session; an unknown cookie is none."""
    with writing(engine) as connection:
        connection.execute(delete(sessions).where(sessions.c.token_hash == _digest(cookie)))


def issue_token(
    engine: Engine, login: str, *, name: str, role: Role, now_ms: int, expires_ms: int | None = None
) -> tuple[str, ApiToken]:
    """A new API token, its secret shown this once."""
    secret, token_id = "bfh_" + secrets.token_urlsafe(32), secrets.token_hex(6)
    row = {
        "token_id": token_id,
        "token_hash": _digest(secret),
        "login": login,
        "name": name,
        "role": role,
        "created_ms": now_ms,
        "expires_ms": expires_ms,
    }
    with writing(engine) as connection:
        connection.execute(insert(api_tokens), row)
    return secret, next(token for token in list_tokens(engine) if token.token_id == token_id)


def use_token(engine: Engine, secret: str, *, now_ms: int) -> User | None:
    """The user a token acts for, or None where it is unknown, over or revoked.

    It acts in its own role, and never in a higher one than its user has now.
    """
    fresh = (api_tokens.c.expires_ms.is_(None)) | (api_tokens.c.expires_ms > now_ms)
    query = (
        select(users, api_tokens.c.role.label("token_role"), api_tokens.c.token_id)
        .join(api_tokens, api_tokens.c.login == users.c.login)
        .where(api_tokens.c.token_hash == _digest(secret), api_tokens.c.revoked_ms.is_(None), fresh)
        .where(users.c.disabled.is_(False))
    )
    with writing(engine) as connection:
        row = connection.execute(query).one_or_none()
        if row is None:
            return None
        connection.execute(update(api_tokens).where(api_tokens.c.token_id == row.token_id).values(used_ms=now_ms))
    return replace(_user(row), role=min(row.role, row.token_role, key=_ROLES.index))


def list_tokens(engine: Engine) -> tuple[ApiToken, ...]:
    """All tokens, newest first."""
    query = select(api_tokens).order_by(api_tokens.c.created_ms.desc(), api_tokens.c.token_id)
    names = tuple(ApiToken.__slots__)
    with reading(engine) as connection:
        return tuple(ApiToken(**{name: row._mapping[name] for name in names}) for row in connection.execute(query))


def revoke_token(engine: Engine, token_id: str, *, now_ms: int) -> None:
    """End a token. Raises NotFound (`token`)."""
    statement = update(api_tokens).where(api_tokens.c.token_id == token_id).values(revoked_ms=now_ms)
    with writing(engine) as connection:
        if connection.execute(statement).rowcount == 0:
            raise NotFound("token", token_id)


def _password_fits(password_hash: str, password: str) -> bool:
    try:
        return _HASHER.verify(password_hash or _DECOY, password) and bool(password_hash)
    except (VerificationError, InvalidHashError):
        return False


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _user(row: Record) -> User:
    return User(login=row.login, name=row.name, role=row.role, disabled=row.disabled)
