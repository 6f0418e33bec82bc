"""TLS and mutual TLS against a real mosquitto, certificates made here: who is let in, and whom we do not talk to."""

from __future__ import annotations

import asyncio
import os
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from agent.delivery.mqtt import Broker, Connection, UplinkError, Will
from bench.evidence_auditor import free_port, mosquitto
from bench.relay import Relay, relay
from simulators.broker import embedded_broker, mosquitto_program

pytestmark = [
    pytest.mark.skipif(
        shutil.which("openssl") is None or mosquitto_program() is None,
        reason="no openssl or no mosquitto",
    ),
    # paho leaves the socket of a failed handshake to the garbage collector
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@dataclass(frozen=True)
class Authority:
    """A certificate authority of our own in a directory."""

    place: Path

    @property
    def file(self) -> Path:
        return self.place / "ca.pem"

    def found(self) -> Authority:
        self.place.mkdir()
        _openssl(self.place, "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=authority "
                 "-keyout ca.key -out ca.pem")  # fmt: skip
        return self

    def issue(self, name: str, address: str = "127.0.0.1") -> tuple[str, str]:
        """Files of a certificate and its key."""
        (self.place / "names").write_text(f"subjectAltName=IP:{address}\n")
        _openssl(self.place, "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes "
                 f"-subj /CN={name} -keyout {name}.key -out {name}.csr")  # fmt: skip
        _openssl(self.place, f"x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 "
                 f"-extfile names -out {name}.pem")  # fmt: skip
        return str(self.place / f"{name}.pem"), str(self.place / f"{name}.key")


@dataclass(frozen=True)
class Site:
    """A broker that asks for certificates, and what the agent needs for it."""

    ours: Authority
    theirs: Authority
    broker: Broker


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    place = tmp_path_factory.mktemp("tls")
    os.chmod(place, 0o755)
    ours, theirs = Authority(place / "ours").found(), Authority(place / "theirs").found()
    certificate, key = ours.issue("broker")
    for file in (ours.file, certificate, key):
        os.chmod(file, 0o644)  # mosquitto may run as somebody else
    port = free_port()
    settings = f"cafile {ours.file}\ncertfile {certificate}\nkeyfile {key}\nrequire_certificate true\n"
    with mosquitto(place / "broker", port, settings + "use_identity_as_username true\n"):
        client, client_key = ours.issue("gw-1")
        yield Site(ours, theirs, Broker("127.0.0.1", port, True, None, None, str(ours.file), client, client_key))


def _openssl(place: Path, arguments: str) -> None:
    subprocess.run(["openssl", *arguments.split()], cwd=place, check=True, capture_output=True)


async def _reach(broker: Broker) -> bool:
    """Whether a message is acknowledged. Raises UplinkError."""
    wake = asyncio.Event()
    connection = Connection(broker, "hubiao-test", Will("hubiao/v1/p/gateway/g/status", b"{}"), wake)
    try:
        await connection.open()
        connection.publish("hubiao/v1/p/gateway/g/status", b"{}")
        async with asyncio.timeout(10):
            while not connection.answers:
                wake.clear()
                if connection.lost:
                    raise UplinkError(connection.lost)
                await wake.wait()
        return not connection.answers[0][1].is_failure
    finally:
        await connection.close()


async def test_with_its_certificate_the_gateway_is_let_in(site: Site) -> None:
    assert await _reach(site.broker)


async def test_a_websocket_asks_for_the_same_certificates(site: Site) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(site.ours.file))
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(*site.ours.issue("relay"))
    async with embedded_broker("mosquitto") as address, relay(Relay(address.port), context) as port:
        over = replace(site.broker, port=port, path="/mqtt")
        assert await _reach(over)
        for broker in (replace(over, cert_file=None, key_file=None), replace(over, ca_file=str(site.theirs.file))):
            with pytest.raises(UplinkError):
                await _reach(broker)


async def test_without_a_certificate_or_with_one_of_another_authority_it_is_not(site: Site) -> None:
    certificate, key = site.theirs.issue("gw-1")
    for broker in (
        replace(site.broker, cert_file=None, key_file=None),
        replace(site.broker, cert_file=certificate, key_file=key),
    ):
        with pytest.raises(UplinkError):
            await _reach(broker)


async def test_a_broker_of_another_authority_or_another_name_is_not_spoken_to(site: Site, tmp_path: Path) -> None:
    with pytest.raises(UplinkError, match="certificate"):
        await _reach(replace(site.broker, ca_file=str(site.theirs.file)))
    with pytest.raises(UplinkError, match="certificate"):
        await _reach(replace(site.broker, ca_file=None))  # what the system trusts does not know it either
    os.chmod(tmp_path, 0o755)
    certificate, key = site.ours.issue("elsewhere", "192.0.2.1")
    os.chmod(key, 0o644)
    port = free_port()
    settings = f"cafile {site.ours.file}\ncertfile {certificate}\nkeyfile {key}\n"
    with mosquitto(tmp_path / "broker", port, settings), pytest.raises(UplinkError, match="certificate"):
        await _reach(replace(site.broker, port=port))


async def test_a_broker_that_speaks_no_tls_is_not_spoken_to(site: Site, tmp_path: Path) -> None:
    os.chmod(tmp_path, 0o755)
    port = free_port()
    with mosquitto(tmp_path / "broker", port), pytest.raises(UplinkError):
        await _reach(replace(site.broker, port=port))
