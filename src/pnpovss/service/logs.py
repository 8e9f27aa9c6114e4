"""Logs as lines of JSON, each with the id of its request; no photo, no name that was asked for, no key."""

import json
import logging
import sys
import time
from contextvars import ContextVar
from typing import TextIO

__all__ = ["REQUEST", "JsonLines", "log_to"]

REQUEST: ContextVar[str | None] = ContextVar("request", default=None)
"""The id of the request at hand."""

_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}


class JsonLines(logging.Formatter):
    """A record as one line of JSON: time (UTC), level, logger, message, request, and what was given as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter`."""
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "request": REQUEST.get(),
            **{key: value for key, value in vars(record).items() if key not in _OWN},
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps({key: value for key, value in line.items() if value is not None}, default=str)


def log_to(stream: TextIO | None = None) -> logging.Handler:
    """Send the logs of this package and of the web server, from INFO on, to a stream; stderr if none is given."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines())
    for name in ("pnpovss", "uvicorn", "py.warnings"):
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.propagate = False
        logger.setLevel(logging.INFO)
    logging.captureWarnings(True)
    return handler
