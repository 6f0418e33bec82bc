"""Who may look: anyone on loopback, elsewhere who knows the password or the token. Reads files, opens no socket.

    Authorization: Basic base64(anything:password or token)     people; the browser asks
    Authorization: Bearer token                                 programs (Prometheus)

A password is checked with scrypt, one check at a time, and a correct one is remembered under a key of this process, so
that every further request costs a hash. `python -m agent.web.access` asks for a password and prints the line to keep
in the file instead of it.
"""

from __future__ import annotations

import base64
import binascii
import getpass
import hashlib
import hmac
import ipaddress
import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

COST, BLOCK, LANES = 1 << 14, 8, 1  # of scrypt: 16 MB and 50 ms here, half a second on a small ARM
SALT_BYTES, KEY_BYTES = 16, 32
PREFIX = "scrypt"
LEAST_TOKEN = 16  # characters: a token is not stretched
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


class AccessFault(Exception):
    """The page cannot be opened to anybody like this; the agent refuses to start (exit 78)."""


@dataclass(slots=True)
class Access:
    """Where the page listens and who is let in. Without password and token: loopback only, under loopback's names."""

    host: str
    port: int
    password: str = field(default="", repr=False)  # its scrypt line
    token: str = field(default="", repr=False)
    _key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    _known: bytes = field(default=b"", repr=False)  # of the password that was right last

    def __post_init__(self) -> None:
        if not self.closed and not is_loopback(self.host):
            raise AccessFault(f"{self.host}: not loopback, and neither a password nor a token is set")

    @classmethod
    def of(cls, web: Mapping[str, Any]) -> Access:
        """From `private.web` of the effective configuration. Raises AccessFault."""
        host, port = split(web["listen"])
        password = _secret(web.get("password_file"))
        token = _secret(web.get("token_file"))
        if token and len(token) < LEAST_TOKEN:
            raise AccessFault(f"{web['token_file']}: a token has at least {LEAST_TOKEN} characters")
        if password and not password.startswith(PREFIX + "$"):
            password = stretched(password)
        if password:
            _parts(password, web["password_file"])
        return cls(host, port, password, token)

    @property
    def closed(self) -> bool:
        """Whether one has to know something."""
        return bool(self.password or self.token)

    def admits_host(self, host: str) -> bool:
        """Whether the page may be asked for under this name: an open page only under loopback's, so that no site on
        the internet can make a browser read it (DNS rebinding)."""
        name = host.strip().lower()
        name = name[1 : name.find("]")] if name.startswith("[") else name.partition(":")[0]
        return self.closed or name in LOOPBACK_NAMES

    def admits(self, authorization: str) -> bool:
        """Whether a request's Authorization header lets it in. Takes a while for a password not seen before."""
        if not self.closed:
            return True
        scheme, _, rest = authorization.partition(" ")
        if scheme.lower() == "bearer":
            return self._is_token(rest.strip())
        if scheme.lower() != "basic":
            return False
        try:
            offered = base64.b64decode(rest, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return False
        return self._is_token(offered) or self._is_password(offered)

    def knows(self, authorization: str) -> bool:
        """Whether `admits` would answer at once."""
        return not self.closed or self._remembered(authorization)

    def remember(self, authorization: str) -> None:
        """The header of a request that was admitted."""
        self._known = self._sum(authorization)

    def _remembered(self, authorization: str) -> bool:
        return bool(self._known) and hmac.compare_digest(self._known, self._sum(authorization))

    def _sum(self, authorization: str) -> bytes:
        return hmac.digest(self._key, authorization.encode(), "sha256")

    def _is_token(self, offered: str) -> bool:
        return bool(self.token) and hmac.compare_digest(self.token.encode(), offered.encode())

    def _is_password(self, offered: str) -> bool:
        if not self.password:
            return False
        salt, key = _parts(self.password, "")
        return hmac.compare_digest(key, _scrypt(offered, salt))


def stretched(password: str) -> str:
    """The line that stands for a password: `scrypt$salt$key`, base64."""
    salt = secrets.token_bytes(SALT_BYTES)
    return "$".join((PREFIX, *(base64.b64encode(part).decode() for part in (salt, _scrypt(password, salt)))))


def split(listen: str) -> tuple[str, int]:
    """`address:port`, an IPv6 address in brackets."""
    host, _, port = listen.rpartition(":")
    return host.strip("[]"), int(port)


def is_loopback(host: str) -> bool:
    return host == "localhost" or ipaddress.ip_address(host).is_loopback


def _scrypt(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=COST, r=BLOCK, p=LANES, dklen=KEY_BYTES)


def _parts(line: str, name: str) -> tuple[bytes, bytes]:
    try:
        _, salt, key = line.split("$")
        return base64.b64decode(salt, validate=True), base64.b64decode(key, validate=True)
    except (ValueError, binascii.Error) as error:
        raise AccessFault(f"{name}: no scrypt line") from error


def _secret(name: str | None) -> str:
    """The first line of a file, "" without a file."""
    if name is None:
        return ""
    try:
        lines = Path(name).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise AccessFault(f"{name}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise AccessFault(f"{name}: not UTF-8") from error
    if not lines or not lines[0].strip():
        raise AccessFault(f"{name}: empty")
    return lines[0].strip()


if __name__ == "__main__":
    sys.stdout.write(stretched(getpass.getpass()) + "\n")
