"""Keys and addresses of services: from the environment, or from a file `.env` in the working directory.

They are read in the process that uses them, each time anew, and never handed on: not in settings, not to workers, not
into `os.environ`, where every child process would find them. A `SecretStr` does not show itself in any text.
"""

from dataclasses import dataclass
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from ray_import.errors import ConfigError


class Environment(BaseSettings):
    """What is set, the environment before `.env`; empty where nothing is."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", frozen=True, hide_input_in_errors=True)

    supabase_url: str = ""
    supabase_service_key: SecretStr = SecretStr("")
    supabase_db_url: SecretStr = SecretStr("")
    database_url: SecretStr = SecretStr("")
    pgpassword: SecretStr = SecretStr("")
    anthropic_api_key: SecretStr = SecretStr("")
    anthropic_base_url: str = ""
    aws_region: str = ""
    aws_bearer_token_bedrock: SecretStr = SecretStr("")
    alert_webhook: SecretStr = SecretStr("")
    alert_stalled_minutes: float = Field(default=10.0, gt=0, allow_inf_nan=False)
    ray_import_secret: SecretStr = SecretStr("")
    ray_import_buckets: str = ""
    ray_import_hosts: str = ""
    ray_import_path_pattern: str = ""
    ray_import_jobs_per_hour: str = ""
    port: str = ""
    render_external_url: str = ""


@dataclass(frozen=True, slots=True)
class SupabaseAccess:
    """A Supabase project: `url` without a path, and the key of its service role (`sb_secret_…` or a legacy JWT)."""

    url: str
    key: SecretStr


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaudeAccess:
    """Where Claude is asked: Anthropic's API or one that speaks like it (`base_url`, may have a path), or Amazon
    Bedrock in `bedrock_region`. An empty key for Bedrock means the credentials that AWS's own library finds."""

    key: SecretStr
    base_url: str = ""
    bedrock_region: str = ""


ANTHROPIC_URL = "https://api.anthropic.com"


def environment() -> Environment:
    """What the environment and `.env` hold now. Raises ConfigError where `.env` cannot be read, or a number is none."""
    try:
        return Environment()
    except ValidationError as error:
        names = ", ".join(str(place).upper() for one in error.errors() for place in one["loc"])
        raise ConfigError(f"The value of {names} is not valid.", "Set it to a number of minutes above 0.") from None
    except (OSError, ValueError):
        raise ConfigError("The file .env cannot be read.", "Write lines of the form NAME=value in UTF-8.") from None


def supabase_access() -> SupabaseAccess:
    """The project that SUPABASE_URL and SUPABASE_SERVICE_KEY name. Raises ConfigError where one is missing or odd."""
    found = environment()
    url, key = found.supabase_url.strip().rstrip("/"), SecretStr(found.supabase_service_key.get_secret_value().strip())
    missing = [name for name, value in (("SUPABASE_URL", url), ("SUPABASE_SERVICE_KEY", key)) if not value]
    if missing:
        them = "it" if len(missing) == 1 else "them"
        raise ConfigError(
            f"{missing[0]} is not set." if len(missing) == 1 else f"{' and '.join(missing)} are not set.",
            f"Set {them} in the environment or in a file .env; the project's settings show both under API keys.",
        )
    if not _is_project(url):
        raise ConfigError("SUPABASE_URL is not the address of a project.", "Use the form https://abc.supabase.co.")
    if not key.get_secret_value().isascii() or not key.get_secret_value().isprintable():
        raise ConfigError("SUPABASE_SERVICE_KEY contains invalid characters.", "Copy the key again.")
    return SupabaseAccess(url, key)


def is_bedrock_model(model: str) -> bool:
    """Whether the name of a model is one of Amazon Bedrock's: `anthropic.claude-haiku-5-5`, or with a region before."""
    return model.startswith("anthropic.") or ".anthropic." in model


def claude_access(model: str) -> ClaudeAccess:
    """The account that ANTHROPIC_API_KEY and ANTHROPIC_BASE_URL name; for a model of Bedrock, AWS_REGION and
    AWS_BEARER_TOKEN_BEDROCK. Raises ConfigError where one is missing or odd."""
    found = environment()
    if is_bedrock_model(model):
        return _bedrock_access(found)
    key = SecretStr(found.anthropic_api_key.get_secret_value().strip())
    url = found.anthropic_base_url.strip().rstrip("/") or ANTHROPIC_URL
    if not key.get_secret_value():
        raise ConfigError(
            "ANTHROPIC_API_KEY is not set.",
            "Set it in the environment or in a file .env; the Claude Console shows it under API keys.",
        )
    _check_key("ANTHROPIC_API_KEY", key)
    parts = urlsplit(url) if is_web_address(url) else None
    if parts is None or parts.query or parts.fragment or parts.username or parts.password:
        raise ConfigError("ANTHROPIC_BASE_URL is not a web address.", f"Use the form {ANTHROPIC_URL}.")
    return ClaudeAccess(key=key, base_url=url)


def _bedrock_access(found: Environment) -> ClaudeAccess:
    region = found.aws_region.strip()
    if not region.replace("-", "").isalnum() or not region.isascii():
        raise ConfigError("AWS_REGION is not set.", "Set it to the region of Amazon Bedrock, for example eu-west-1.")
    key = SecretStr(found.aws_bearer_token_bedrock.get_secret_value().strip())
    _check_key("AWS_BEARER_TOKEN_BEDROCK", key)
    return ClaudeAccess(key=key, bedrock_region=region)


def _check_key(name: str, key: SecretStr) -> None:
    secret = key.get_secret_value()
    if secret and not (secret.isascii() and secret.isprintable() and " " not in secret):
        raise ConfigError(f"{name} contains invalid characters.", "Copy the key again.")


def is_web_address(url: str) -> bool:
    """Whether something can be asked of it, or posted to it."""
    try:
        parts = urlsplit(url)
        has_host = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and has_host and url.isprintable() and " " not in url


def _is_project(url: str) -> bool:
    if not is_web_address(url):
        return False
    parts = urlsplit(url)
    return not (parts.path or parts.query or parts.fragment or parts.username or parts.password)
