"""What `--to` names, and what of it travels or is told: never a password."""

import pickle
from pathlib import Path

import pytest

from ray_import.destinations.postgres.servers import PostgresDestination, SupabaseDestination
from ray_import.destinations.registry import parse_destination
from ray_import.errors import ConfigError


@pytest.mark.parametrize(
    "to",
    [
        "postgresq://ada:xyzzy@h/db",
        "postgresql+psycopg://ada:xyzzy@h/db",
        "postgresql:/ada:pw@h/db?password=xyzzy",
        "mysql://ada:xy?zzy@h/db",
        "host=h user=ada password=xyzzy",
        "sqlite://ada:xyzzy@h/db",
        "postgresql://ada:xyzzy@h:port/db",
        "postgresql://ada@h/db?sslkey=/k&sslpassword=xyzzy",
    ],
)
def test_what_is_no_destination_is_refused_without_telling_a_password(to: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_destination(to)
    assert "zzy" not in str(caught.value)


@pytest.mark.parametrize(
    "to",
    [
        "postgresql://ada:xyzzy@h/db",
        "postgresql://ada:xy?zzy@h/db",
        "postgresql://ada:xy%40zzy@h/db",
        "postgresql://h/db?user=ada&password=xyzzy",
    ],
)
def test_a_password_stays_in_the_process(to: str) -> None:
    destination = parse_destination(to)
    assert isinstance(destination, PostgresDestination)
    assert destination.password is not None
    assert "zzy" in destination.password.get_secret_value()
    assert destination.url == "postgresql://ada@h/db"
    travelled = pickle.loads(pickle.dumps(destination))
    assert travelled == destination
    assert travelled.password is None
    assert b"zzy" not in pickle.dumps(destination)
    assert "zzy" not in repr(destination) + destination.query_hint()


def test_a_blank_address_in_the_environment_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "SUPABASE_DB_URL"):
        monkeypatch.setenv(name, "  ")
    with pytest.raises(ConfigError, match="DATABASE_URL is not set"):
        parse_destination("postgres")
    with pytest.raises(ConfigError, match="SUPABASE_DB_URL is not set"):
        SupabaseDestination("supabase").migrate()


def test_a_file_in_a_folder_that_this_user_cannot_open_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "is_dir", refused)
    with pytest.raises(ConfigError, match="is in a folder that this user cannot open"):
        parse_destination("sqlite:////closed/chunks.db")
