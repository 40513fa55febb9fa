"""Readers in this process: the same events as those of Ray, with payloads as bytes."""

from pathlib import Path

import pytest

from ray_import.errors import ConfigError, SourceError
from ray_import.pipeline.executor import ReadEvent, ReadFinished, Reading, ReadStarted
from ray_import.pipeline.reading import LocalReaders, read_opened
from ray_import.pipeline.sources import open_sources
from ray_import.records import Batch
from tests.unit.pipeline.runs import batches_of_bytes
from tests.unit.source.exports import conversation, exported, written

SETTINGS = batches_of_bytes(1)


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """Three conversations, each a batch."""
    return written(tmp_path / "conversations.json", exported([conversation(f"c{i}") for i in range(3)]))


def events_of(reading: Reading) -> list[ReadEvent]:
    found: list[ReadEvent] = []
    while not found or not isinstance(found[-1], ReadFinished):
        event = reading.poll()
        assert event is not None
        found.append(event)
    return found


def test_local_readers_give_every_byte_of_the_conversations_when_a_file_is_read(export: Path) -> None:
    reading = LocalReaders(SETTINGS).read(str(export), "")
    assert (reading.waits_on, reading.of_server) == (None, False)
    opened, *parts, end = events_of(reading)
    assert isinstance(opened, ReadStarted)
    assert opened.version
    payloads = [part.payload for part in parts if isinstance(part, Batch)]
    assert all(isinstance(payload, bytes) for payload in payloads)
    assert b"[" + b",".join(payloads) + b"]" == export.read_bytes()
    assert [part.size_bytes for part in parts if isinstance(part, Batch)] == [len(payload) for payload in payloads]
    assert isinstance(end, ReadFinished)
    assert opened.bytes_total == end.bytes_read == export.stat().st_size


def test_local_readers_give_the_version_alone_when_it_is_known(export: Path) -> None:
    opened = LocalReaders(SETTINGS).read(str(export), "").poll()
    assert isinstance(opened, ReadStarted)
    reading = LocalReaders(SETTINGS).read(str(export), opened.version)
    known = reading.poll()
    assert isinstance(known, ReadStarted)
    assert (known.version, known.bytes_total) == (opened.version, None)
    with pytest.raises(StopIteration):
        reading.poll()


def test_local_readers_raise_the_error_of_a_source_when_it_is_polled(tmp_path: Path) -> None:
    readers = LocalReaders(SETTINGS)
    reading = readers.read(str(tmp_path / "ada.zip"), "")
    with pytest.raises((ConfigError, SourceError), match=r"There is no file or folder .*ada\.zip"):
        reading.poll()
    with pytest.raises(ConfigError, match="A source is empty"):
        readers.read(" ", "")


def test_read_opened_reads_nothing_more_when_it_is_closed(export: Path) -> None:
    source = open_sources([export], SETTINGS.read)
    reading = read_opened(source, SETTINGS)
    opened, part = reading.poll(), reading.poll()
    assert isinstance(opened, ReadStarted)
    assert isinstance(part, Batch)
    assert (opened.version, opened.bytes_total) == ("", export.stat().st_size)
    reading.close()
    assert part.bytes_read < export.stat().st_size
    with pytest.raises(StopIteration):
        reading.poll()
