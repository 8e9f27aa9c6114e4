"""Saved segmentations: damaged, with arrays that do not fit, and larger than they look."""

import io
import json
import zipfile
import zlib
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from PIL import Image

from pnpovss.results.segmentation import Segmentation
from tests.fuzz.mutate import change_bytes, change_json
from tests.support.results import hand_made

_KINDS = ("?", "u1", "i1", "u2", "i4", "u8", "f2", "f4", "f8", "c8", "S3", "U9", "O")
_VALUES = (0, 1, 2, 3, 4, 255, -1, 0.5, float("nan"), float("inf"), 1e30)


class Results:
    """What `Segmentation.load` is given; what it takes must be good for every use."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "saved.npz"
        hand_made().save(self._path)
        self._content = self._path.read_bytes()
        with np.load(self._path) as saved:
            self._arrays = {key: saved[key] for key in saved.files}
        self._bomb = _bomb(self._arrays)
        self._photo = Image.new("RGB", (6, 4))

    def run(self, rng: Random, number: int) -> None:
        """One file, read, and made into everything that a result is made into."""
        if number % 200 == 103:
            content = self._bomb if number % 400 == 103 else change_bytes(self._bomb, rng)
        elif number % 8 < 3:
            content = change_bytes(self._content, rng)
        else:
            content = _archive(self._changed(rng))
        self._path.write_bytes(content)
        result = Segmentation.load(self._path)
        result.to_png()
        result.overlay(self._photo)
        result.to_coco_rle()
        result.to_pipeline()
        json.dumps(result.to_dict(), allow_nan=False)
        result.save(self._path)

    def _changed(self, rng: Random) -> dict[str, np.ndarray]:
        arrays = dict(self._arrays)
        for _ in range(rng.randint(1, 2)):
            key = rng.choice(list(arrays) or ["labels"])
            match rng.randrange(7):
                case 0:
                    arrays.pop(key, None)
                case 1:
                    arrays["meta"] = np.array(change_json(json.loads(str(self._arrays["meta"])), rng))
                case 2:
                    shape = tuple(rng.choice((0, 1, 2, 3, 6, 40)) for _ in range(rng.randint(0, 4)))
                    arrays[key] = np.zeros(shape, rng.choice(_KINDS))
                case 3 if arrays[key].dtype.kind in "uif":
                    with np.errstate(all="ignore"):
                        arrays[key] = np.full_like(arrays[key], np.array(rng.choice(_VALUES)).astype(arrays[key].dtype))
                case 4 if arrays[key].dtype.kind in "uif":
                    with np.errstate(all="ignore"):
                        arrays[key] = arrays[key].astype(rng.choice(_KINDS[:-1]))
                case 5:
                    arrays[rng.choice(("x", "../x", "background_score", "words"))] = arrays[key]
                case _:
                    arrays["meta"] = np.array(change_json(json.loads(str(self._arrays["meta"])), rng))
        return arrays


def _archive(arrays: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for key, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=True)
            archive.writestr(f"{key}.npy", member.getvalue())
    return file.getvalue()


def _bomb(arrays: dict[str, np.ndarray]) -> bytes:
    """3 GiB of zeros in 3 MB: one compressed piece, again and again."""
    header, file, size = io.BytesIO(), io.BytesIO(), 3 << 30
    shape = {"descr": "<f4", "fortran_order": False, "shape": (3, 1 << 14, 1 << 14)}
    np.lib.format.write_array_header_1_0(header, shape)
    packer = zlib.compressobj(wbits=-15)
    start = packer.compress(header.getvalue()) + packer.flush(zlib.Z_FULL_FLUSH)
    zeros = packer.compress(bytes(1 << 24)) + packer.flush(zlib.Z_FULL_FLUSH)
    file.write(_archive({key: array for key, array in arrays.items() if key != "scores"}))
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("scores.npy", start + zeros * (size >> 24) + packer.flush())
        member = archive.getinfo("scores.npy")
        member.compress_type, member.file_size = zipfile.ZIP_DEFLATED, len(header.getvalue()) + size
    return file.getvalue()
