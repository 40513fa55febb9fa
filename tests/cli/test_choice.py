"""The executor of an import, by what is named and by the environment."""

import gzip
import zipfile
from pathlib import Path

import pytest

from ray_import.cli.executor_choice import TYPICAL_PACKING, chosen, size_and_packing
from ray_import.cluster.environment import JOB_CONFIG


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAY_ADDRESS", JOB_CONFIG):
        monkeypatch.delenv(name, raising=False)


def test_executor_is_ray_when_the_environment_names_a_cluster_or_a_job(monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen("auto", None, 1, "plain").executor == "inline"
    with monkeypatch.context() as patched:
        patched.setenv("RAY_ADDRESS", "127.0.0.1:6379")
        assert chosen("auto", None, 1, "plain").executor == "ray"
        assert chosen("inline", None, 1, "plain").executor == "inline"
    monkeypatch.setenv(JOB_CONFIG, "{}")
    assert chosen("auto", None, 1, "plain").executor == "ray"
    assert chosen("auto", 2, 1, "plain").executor == "ray"


def test_size_is_that_of_the_json_and_packing_is_seen_from_the_files(tmp_path: Path) -> None:
    plain, packed, folder = tmp_path / "x.json", tmp_path / "x.zip", tmp_path / "folder"
    plain.write_bytes(b"[" + b" " * 999 + b"]")
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(plain)
    folder.mkdir()
    (folder / "a.json").hardlink_to(plain)
    assert size_and_packing([str(plain)], 1001) == (1001, "plain")
    assert size_and_packing([str(folder)], 1001) == (1001, "plain")
    assert size_and_packing([str(plain), str(folder)], 2002) == (2002, "plain")
    assert size_and_packing([str(packed)], 1001) == (1001, "zip")
    assert size_and_packing(["https://host/x.zip"], 1001) == (1001, "zip")


def test_size_is_estimated_when_a_gzip_hides_it_and_unknown_when_there_is_no_file(tmp_path: Path) -> None:
    packed = tmp_path / "x.json.gz"
    packed.write_bytes(gzip.compress(b"[]"))
    assert size_and_packing([str(packed)], None) == (TYPICAL_PACKING * packed.stat().st_size, "unknown")
    assert size_and_packing(["https://host/x.json.gz"], None) == (None, "unknown")
