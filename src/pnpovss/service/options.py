"""How the service is run."""

import os
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

from pnpovss.errors import ConfigError
from pnpovss.service.limits import Limits

__all__ = ["KEY_VARIABLE", "ServiceOptions", "host_from", "is_loopback", "keys_from", "origin_from"]

KEY_VARIABLE = "PNPOVSS_API_KEY"
SHORTEST_KEY = 16  # letters
_OWN_PORTS = {"http": 80, "https": 443}  # which browsers leave out


@dataclass(frozen=True)
class ServiceOptions:
    """How the service is run; the model and its settings are told apart.

    Attributes:
        host: address that it listens at.
        port: of it; 0 takes a free one.
        keys: any of which a client has to show; empty lets everybody in.
        origins: other web sites ("https://example.org") whose pages may use the API; see `origin_from`.
        hosts: names it is called by, see `host_from`; empty takes any, or the usual ones where only this machine
            reaches it.
        workers: requests computed at once; None for one per core, or four where the model is on a GPU.
        batch: photos encoded together; None for eight on a GPU, else one.
        limits: on each request.
        stop_seconds: until which what was accepted must be finished, once it is told to stop.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    keys: tuple[str, ...] = field(default=(), repr=False)
    origins: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    workers: int | None = None
    batch: int | None = None
    limits: Limits = field(default_factory=Limits)
    stop_seconds: float = 60.0

    @property
    def known_hosts(self) -> tuple[str, ...]:
        """Names that a request may call the service by; empty for any."""
        if not self.hosts and is_loopback(self.host):
            return ("127.0.0.1", "localhost", "[::1]", self.host)
        return self.hosts

    def cores(self) -> int:
        """Cores that this process may use."""
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine alone."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def keys_from(text: str) -> tuple[str, ...]:
    """API keys from the environment, separated by commas; empty for none.

    Raises:
        ConfigError: a key that is easily guessed, or that no header can hold.
    """
    keys = tuple(key.strip() for key in text.split(",") if key.strip())
    if any(len(key) < SHORTEST_KEY for key in keys):
        raise ConfigError(
            f"a key in {KEY_VARIABLE} has fewer than {SHORTEST_KEY} letters; make one with "
            "python -c 'import secrets; print(secrets.token_urlsafe())'"
        )
    if any(not key.isascii() or not key.isprintable() or " " in key for key in keys):
        raise ConfigError(f"a key in {KEY_VARIABLE} holds what no header can; use letters, digits, - and _")
    return keys


def host_from(text: str) -> str:
    """A name that the service is called by, as requests are compared with it: in small letters, without a port.

    Raises:
        ConfigError: no name of a host.
    """
    parts = _split(f"//[{text}]" if text.count(":") > 1 and "[" not in text else f"//{text}")
    if parts is None or parts.path or not text.isascii():
        raise ConfigError(
            f"{text!r:.200} is no name of a host; give it as a browser's address shows it between // and /: "
            "--host-name seg.example"
        )
    return _host(parts)


def origin_from(text: str) -> str:
    """Another web site, as browsers name it in `Origin`: in small letters, without a / at its end or the usual port.

    Raises:
        ConfigError: no origin, such as an address of one page.
    """
    parts = _split(text)
    if parts is None or not parts.scheme or parts.path not in ("", "/") or not text.isascii():
        raise ConfigError(
            f"{text!r:.200} is no origin; give scheme and host, and a port where there is one, nothing more: "
            "--allow-origin https://example.org"
        )
    port = "" if parts.port in (None, _OWN_PORTS.get(parts.scheme)) else f":{parts.port}"
    return f"{parts.scheme}://{_host(parts)}{port}"


def _split(address: str) -> SplitResult | None:
    """The parts of an address; None where it has no host, or more than a browser tells of a site."""
    try:
        parts = urlsplit(address)
        _ = parts.port  # raises for what is no number
    except ValueError:
        return None
    more = parts.query or parts.fragment or "@" in parts.netloc or any(letter.isspace() for letter in address)
    return None if more or not parts.hostname or "*" in parts.netloc else parts


def _host(parts: SplitResult) -> str:
    host = parts.hostname or ""
    return f"[{host}]" if ":" in host else host
