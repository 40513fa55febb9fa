"""What `--to` names, and what of it travels or is told: never a password."""

import pickle

import pytest

from ray_import.errors import ConfigError
from ray_import.sink.destination import parse_destination
from ray_import.sink.servers import PostgresDestination


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
    assert "zzy" not in repr(destination) + destination.look_command()
