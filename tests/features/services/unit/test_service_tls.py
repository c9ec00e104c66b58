"""Services over TLS: the certificate has to be that of the name, by an authority that this machine trusts."""

import asyncio
import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

from tests.features.services.http_services import service
from tests.features.services.unit.test_service_engine import ask, open_engine
from tests.system_packages import lacks
from tidegate.domain.errors import StartTimeout
from tidegate.features.services.worker import replicas as engines
from tidegate.serving.contract.invocation import Answer

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason=lacks("openssl"))


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "PATIENCE", 0.5)


def certificate(folder: Path, name: str) -> tuple[Path, ssl.SSLContext]:
    """A certificate of this name that signs itself, and a server's context with it."""
    made, key = folder / f"{name}.pem", folder / f"{name}.key"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "2", "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}"]
    subprocess.run([*command, "-keyout", str(key), "-out", str(made)], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made, key)
    return made, context


async def test_a_trusted_service_is_asked_over_kept_connections(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, context = certificate(tmp_path, "localhost")
    monkeypatch.setenv("SSL_CERT_FILE", str(made))
    async with service(context=context) as there:
        engine = await open_engine(f"https://localhost:{there.port}")
        for _ in range(3):
            assert isinstance(await ask(engine), Answer)
        assert there.connections <= 2
        assert there.asked[0].headers["host"] == f"localhost:{there.port}"
        await engine.close()


async def test_a_certificate_of_another_name_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, context = certificate(tmp_path, "other.example")
    monkeypatch.setenv("SSL_CERT_FILE", str(made))
    async with service(context=context) as there:
        with pytest.raises(StartTimeout, match="certificate verify failed: Hostname mismatch"):
            await open_engine(f"https://localhost:{there.port}")
    assert there.asked == there.checks == []


async def test_a_certificate_of_an_unknown_authority_is_refused(tmp_path: Path) -> None:
    _, context = certificate(tmp_path, "localhost")
    async with service(context=context) as there:
        with pytest.raises(StartTimeout, match=r"certificate verify failed: self.signed certificate"):
            await open_engine(f"https://localhost:{there.port}")
    assert there.asked == there.checks == []


async def test_a_port_that_does_not_speak_tls_is_told() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(StartTimeout, match=r"(?i)wrong.version.number|record layer"):
            await open_engine(f"https://localhost:{port}")
