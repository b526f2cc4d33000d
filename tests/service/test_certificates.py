"""Certificates that are renewed while the service runs."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from typing import TYPE_CHECKING

import pytest

from otel_polar.delivery.notices import Notices
from otel_polar.service.certificates import Certificates

if TYPE_CHECKING:
    from pathlib import Path


class TestCertificates:
    def test_that_are_gone_for_a_moment_are_looked_at_again(self, files: Path) -> None:
        """Whoever looks after them would otherwise never look again, until the last one is over."""
        certificates = Certificates(files / "live.crt", files / "live.key", None, Notices())
        (files / "live.key").unlink()
        certificates.look_again()

        copy(files, "second")
        certificates.look_again()

        assert certificates._fetch() is not None

    def test_without_their_key_leave_the_old_ones_in_use(self, files: Path) -> None:
        """A certificate is written before its key, or after it."""
        certificates = Certificates(files / "live.crt", files / "live.key", None, Notices())
        shutil.copy(files / "second.crt", files / "live.crt")
        certificates.look_again()

        assert handshake(certificates, files)

    def test_of_clients_that_were_taken_out_are_refused(self, files: Path) -> None:
        """They stayed good on one of the two ports until the next start."""
        shutil.copy(files / "first.crt", files / "clients.crt")
        certificates = Certificates(files / "live.crt", files / "live.key", files / "clients.crt", Notices())
        assert handshake(certificates, files, shows="first")
        assert not handshake(certificates, files, shows="second")
        assert not handshake(certificates, files)

        copy(files, "second")
        shutil.copy(files / "second.crt", files / "clients.crt")
        certificates.look_again()

        assert handshake(certificates, files, knows="second", shows="second")
        assert not handshake(certificates, files, knows="second", shows="first")
        assert not handshake(certificates, files, knows="second")

    def test_are_given_to_grpc_once(self, files: Path) -> None:
        """GRPC makes everything anew for each of them."""
        certificates = Certificates(files / "live.crt", files / "live.key", None, Notices())
        assert certificates._fetch() is None
        copy(files, "second")
        certificates.look_again()

        assert certificates._fetch() is not None
        assert certificates._fetch() is None


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Two certificates with their keys, the first of them in use."""
    for name in ("first", "second"):
        command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost -days 2"
        subprocess.run(
            [*command.split(), "-keyout", f"{name}.key", "-out", f"{name}.crt"],
            cwd=tmp_path,
            check=True,
            capture_output=True,
        )
    copy(tmp_path, "first")
    return tmp_path


def copy(files: Path, name: str) -> None:
    for ending in ("crt", "key"):
        shutil.copy(files / f"{name}.{ending}", files / f"live.{ending}")


def handshake(certificates: Certificates, files: Path, *, knows: str = "first", shows: str | None = None) -> bool:
    """Whether a client that knows the one certificate and shows the other comes through."""
    client_context = ssl.create_default_context(cafile=files / f"{knows}.crt")
    client_context.check_hostname = False
    if shows is not None:
        client_context.load_cert_chain(files / f"{shows}.crt", files / f"{shows}.key")
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server)
    server = certificates.context.wrap_bio(to_server, to_client, server_side=True)
    done: set[ssl.SSLObject] = set()
    for _ in range(10):
        for side in (client, server):
            try:
                side.do_handshake()
                done.add(side)
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLError:
                return False
    return len(done) == 2
