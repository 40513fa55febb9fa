"""What is wrong with a file is told in words."""

import ast
import lzma
import tarfile
import zipfile
import zlib
from pathlib import Path

import pytest

from ray_import.source.reasons import in_words

PACKAGE = Path(__file__).parents[3] / "ray_import"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (EOFError(), "it ends too early"),
        (zipfile.BadZipFile("File is not a zip file"), "it is not a complete ZIP"),
        (zipfile.BadZipFile("Bad CRC-32 for file 'my-secret.json'"), "its checksum is wrong"),
        (zlib.error("Error -3 while decompressing data: incorrect data check"), "its checksum is wrong"),
        (zlib.error("Error -3 while decompressing data: invalid distance"), "its compressed data is damaged"),
        (lzma.LZMAError("Corrupt input data"), "its compressed data is damaged"),
        (tarfile.ReadError("bad checksum"), "it is not a complete tar"),
        (NotImplementedError("compression type 9"), "it is encrypted or uses an unknown compression method"),
        (OSError(5, "Input/output error", "/home/ada/my-secret"), "it cannot be read: Input/output error"),
        (OSError("odd"), "it cannot be read"),
        (IndexError(), "it is damaged"),
    ],
)
def test_reason_is_told_in_words_without_names(error: Exception, words: str) -> None:
    assert in_words(error) == words


@pytest.mark.parametrize("room", ["source", "reader"])
def test_no_message_holds_the_name_of_a_class(room: str) -> None:
    """Outside of `getattr`, which looks for the class of that name."""
    named = []
    for file in (PACKAGE / room).glob("*.py"):
        nodes = list(ast.walk(ast.parse(file.read_text())))
        looked_up = {id(part) for node in nodes if is_getattr(node) for part in ast.walk(node)}
        named += [
            f"{file.name}:{node.lineno}"
            for node in nodes
            if isinstance(node, ast.Attribute) and node.attr == "__name__" and id(node) not in looked_up
        ]
    assert named == []


def is_getattr(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "getattr"
