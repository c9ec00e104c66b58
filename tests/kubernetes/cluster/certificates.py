"""The cluster's certificate authority, the API server's certificate, and the key of service accounts."""

import subprocess
from pathlib import Path

_CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def create(folder: Path, addresses: tuple[str, ...]) -> None:
    """Write ca.crt, server.crt, server.key and accounts.key. ``addresses``: of the API server."""
    folder.mkdir()
    names = ["DNS:kubernetes", "DNS:kubernetes.default", "DNS:kubernetes.default.svc", "DNS:localhost"]
    names += [f"IP:{address}" for address in addresses]
    _openssl(
        *("req", "-x509", *_CURVE, "-days", "2", "-subj", "/CN=cluster-ca", "-keyout", "ca.key", "-out", "ca.crt"),
        *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
        folder=folder,
    )
    _openssl(
        *("req", *_CURVE, "-subj", "/CN=kube-apiserver", "-keyout", "server.key", "-out", "server.csr"),
        *("-addext", f"subjectAltName={','.join(names)}"),
        folder=folder,
    )
    _openssl(
        *("x509", "-req", "-in", "server.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial"),
        *("-days", "2", "-copy_extensions", "copyall", "-out", "server.crt"),
        folder=folder,
    )
    _openssl("genrsa", "-out", "accounts.key", "2048", folder=folder)


def _openssl(*words: str, folder: Path) -> None:
    subprocess.run(["openssl", *words], cwd=folder, check=True, stdin=subprocess.DEVNULL, capture_output=True)
