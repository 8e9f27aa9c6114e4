"""The program with a model whose attention is set by hand, to be run as a process of its own: program.py segment ..."""

import os
import signal
import time

from pnpovss.backbones.registry import register
from pnpovss.batch import sources
from pnpovss.cli.main import run
from tests.support.fakes import colour_backbone, fake_spec


def _hinder(pause: str | None, deadly: str | None) -> None:
    """Let each photo take some seconds longer, and let photos of one file name kill the process."""
    real = sources.load_image

    def load(photo, **options):
        time.sleep(float(pause or 0))
        if os.path.basename(photo) == deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(photo, **options)

    sources.load_image = load


if __name__ == "__main__":
    # A shell starts jobs in the background deaf to SIGINT, and tests may run in one: hear it all the same.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    register(fake_spec(colour_backbone()))
    _hinder(os.environ.get("PNPOVSS_TEST_PAUSE"), os.environ.get("PNPOVSS_TEST_DEADLY"))
    run()
