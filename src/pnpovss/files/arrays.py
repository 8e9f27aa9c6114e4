"""Arrays in .npz files, as far as all who read them share it."""

import struct
import tokenize
import zipfile
import zlib

__all__ = ["DAMAGE"]

# What zipfile, zlib and NumPy's reader of headers, which parses Python, raise on damaged data.
DAMAGE: tuple[type[Exception], ...] = (
    *(OSError, EOFError, MemoryError, OverflowError, RuntimeError, SyntaxError, ValueError),
    *(struct.error, tokenize.TokenError, zipfile.BadZipFile, zlib.error),
)
