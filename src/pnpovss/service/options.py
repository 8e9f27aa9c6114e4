"""How the service is run."""

import os
from dataclasses import dataclass, field
from ipaddress import ip_address

from pnpovss.errors import ConfigError
from pnpovss.service.limits import Limits

__all__ = ["KEY_VARIABLE", "ServiceOptions", "is_loopback", "keys_from"]

KEY_VARIABLE = "PNPOVSS_API_KEY"
SHORTEST_KEY = 16  # letters


@dataclass(frozen=True)
class ServiceOptions:
    """How the service is run; the model and its settings are told apart.

    Attributes:
        host: address that it listens at.
        port: of it; 0 takes a free one.
        keys: any of which a client has to show; empty lets everybody in.
        origins: other web sites ("https://example.org") whose pages may use the API.
        hosts: names it is called by; empty takes any, or the usual ones where only this machine reaches it.
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
