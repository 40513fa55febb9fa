"""The settings of the web processes. They are read from the environment, once per process."""

import ipaddress
import os
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import orjson
from pydantic import SecretStr

from ray_import.credentials import Environment, environment, is_web_address
from ray_import.errors import ConfigError
from ray_import.service.web.sources import AllowedSources, allowed_sources

DEFAULT_PORT = 8100
DEFAULT_JOBS_PER_HOUR = 10
LEAST_SECRET_CHARACTERS = 16
SERVE_VARIABLE = "RAY_IMPORT_SERVE"
"""Hands the options of the command to the web processes, which are spawned: see `ServeOptions`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """The options of `ray-import serve`, under the names that uvicorn has for them."""

    to: str = field(repr=False)
    """May hold a password."""
    insecure: bool
    workers: int
    timeout_keep_alive: int
    limit_concurrency: int | None
    backlog: int
    limit_max_requests: int | None
    limit_max_requests_jitter: int

    def export(self) -> None:
        """Puts the options into the environment of this process and of those that it starts."""
        os.environ[SERVE_VARIABLE] = orjson.dumps(self).decode()

    @staticmethod
    def of_environment() -> "ServeOptions":
        """The options that `export` has put there. Raises KeyError where it has not."""
        return ServeOptions(**orjson.loads(os.environ[SERVE_VARIABLE]))


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSettings:
    """What the service accepts, and from whom."""

    secret: SecretStr | None
    """None where the service takes requests without one, on loopback alone."""
    sources: AllowedSources
    jobs_per_hour: int
    """The maximum per user."""
    external_url: str
    """The service's public address, '' where it is not known."""


def service_settings(*, insecure: bool) -> ServiceSettings:
    """The settings in the environment or `.env`. Raises ConfigError where the secret is missing (unless `insecure`) or
    too short, or another setting is not valid."""
    found = environment()
    url = found.render_external_url.strip().rstrip("/")
    return ServiceSettings(
        secret=_secret(found, insecure=insecure),
        sources=allowed_sources(
            found.ray_import_buckets, found.ray_import_hosts, found.ray_import_path_pattern.strip()
        ),
        jobs_per_hour=_jobs_per_hour(found),
        external_url=url if is_web_address(url) and not urlsplit(url).query else "",
    )


def port_of_environment() -> int | None:
    """The port that a platform has set in PORT; None where it is not set. Raises ConfigError."""
    text = environment().port.strip()
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 6 and int(text) < 65536):
        raise ConfigError("The value of PORT is not valid.", "Set it to a number from 1 to 65535.")
    return int(text)


def is_loopback(host: str) -> bool:
    """Whether only this machine can connect to a server that listens at `host`."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _secret(found: Environment, *, insecure: bool) -> SecretStr | None:
    secret = found.ray_import_secret.get_secret_value().strip()
    if not secret and insecure:
        return None
    if not secret:
        raise ConfigError(
            "RAY_IMPORT_SECRET is not set.",
            "Set it in the environment or in a file .env: the output of openssl rand -hex 32 will do.",
        )
    if not (secret.isascii() and secret.isprintable() and " " not in secret):
        raise ConfigError("RAY_IMPORT_SECRET contains invalid characters.", "Use ASCII letters and digits.")
    if len(secret) < LEAST_SECRET_CHARACTERS:
        raise ConfigError(
            f"RAY_IMPORT_SECRET is too short: the minimum is {LEAST_SECRET_CHARACTERS} characters.",
            "Use the output of openssl rand -hex 32.",
        )
    return SecretStr(secret)


def _jobs_per_hour(found: Environment) -> int:
    text = found.ray_import_jobs_per_hour.strip()
    if not text:
        return DEFAULT_JOBS_PER_HOUR
    if not (text.isascii() and text.isdecimal() and len(text) < 7 and int(text) > 0):
        raise ConfigError("The value of RAY_IMPORT_JOBS_PER_HOUR is not valid.", "Set it to a whole number above 0.")
    return int(text)
