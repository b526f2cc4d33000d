"""Certificates of one's own, made by the ``openssl`` command: an authority, a server and a client."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.servers.child import HOST

if TYPE_CHECKING:
    from pathlib import Path

_DAYS = "2"


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key."""

    certificate: Path
    key: Path


class Authority:
    """Whoever trusts its certificate trusts what it issues; skips the test where there is no ``openssl``."""

    def __init__(self, directory: Path) -> None:
        openssl = shutil.which("openssl")
        if openssl is None:
            pytest.skip("no openssl here: it makes the certificates")
        self._openssl = openssl
        self._directory = directory
        directory.mkdir()
        self._pair = self._make("authority", ["-addext", "basicConstraints=critical,CA:TRUE"])
        self.certificate = self._pair.certificate

    def issue(self, name: str) -> Pair:
        """For a server at the loopback address, or for a client."""
        signed = ["-CA", str(self._pair.certificate), "-CAkey", str(self._pair.key)]
        return self._make(name, [*signed, "-addext", f"subjectAltName=IP:{HOST}"])

    def _make(self, name: str, more: list[str]) -> Pair:
        pair = Pair(self._directory / f"{name}.pem", self._directory / f"{name}.key")
        command = [self._openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
        command += ["-nodes", "-days", _DAYS, "-subj", f"/CN={name}"]
        command += ["-out", str(pair.certificate), "-keyout", str(pair.key), *more]
        subprocess.run(command, check=True, capture_output=True)
        return pair
