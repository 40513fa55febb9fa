"""Keys and tokens: who a request comes from, as Supabase's gateway, PostgREST and Storage see it."""

import time
from dataclasses import dataclass, field
from typing import Any

import jwt
from starlette.datastructures import Headers

from tests.support.gateway.calls import Refused, json_answer, rest_error

ISSUED, EXPIRES = 1_700_000_000, 4_000_000_000


@dataclass(frozen=True, slots=True)
class Project:
    """Where a stand-in is and which keys it takes; it travels to other processes."""

    url: str
    jwt_secret: str = field(repr=False)
    secret_key: str = field(repr=False)

    @property
    def service_key(self) -> str:
        """The legacy key of the service role, a JWT."""
        return self.signed({"role": "service_role", "iss": "supabase", "iat": ISSUED, "exp": EXPIRES})

    @property
    def anon_key(self) -> str:
        """The legacy key for everybody, a JWT."""
        return self.signed({"role": "anon", "iss": "supabase", "iat": ISSUED, "exp": EXPIRES})

    def user_token(self, user_id: str, *, expires_in: float = 3600) -> str:
        """The token of a user who is logged in."""
        expires = int(time.time() + expires_in)
        return self.signed({"sub": user_id, "role": "authenticated", "aud": "authenticated", "exp": expires})

    def signed(self, claims: dict[str, Any]) -> str:
        """A JWT with these claims."""
        return jwt.encode(claims, self.jwt_secret, algorithm="HS256")

    def claims(self, token: str) -> dict[str, Any]:
        """The claims of a token that is ours and has not expired; raises jwt.PyJWTError for all others."""
        claims: dict[str, Any] = jwt.decode(
            token, self.jwt_secret, algorithms=["HS256"], options={"verify_aud": False, "verify_sub": False}
        )
        return claims


@dataclass(frozen=True, slots=True)
class Caller:
    """A role of the database, and what its token claims."""

    role: str
    claims: dict[str, Any]


def _caller(claims: dict[str, Any]) -> Caller:
    return Caller(str(claims.get("role", "anon")), claims)


def bearer(headers: Headers) -> str:
    """The token of the Authorization header, or ""."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def rest_caller(project: Project, headers: Headers) -> Caller:
    """Who asks the REST part; raises Refused with 401 for a key that is missing or unknown, or a token that is bad."""
    key, token = headers.get("apikey", ""), bearer(headers)
    if not key:
        raise Refused(json_answer(401, {"message": "No API key found in request", "hint": "No `apikey` was found."}))
    if key not in (project.secret_key, project.service_key, project.anon_key) and not _is_signed_key(project, key):
        raise Refused(json_answer(401, {"message": "Invalid API key", "hint": "Double check your Supabase API key."}))
    if token in ("", key):
        return Caller("service_role", {"role": "service_role"}) if key == project.secret_key else _known(project, key)
    return _known(project, token)


def _is_signed_key(project: Project, key: str) -> bool:
    """Whether it is a key of any other role: a gateway that is one's own lets it pass."""
    try:
        return project.claims(key).get("iss") == "supabase"
    except jwt.PyJWTError:
        return False


def _known(project: Project, token: str) -> Caller:
    try:
        return _caller(project.claims(token))
    except jwt.ExpiredSignatureError:
        raise Refused(_unauthorized("PGRST303", "JWT expired")) from None
    except jwt.PyJWTError:
        parts = token.count(".") + 1
        message = "No suitable key or wrong key type" if parts == 3 else f"Expected 3 parts in JWT; got {parts}"
        raise Refused(_unauthorized("PGRST301", message)) from None


def _unauthorized(code: str, message: str) -> Any:
    told = f'Bearer error="invalid_token", error_description="{message}"'
    return rest_error(401, code, message, www_authenticate=told)


def storage_caller(project: Project, headers: Headers) -> Caller:
    """Who asks Storage; raises jwt.PyJWTError for a token that is bad or expired. Nobody is `anon`."""
    token = bearer(headers) or headers.get("apikey", "")
    if not token:
        return Caller("anon", {})
    if token == project.secret_key:
        return Caller("service_role", {"role": "service_role"})
    return _caller(project.claims(token))
