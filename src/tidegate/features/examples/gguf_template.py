"""The chat template inside a GGUF file, which makes one prompt of the messages of a conversation.

GGUF (version 2 and 3, little-endian): magic, version, number of tensors, number of keys; keys with typed values;
tensors with name, shape, type and offset; zeros up to a multiple of ``general.alignment``; then the weights, at
offsets from there. So the template may get longer or shorter, and no offset changes.
"""

import shutil
import struct
from pathlib import Path
from typing import BinaryIO

from tidegate.domain.errors import ArtifactError

TEMPLATE = b"tokenizer.chat_template"
ALIGNMENT = b"general.alignment"
_WIDTHS = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""Bytes of a number of each type."""
_UINT32, _STRING, _ARRAY = 4, 8, 9
_MOST = 1 << 24


def write_with_template(source: Path, target: Path, template: str) -> None:
    """Copy a model and give it another chat template. Raises ArtifactError for a file that is not a GGUF model with
    one."""
    with source.open("rb") as file:
        try:
            start, end, alignment = _find_template(file)
        except (struct.error, KeyError):
            raise ArtifactError(f"{source.name} is not a whole GGUF model") from None
        head_end = file.tell()
        text = template.encode()
        file.seek(0)
        head = file.read(start) + struct.pack("<Q", len(text)) + text
        file.seek(end)
        head += file.read(head_end - end)
        file.seek(_aligned(head_end, alignment))
        with target.open("wb") as made:
            made.write(head.ljust(_aligned(len(head), alignment), b"\0"))
            shutil.copyfileobj(file, made, 1 << 20)


def _find_template(file: BinaryIO) -> tuple[int, int, int]:
    """Find where the template's text with its length begins and ends, and the alignment. Leaves ``file`` behind the
    tensors' descriptions."""
    magic, version, tensors, keys = struct.unpack("<4sIQQ", file.read(24))
    if magic != b"GGUF" or version not in (2, 3):
        raise KeyError(magic)
    place: tuple[int, int] | None = None
    alignment = 32
    for _ in range(keys):
        name = _text(file)
        (kind,) = struct.unpack("<I", file.read(4))
        start = file.tell()
        _skip(file, kind)
        if name == TEMPLATE and kind == _STRING:
            place = (start, file.tell())
        if name == ALIGNMENT and kind == _UINT32:
            end = file.tell()
            file.seek(start)
            alignment = struct.unpack("<I", file.read(end - start))[0] or alignment
    for _ in range(tensors):
        _text(file)
        (dimensions,) = struct.unpack("<I", file.read(4))
        file.read(8 * min(dimensions, _MOST) + 4 + 8)
    if place is None:
        raise KeyError(TEMPLATE)
    return (*place, alignment)


def _skip(file: BinaryIO, kind: int) -> None:
    if kind == _STRING:
        _text(file)
    elif kind == _ARRAY:
        inner, count = struct.unpack("<IQ", file.read(12))
        if inner in _WIDTHS:
            file.seek(_WIDTHS[inner] * min(count, _MOST), 1)
        else:
            for _ in range(count):
                _skip(file, inner)
    else:
        file.seek(_WIDTHS[kind], 1)


def _text(file: BinaryIO) -> bytes:
    (length,) = struct.unpack("<Q", file.read(8))
    text = file.read(min(length, _MOST))
    if len(text) != length:
        raise struct.error("the file ends early")
    return text


def _aligned(place: int, alignment: int) -> int:
    return -(-place // alignment) * alignment
