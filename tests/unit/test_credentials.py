"""Keys come from the environment, then from `.env`; what is missing or odd is told without showing it."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from ray_import.credentials import ClaudeAccess, SupabaseAccess, claude_access, environment, supabase_access
from ray_import.errors import ConfigError

KEY = "sb_secret_xyzzy"
URL = "https://abc.supabase.co"
NAMES = (
    "SUPABASE_URL", "SUPABASE_SERVICE_KEY", "SUPABASE_DB_URL", "DATABASE_URL", "PGPASSWORD", "ALERT_WEBHOOK",
    "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", "AWS_REGION", "AWS_BEARER_TOKEN_BEDROCK",
)  # fmt: skip
CLAUDE_KEY = "sk-ant-xyzzy"
HAIKU = "claude-haiku-5-5"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, and nothing set."""
    monkeypatch.chdir(tmp_path)
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def dot_env(folder: Path, text: str) -> None:
    (folder / ".env").write_text(text)


def test_what_is_set_nowhere_is_empty() -> None:
    found = environment()
    assert found.supabase_url == ""
    assert not any(
        secret.get_secret_value()
        for secret in (found.supabase_service_key, found.supabase_db_url, found.database_url, found.pgpassword)
    )


def test_the_environment_goes_before_the_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dot_env(folder, f"SUPABASE_URL=https://file.supabase.co\nSUPABASE_SERVICE_KEY={KEY}\n")
    monkeypatch.setenv("SUPABASE_URL", URL)
    assert supabase_access() == SupabaseAccess(URL, SecretStr(KEY))


def test_they_are_read_anew_each_time(folder: Path) -> None:
    for key in ("first", "second"):
        dot_env(folder, f"SUPABASE_URL={URL}\nSUPABASE_SERVICE_KEY={key}\n")
        assert supabase_access().key.get_secret_value() == key


@pytest.mark.parametrize(
    "line",
    [
        f"SUPABASE_SERVICE_KEY={KEY}",
        f"SUPABASE_SERVICE_KEY='{KEY}'",
        f'SUPABASE_SERVICE_KEY="{KEY}"',
        f"export SUPABASE_SERVICE_KEY={KEY}",
        f"SUPABASE_SERVICE_KEY = {KEY}  ",
        f"SUPABASE_SERVICE_KEY={KEY} # the one of the project",
        f'SUPABASE_SERVICE_KEY=" {KEY} "',
        f"# keys\n\nsupabase_service_key={KEY}",
        f"SOMETHING_ELSE=1\nSUPABASE_SERVICE_KEY={KEY}",
    ],
)
@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_line_may_be_written_in_any_usual_way(folder: Path, line: str, end: str) -> None:
    (folder / ".env").write_bytes(f"SUPABASE_URL={URL}/{end or chr(10)}{line}{end}".encode())
    assert supabase_access() == SupabaseAccess(URL, SecretStr(KEY))


def test_a_file_that_is_no_text_is_a_configuration_error_that_quotes_nothing(folder: Path) -> None:
    (folder / ".env").write_bytes(f"SUPABASE_SERVICE_KEY={KEY}\n".encode() + b"\xff\xfe\x80")
    with pytest.raises(ConfigError) as caught:
        environment()
    assert ".env" in caught.value.message
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ((), "SUPABASE_URL and SUPABASE_SERVICE_KEY are not set."),
        (("SUPABASE_URL",), "SUPABASE_SERVICE_KEY is not set."),
        (("SUPABASE_SERVICE_KEY",), "SUPABASE_URL is not set."),
    ],
)
def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, given: tuple[str, ...], told: str) -> None:
    for name in given:
        monkeypatch.setenv(name, URL)
    with pytest.raises(ConfigError) as caught:
        supabase_access()
    assert caught.value.message == told


@pytest.mark.parametrize(
    "url",
    [
        "abc.supabase.co", "ftp://abc.supabase.co", "https://", "https://[abc", "https://abc:port", "https://abc:99999",
        f"{URL}/rest/v1", f"{URL}?key={KEY}", f"{URL}#{KEY}", f"https://ana:{KEY}@abc.supabase.co", "https://a b.co",
        f"https://:{KEY}@abc.supabase.co", "https://abc.supa\tbase.co",
    ],
)  # fmt: skip
def test_what_is_no_address_of_a_project_is_refused_without_telling_it(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("SUPABASE_URL", url)
    monkeypatch.setenv("SUPABASE_SERVICE_KEY", KEY)
    with pytest.raises(ConfigError) as caught:
        supabase_access()
    assert caught.value.message.startswith("SUPABASE_URL is not")
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("key", [f"{KEY}é", f"{KEY}\x07", f"{KEY}\n{KEY}"])
def test_a_key_that_no_header_takes_is_refused_without_telling_it(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("SUPABASE_URL", URL)
    monkeypatch.setenv("SUPABASE_SERVICE_KEY", key)
    with pytest.raises(ConfigError) as caught:
        supabase_access()
    assert KEY not in str(caught.value)


def test_after_how_many_minutes_a_run_stalls_is_a_number_above_0(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ALERT_STALLED_MINUTES", raising=False)
    assert environment().alert_stalled_minutes == 10
    monkeypatch.setenv("ALERT_STALLED_MINUTES", "0.5")
    assert environment().alert_stalled_minutes == 0.5
    for odd in ("0", "-1", "soon", "inf", "nan", ""):
        monkeypatch.setenv("ALERT_STALLED_MINUTES", odd)
        with pytest.raises(ConfigError) as caught:
            environment()
        assert caught.value.message == "The value of ALERT_STALLED_MINUTES is not valid."


def test_nothing_shows_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.setenv(name, URL if name in ("SUPABASE_URL", "ANTHROPIC_BASE_URL", "AWS_REGION") else KEY)
    for value in (environment(), supabase_access()):
        assert KEY not in f"{value!r} {value!s}"
    assert KEY not in environment().model_dump_json()


def test_claude_is_asked_at_anthropic_unless_an_address_is_set(folder: Path) -> None:
    dot_env(folder, f'ANTHROPIC_API_KEY=" {CLAUDE_KEY} "\n')
    assert claude_access(HAIKU) == ClaudeAccess(key=SecretStr(CLAUDE_KEY), base_url="https://api.anthropic.com")
    dot_env(folder, f"ANTHROPIC_API_KEY={CLAUDE_KEY}\nANTHROPIC_BASE_URL=https://proxy.example/anthropic/\n")
    assert claude_access(HAIKU).base_url == "https://proxy.example/anthropic"


@pytest.mark.parametrize(
    ("lines", "named"),
    [
        ("", "ANTHROPIC_API_KEY is not set"),
        ("ANTHROPIC_API_KEY=' '", "ANTHROPIC_API_KEY is not set"),
        ("ANTHROPIC_API_KEY=sk-ant-\u2026", "ANTHROPIC_API_KEY contains"),
        ("ANTHROPIC_API_KEY='sk-ant xyzzy'", "ANTHROPIC_API_KEY contains"),
        ("ANTHROPIC_API_KEY=k\nANTHROPIC_BASE_URL=api.example", "ANTHROPIC_BASE_URL"),
        ("ANTHROPIC_API_KEY=k\nANTHROPIC_BASE_URL=https://api.example?key=1", "ANTHROPIC_BASE_URL"),
        ("ANTHROPIC_API_KEY=k\nANTHROPIC_BASE_URL=https://me:xyzzy@api.example", "ANTHROPIC_BASE_URL"),
    ],
)
def test_what_is_odd_about_the_key_of_claude_is_named_without_showing_it(folder: Path, lines: str, named: str) -> None:
    dot_env(folder, f"{lines}\n")
    with pytest.raises(ConfigError, match=named) as found:
        claude_access(HAIKU)
    assert "xyzzy" not in str(found.value)
    assert found.value.exit_code == 2


@pytest.mark.parametrize("model", ["anthropic.claude-haiku-5-5", "eu.anthropic.claude-haiku-5-5-v1:0"])
def test_model_of_bedrock_needs_a_region_and_no_key_of_anthropic(folder: Path, model: str) -> None:
    with pytest.raises(ConfigError, match="AWS_REGION"):
        claude_access(model)
    dot_env(folder, "AWS_REGION=eu-west-1\nAWS_BEARER_TOKEN_BEDROCK=abc\n")
    assert claude_access(model) == ClaudeAccess(key=SecretStr("abc"), bedrock_region="eu-west-1")
