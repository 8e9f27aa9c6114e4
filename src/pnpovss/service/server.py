"""The service as a process: it listens, answers until it is told to stop, and finishes what it accepted."""

import logging
import signal
import socket
from collections.abc import Callable

import uvicorn

from pnpovss.batch.model import ModelChoice
from pnpovss.errors import InvalidInputError
from pnpovss.service.app import make_app
from pnpovss.service.logs import log_to
from pnpovss.service.options import KEY_VARIABLE, ServiceOptions, is_loopback
from pnpovss.service.state import Service

__all__ = ["serve"]

logger = logging.getLogger(__name__)

IDLE_SECONDS = 15  # until an idle connection is closed
WAITING_CONNECTIONS = 2048


def serve(choice: ModelChoice, options: ServiceOptions, told: Callable[[str], None] = lambda address: None) -> bool:
    """Serve until SIGTERM or Ctrl-C; then finish what was accepted, at most `options.stop_seconds`.

    Args:
        choice: of the model and its settings.
        options: how it is run.
        told: given the address of the page, once it listens.

    Returns:
        Whether all has ended. If not, threads still compute what was given up; they are daemons, but the end of the
        interpreter waits for those of the Dense CRF, and may crash those in native code: leave by `os._exit`.

    Raises:
        InvalidInputError: the address is taken, or may not be used.
        PnpOvssError: the model cannot be had.
    """
    log_to()
    if not options.keys and not is_loopback(options.host):
        logger.warning("anybody who reaches %s may use this service: set %s", options.host, KEY_VARIABLE)
    service = Service(choice, options)
    config = uvicorn.Config(
        make_app(service),
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="on",
        backlog=WAITING_CONNECTIONS,
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=max(1, round(options.stop_seconds)),
    )
    server = _Server(config, service)

    def give_up() -> None:
        server.should_exit = True

    service.on_failure = give_up
    listening = _listen(options.host, options.port)
    host, port = listening.getsockname()[:2]
    told(f"http://{f'[{host}]' if ':' in host else host}:{port}/")
    # A signal ends the server, and the server raises it again at its end: that was all there is to do.
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        server.run([listening])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        listening.close()
    if service.failed is not None:
        raise service.failed
    return not service.is_busy


class _Server(uvicorn.Server):
    """Tells the service when its time to stop begins: before the clients are waited for, not after."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's own."""
        self._service.told_to_stop()
        await super().shutdown(sockets)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=WAITING_CONNECTIONS)
    except (OSError, UnicodeError) as error:  # UnicodeError: a name that no address can have
        reason = getattr(error, "strerror", None) or error
        raise InvalidInputError(
            f"cannot listen at {host}:{port}: {reason}; take an address of this machine, and a port that is free "
            "(--port 0 finds one)"
        ) from error
