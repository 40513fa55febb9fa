"""Addresses as people have them at hand: those of other programs are refused, and the words say what to change."""

import pytest

from ray_import.destinations.postgres.address import split_password
from ray_import.destinations.registry import parse_destination
from ray_import.errors import ConfigError

AT = "postgresql://ada:xyzzy@db.example.com:6543/chats"


def refused(url: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        split_password(url)
    assert "zzy" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("pgbouncer=true", "pgbouncer"),
        ("sslmode=require&pgbouncer=true&connection_limit=1", "pgbouncer"),
        ("connection_limit=1", "connection_limit"),
        ("schema=public", "schema"),
        ("currentSchema=public", "currentSchema"),
        ("pool_timeout=10", "pool_timeout"),
        ("supa=base-pooler.x", "supa"),
        ("sslmod=require", "sslmod"),
    ],
)
def test_split_password_names_the_parameter_when_libpq_does_not_know_it(query: str, name: str) -> None:
    error = refused(f"{AT}?{query}")
    assert f"parameter {name}, " in error.message
    assert "Remove it" in error.hint
    with pytest.raises(ConfigError) as caught:
        parse_destination(f"{AT}?{query}")
    assert str(caught.value) == str(error)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ada:1/?zzy=x@db.example.com/chats",
        "postgresql://ada:x@y?zzy=1@db.example.com/chats",
        "postgresql://ada:x?zzy=1",
        "postgresql://ada:1/2?zzy",
        "host=h password='postgresql://?zzy'x=1",
    ],
)
def test_split_password_names_no_parameter_when_it_may_be_a_piece_of_the_password(url: str) -> None:
    refused(url)


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("postgresql+psycopg://ada:xyzzy@h/db", "postgresql+psycopg://"),
        ("postgresql+asyncpg://ada:xyzzy@h/db", "postgresql+asyncpg://"),
        ("postgres+psycopg2://ada:xyzzy@h/db", "postgres+psycopg2://"),
        ("prisma+postgres://ada:xyzzy@h/db", "prisma+postgres://"),
        ("jdbc:postgresql://h/db?user=ada&password=xyzzy", "jdbc:postgresql://"),
        ('"postgresql://ada:xyzzy@h/db"', "quotation marks"),
        ("'postgres://ada:xyzzy@h/db'", "quotation marks"),
        ("psql 'postgresql://ada:xyzzy@h/db'", "psql"),
        ("DATABASE_URL=postgresql://ada:xyzzy@h/db", "DATABASE_URL="),
        ("postgresql://postgres:[YOUR-PASSWORD]@h/db", "[YOUR-PASSWORD]"),
    ],
)
def test_an_address_of_another_form_is_refused_with_what_to_change(url: str, named: str) -> None:
    error = refused(url)
    assert named in error.message
    assert error.hint
    with pytest.raises(ConfigError) as caught:
        parse_destination(url)
    assert str(caught.value) == str(error)


@pytest.mark.parametrize("query", ["", "?ssl=true", "?sslmode=require&options=-c%20x%3D1", "?client_encoding=latin1"])
def test_split_password_takes_an_address_when_libpq_does(query: str) -> None:
    conninfo, password = split_password(f"  {AT}{query}\n")
    assert "dbname=chats" in conninfo
    assert password is not None
    assert password.get_secret_value() == "xyzzy"
