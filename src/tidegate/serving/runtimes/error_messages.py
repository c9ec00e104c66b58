"""Error messages for model files, without the paths and codes that libraries add."""

import re
import zipfile
from pathlib import Path

_MAGIC = {
    b"\x80": "a Python pickle",
    b"binf": "XGBoost's old binary format",
    b"\x1f\x8b": "a gzip file",
    b"PK": "a zip file",
    b"\x93NUMPY": "a numpy array",
    b"\x89HDF": "an HDF5 file",
    b"GGUF": "a GGUF file",
    b"\x08": "an ONNX file",
}
_ONNXRUNTIME = re.compile(r"\[ONNXRuntimeError\] : \d+ : [A-Z_]+ : (?:Load model from .* failed: ?)?")


def looks_like(data: bytes) -> str:
    """Describe a file by its first bytes: ``is empty``, ``looks like a gzip file``, ``begins with b'...'``."""
    for magic, name in _MAGIC.items():
        if data.startswith(magic):
            return f"looks like {name}"
    return f"begins with {data[:8]!r}" if data else "is empty"


def head(path: Path) -> bytes:
    """The first bytes of a file."""
    with path.open("rb") as content:
        return content.read(16)


def cause(error: Exception, path: Path) -> str:
    """Why a library could not read ``path``, a file or a folder: one line, without a full stop."""
    if path.is_file():
        first = head(path)
        if not first:
            return "it is empty"
        if isinstance(error, zipfile.BadZipFile) and not zipfile.is_zipfile(path):
            return (
                "it is cut off" if first.startswith(b"PK") else f"it {looks_like(first)}, which is no zip archive"
            )
        if isinstance(error, EOFError):
            return "it is cut off"
    folder = path if path.is_dir() else path.parent
    if isinstance(error, FileNotFoundError) and error.filename:
        return f"it has no {Path(error.filename).name}"
    message = " ".join(_ONNXRUNTIME.sub("", str(error)).split()).replace(f"{folder}/", "").rstrip(".")
    kind = type(error).__name__
    named = (kind.endswith("Error") and kind not in ("RuntimeError", "ValueError")) or not message
    return f"{kind}: {message}".rstrip(": ") if named else message
