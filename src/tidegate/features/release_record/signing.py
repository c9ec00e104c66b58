"""The signed file: canonical JSON with an Ed25519 signature (RFC 8032), which anybody can verify with the public key.

Canonical means that keys are sorted, that there is no white space and no character beyond ASCII, and that numbers
with a fraction are texts, in the shortest form that reads back as the same number. The signature covers the canonical
form of ``record``; the file as a whole is canonical too, so that any other byte in it is found.
"""

import json
import os
from pathlib import Path
from typing import Any

from tidegate.domain.errors import Conflict, Unavailable
from tidegate.host.late_import import load

KEY_FILE = "release-key.pem"
"""In the state folder, for its owner alone. A new one is made where there is none."""
FORMAT = "tidegate-release-record-1"
_PRIVATE = 0o600
_ED25519 = "cryptography.hazmat.primitives.asymmetric.ed25519"
_SERIALIZATION = "cryptography.hazmat.primitives.serialization"


def canonical(value: object) -> str:
    return json.dumps(_without_fractions(value), sort_keys=True, separators=(",", ":"), allow_nan=False)


def sign_record(record: dict[str, Any], state: Path) -> str:
    """The signed file of a record. Raises Unavailable without cryptography, or without a key that can be used."""
    key = _take_key(state)
    signature = key.sign(canonical(record).encode()).hex()
    signed = {"format": FORMAT, "record": record, "public_key": _public(key), "signature": signature}
    return canonical(signed) + "\n"


def verify_file(content: bytes, key: str | None = None) -> dict[str, Any]:
    """The file as it was signed. ``key``: the public key that it must be signed with. Raises Conflict for a file that
    is not what was signed, and Unavailable without cryptography."""
    try:
        signed = json.loads(content.decode("ascii"))
        record, public, signature = signed["record"], signed["public_key"], signed["signature"]
        whole = signed.keys() == {"format", "record", "public_key", "signature"} and signed["format"] == FORMAT
        raw_key, raw_signature = bytes.fromhex(public), bytes.fromhex(signature)
        same = (canonical(signed) + "\n").encode() == content and (
            raw_key + raw_signature
        ).hex() == public + signature
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise Conflict("this is no release record, or it was changed") from None
    if not whole or not same:
        raise Conflict("this is no release record as it was signed: it was changed")
    if key is not None and key != public:
        raise Conflict(f"it is signed with the key {public}, and not with {key}")
    invalid = _load("cryptography.exceptions", "InvalidSignature")
    try:
        _load(_ED25519, "Ed25519PublicKey").from_public_bytes(raw_key).verify(
            raw_signature, canonical(record).encode()
        )
    except (invalid, ValueError):
        raise Conflict("the signature is not that of this record: it was changed") from None
    found: dict[str, Any] = signed
    return found


def read_public_key(state: Path) -> str:
    """The public key in hexadecimal. Raises Unavailable."""
    return _public(_take_key(state))


def _without_fractions(value: object) -> object:
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, dict):
        return {key: _without_fractions(one) for key, one in value.items()}
    return [_without_fractions(one) for one in value] if isinstance(value, list | tuple) else value


def _take_key(state: Path) -> Any:
    """The private key, which is made with the first use."""
    path = state / KEY_FILE
    serialization = {name: _load(_SERIALIZATION, name) for name in ("Encoding", "PrivateFormat", "NoEncryption")}
    try:
        if not path.exists():
            made = _load(_ED25519, "Ed25519PrivateKey").generate()
            pem = made.private_bytes(
                serialization["Encoding"].PEM,
                serialization["PrivateFormat"].PKCS8,
                serialization["NoEncryption"](),
            )
            _write_private(path, pem)
        if path.stat().st_mode & 0o077:
            raise Unavailable(
                f"{path} can be read by others than its owner: chmod 600, or remove it for a new key"
            )
        return _load(_SERIALIZATION, "load_pem_private_key")(path.read_bytes(), None)
    except (OSError, ValueError) as error:
        raise Unavailable(f"release records cannot be signed: {path}: {error}") from None


def _write_private(path: Path, pem: bytes) -> None:
    """Write it whole or not at all; a key that another process made meanwhile stays."""
    partial = path.with_suffix(f".{os.getpid()}.partial")
    partial.unlink(missing_ok=True)
    file = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE)
    with os.fdopen(file, "wb") as opened:
        opened.write(pem)
        opened.flush()
        os.fsync(opened.fileno())
    try:
        os.link(partial, path)
    except FileExistsError:
        pass
    finally:
        partial.unlink()


def _public(key: Any) -> str:
    raw: bytes = key.public_key().public_bytes_raw()
    return raw.hex()


def _load(module: str, name: str) -> Any:
    try:
        return load(module, name)
    except ImportError:
        raise Unavailable("release records need cryptography: pip install 'tidegate[records]'") from None
