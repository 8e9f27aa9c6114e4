"""`pnpovss serve`: the method as a web service, with a page to see with."""

import os
import sys
from typing import Annotated

import typer

from pnpovss.batch.model import ModelChoice
from pnpovss.cli import options
from pnpovss.cli.terminal import consoles, logged_to, readable_errors, say
from pnpovss.errors import MissingExtraError

__all__ = ["serve"]

_MOST = 1e9  # seconds or megabytes; timers and sizes are counted in whole numbers further down


def _countable(value: float) -> float:
    """Not infinite, which `min` lets through."""
    if value > _MOST:
        raise typer.BadParameter(f"{value:g} is more than {_MOST:,.0f}, the most that can be counted")
    return value


def serve(
    host: Annotated[str, typer.Option(help="Address to listen at; 0.0.0.0 for all of this machine's.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8000,
    model: options.Model = "mini",
    preset: options.Preset = "default",
    without: options.Without = None,
    set_: options.Set = None,
    device: options.Device = "auto",
    dtype: options.Dtype = "float32",
    revision: Annotated[str | None, typer.Option(help="Revision of a hub id.")] = None,
    local_files_only: Annotated[bool, typer.Option("--local-files-only", help="Never ask a hub.")] = False,
    workers: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Requests computed at once. Default: one per core; 4 on a GPU."),
    ] = None,
    batch: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Photos encoded together. Default: 8 on a GPU, else 1.")
    ] = None,
    waiting: Annotated[int, typer.Option(min=0, metavar="N", help="Requests that may wait; others are refused.")] = 32,
    seconds: Annotated[
        float, typer.Option(min=1, callback=_countable, help="A request may take so long, waiting included.")
    ] = 60,
    upload_seconds: Annotated[
        float, typer.Option(min=1, callback=_countable, help="A request must have arrived within.")
    ] = 30,
    stop_seconds: Annotated[
        float, typer.Option(min=1, callback=_countable, help="What was accepted is finished within, on a stop.")
    ] = 60,
    max_megabytes: Annotated[float, typer.Option(min=0.1, callback=_countable, help="Refuse larger uploads.")] = 24,
    max_pixels: Annotated[int, typer.Option(min=1, metavar="N", help="Refuse photos with more pixels.")] = 16_000_000,
    max_names: Annotated[int, typer.Option(min=1, max=255, metavar="N", help="Refuse more names at once.")] = 64,
    memory: Annotated[
        float, typer.Option(min=0, callback=_countable, metavar="MB", help="How much is remembered of photos.")
    ] = 512,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(metavar="ORIGIN", help="Another site whose pages may use the API, such as https://example.org."),
    ] = None,
    host_name: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Answer only to requests that call it so.")
    ] = None,
    debug: options.Debug = False,
) -> None:
    """Serve an API for programs and a page for people.

    If PNPOVSS_API_KEY is set in the environment, requests must show that key. SIGTERM or Ctrl-C finishes what was
    accepted, then ends.
    """
    _, notes = consoles(machine_readable=True)
    with readable_errors(notes, debug=debug), logged_to(notes):
        from pnpovss.cli.listed import listed
        from pnpovss.cli.settings import parse_settings

        replaced, off = parse_settings(set_ or []), tuple(listed(without))
        choice = ModelChoice(model, device, dtype, preset, replaced, off, revision, local_files_only)
        from pnpovss.service.limits import Limits
        from pnpovss.service.options import KEY_VARIABLE, ServiceOptions, host_from, keys_from, origin_from

        keys = keys_from(os.environ.get(KEY_VARIABLE, ""))
        origins, hosts = tuple(map(origin_from, allow_origin or ())), tuple(map(host_from, host_name or ()))
        try:
            from pnpovss.service.server import serve as run
        except ImportError as error:
            raise MissingExtraError("The service", "serve") from error
        limits = Limits(
            body_bytes=round(max_megabytes * 1e6),
            pixels=max_pixels,
            names=max_names,
            seconds=seconds,
            upload_seconds=upload_seconds,
            waiting=waiting,
            memory_bytes=round(memory * 1e6),
        )
        how = ServiceOptions(
            host=host,
            port=port,
            keys=keys,
            origins=origins,
            hosts=hosts,
            workers=workers,
            batch=batch,
            limits=limits,
            stop_seconds=stop_seconds,
        )
        ended = run(choice, how, lambda address: say(notes, address))
    if not ended:  # the time to stop is over, and a step that cannot be ended still computes for nobody
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(0)
