"""The program with a model whose attention is set by hand, to be run as a process of its own: program.py segment ..."""

import signal

from pnpovss.backbones.base import register
from pnpovss.cli.main import run
from tests.support.fakes import colour_backbone, fake_spec

if __name__ == "__main__":
    # A shell starts jobs in the background deaf to SIGINT, and tests may run in one: hear it all the same.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    register(fake_spec(colour_backbone()))
    run()
