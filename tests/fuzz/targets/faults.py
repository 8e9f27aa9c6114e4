"""A target that does all that none should, by number; the hunt is tested on it."""

import os
import time
from pathlib import Path
from random import Random

from pnpovss.errors import ImageError


class Faults:
    """See the module."""

    def __init__(self, folder: Path) -> None:
        self._kept = bytearray()

    def run(self, rng: Random, number: int) -> None:
        """0 is well, 1 is refused, 2 and 3 are foreign, 4 dies, 5 never ends, 6 holds 300 MB, 7 held them."""
        match number:
            case 1:
                raise ImageError("no photo")
            case 2:
                raise KeyError("foreign")
            case 3:
                raise BaseException("a panic")
            case 4:
                os.abort()
            case 5:
                time.sleep(1000)
            case 6:
                self._kept = bytearray(300_000_000)
                self._kept[::4096] = bytes(len(range(0, len(self._kept), 4096)))
                time.sleep(1000)
            case 7:
                held = bytearray(300_000_000)
                held[::4096] = bytes(len(range(0, len(held), 4096)))
