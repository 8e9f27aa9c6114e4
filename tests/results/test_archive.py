"""Files that lie about what they hold are refused before they are unpacked."""

import io
import json
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pnpovss.errors import InvalidInputError
from pnpovss.results.segmentation import Segmentation
from tests.support.results import hand_made

Members = dict[str, np.ndarray]


def members(result: Segmentation) -> Members:
    with np.load(io.BytesIO(result.npz_bytes())) as file:
        return {name: file[name] for name in file.files}


def npz(path: Path, **changes: Any) -> Path:
    """A saved segmentation with some arrays replaced, or left out where they are None."""
    arrays = {**members(hand_made()), **changes}
    np.savez_compressed(path, **{name: array for name, array in arrays.items() if array is not None})
    return path


def npz_meta(path: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    """A saved segmentation with its meta data changed."""
    meta = json.loads(str(members(hand_made())["meta"]))
    told = change(meta)
    return npz(path, meta=np.array(json.dumps(meta if told is None else told)))


def npy(dtype: str, shape: tuple[int, ...], data: bytes = b"", header: bytes | None = None) -> bytes:
    """A .npy file that announces what it likes."""
    text = header if header is not None else repr({"descr": dtype, "fortran_order": False, "shape": shape}).encode()
    return b"\x93NUMPY\x02\x00" + struct.pack("<I", len(text)) + text + data


def zipped(path: Path, name: str, content: bytes, compression: int = zipfile.ZIP_DEFLATED) -> Path:
    """A saved segmentation of which one member is replaced by these bytes."""
    whole = members(hand_made())
    with zipfile.ZipFile(path, "w", compression) as archive:
        for member, array in whole.items():
            file = io.BytesIO()
            np.save(file, array)
            archive.writestr(f"{member}.npy", content if member == name else file.getvalue())
    return path


def refused(path: Path, message: str, **options: Any) -> None:
    with pytest.raises(InvalidInputError, match=rf"is no saved segmentation: .*{message}"):
        Segmentation.load(path, **options)


BOMB = """
import resource, sys
from pnpovss.errors import InvalidInputError
from pnpovss.results.segmentation import Segmentation
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    Segmentation.load(sys.argv[1])
except InvalidInputError as error:
    print(error, file=sys.stderr)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_a_zip_bomb_is_not_unpacked(tmp_path: Path):
    """4 GiB of zeros in 4 MB: a process that is asked to load them takes less than 50 MiB for it."""
    path, start = tmp_path / "bomb.npz", npy("<f4", (1, 1 << 15, 1 << 15))
    squeeze = zlib.compressobj(9, wbits=-15)
    head = squeeze.compress(start) + squeeze.flush(zlib.Z_FULL_FLUSH)
    zeros = squeeze.compress(bytes(1 << 22)) + squeeze.flush(zlib.Z_FULL_FLUSH)  # can be said again and again
    raw_zip(path, b"scores.npy", head + (1 << 10) * zeros + squeeze.flush(), size=len(start) + (1 << 32))
    done = subprocess.run([sys.executable, "-c", BOMB, path], capture_output=True, text=True, check=True)
    assert "more than the limit of 1,073,741,824" in done.stderr
    assert int(done.stdout) < 50


def raw_zip(path: Path, name: bytes, packed: bytes, size: int) -> None:
    """A zip64 file of one member, with the sizes that its headers are told, and complete otherwise."""
    sizes = struct.pack("<HHQQ", 1, 16, size, len(packed))
    common = struct.pack("<HHHHHIIIHH", 45, 0, 8, 0, 33, 0, 0xFFFFFFFF, 0xFFFFFFFF, len(name), len(sizes))
    local = b"PK\x03\x04" + common + name + sizes
    directory = b"PK\x01\x02\x2d\x00" + common + bytes(14) + name + sizes
    place = len(local) + len(packed)
    end = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 1, 1, len(directory), place, 0)
    path.write_bytes(local + packed + directory + end)


def test_the_limit_is_an_argument(tmp_path: Path):
    hand_made().save(tmp_path / "good.npz")
    refused(
        tmp_path / "good.npz",
        r"it unpacks to [\d,]+ bytes, more than the limit of 1,000 \(max_bytes=\)",
        max_bytes=1000,
    )
    assert Segmentation.load(tmp_path / "good.npz", max_bytes=100_000).names


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (npy("<f4", (3, 4, 6), bytes(10)), "announces"),
        (npy("<f4", (3, 40_000, 60_000), bytes(10)), "announces"),
        (npy("|O", (1,), b"(lp0\n."), "values of type object"),
        (npy("<f4", (), b"", b"{" * 9000), "."),
        (npy("<f4", (), b"", b" " * 200_000_000), "header"),
        (b"\x93NUMPY\x09\x00" + bytes(20), "header|format|version"),
        (npy("<f4", (), b"", repr({"descr": "<f4", "fortran_order": False, "shape": (0, 10**30)}).encode()), "."),
        (b"not an array at all", "magic string"),
        (b"", "."),
    ],
)  # fmt: skip
def test_arrays_that_lie(tmp_path: Path, content: bytes, message: str):
    refused(zipped(tmp_path / "file.npz", "scores", content), message)


def test_ways_of_packing_that_numpy_does_not_write(tmp_path: Path):
    refused(zipped(tmp_path / "file.npz", "", b"", zipfile.ZIP_LZMA), "packed in a way")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": np.zeros((3, 6), np.uint8)}, "scores are float32 of shape"),
        ({"labels": np.full((4, 6), 9, np.uint8)}, "labels hold 9"),
        ({"labels": np.zeros((4, 6), np.int64)}, "labels are int64"),
        ({"labels": np.zeros((4, 6), ">u2")}, "labels are"),
        ({"scores": np.full((3, 4, 6), np.nan, np.float32)}, "scores range from nan"),
        ({"scores": np.full((3, 4, 6), 7, np.float32)}, "scores range from 7"),
        ({"scores": None}, "it lacks scores"),
        ({"meta": None}, "it lacks meta"),
        ({"background_score": None}, "labels hold 0"),
        ({"background_score": np.ones((4, 7), np.float32)}, "background scores are"),
        ({"name_heatmaps": np.zeros((2, 2, 2), np.float32)}, "2 heat maps for 3"),
        ({"word_heatmaps": np.zeros((8, 3, 2), np.float32)}, "heat maps of words"),
        ({"extra": np.zeros(3)}, "it holds 'extra.npy'"),
        ({"labels": np.array(["a", "b"])}, "labels are <U1"),
        ({"meta": np.array("[1")}, "no JSON"),
        ({"meta": np.array(["{}"])}, "meta.npy holds"),
        ({"meta": np.zeros((), np.float32)}, "meta.npy holds"),
    ],
)
@pytest.mark.wrong_types
def test_arrays_that_do_not_fit(tmp_path: Path, changes: dict[str, Any], message: str):
    refused(npz(tmp_path / "file.npz", **changes), message)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda meta: [1], "format"),
        (lambda meta: meta.update(format="pnpovss/1"), "it has format 'pnpovss/1', this version reads 'pnpovss/2'"),
        (lambda meta: meta.update(match=float("nan")), "NaN is no number"),
        (lambda meta: meta.update(match=7), "match is 7"),
        (lambda meta: meta.update(match="high"), "match: "),
        (lambda meta: meta.update(kept=[0, 1, 7]), r"kept is \(0, 1, 7\)"),
        (lambda meta: meta.update(kept=None), "kept: "),
        (lambda meta: meta.update(names=[["cat"], ["cat"], ["dog"]]), "names: .*named twice"),
        (lambda meta: meta.update(names=[[], ["sofa"], ["dog"]]), "names: "),
        (lambda meta: meta.update(names="cat"), "names: "),
        (lambda meta: meta.update(words=["a"] * 9), "heat maps of words"),
        (lambda meta: meta.update(surprise=1), "surprise: "),
        (lambda meta: meta.pop("provenance") and None, "provenance: "),
        (lambda meta: meta["provenance"].update(surprise=1), "provenance.surprise: "),
        (lambda meta: meta["provenance"]["config"].update(threshold=5), "provenance.config.threshold: "),
    ],
)
def test_meta_data_that_does_not_fit(tmp_path: Path, change: Callable[[dict[str, Any]], Any], message: str):
    refused(npz_meta(tmp_path / "file.npz", change), message)


def test_nothing_but_the_result_is_in_a_file(monkeypatch: pytest.MonkeyPatch):
    def as_before_2_2(file: Any, **arrays: Any) -> None:  # NumPy, which took every keyword for an array
        with zipfile.ZipFile(file, "w") as archive:
            for name, array in arrays.items():
                with archive.open(f"{name}.npy", "w") as member:
                    np.save(member, array)

    usual = members(hand_made()).keys()
    monkeypatch.setattr(np, "savez_compressed", as_before_2_2)
    assert members(hand_made()).keys() == usual


def test_a_file_with_a_keyword_of_numpy_among_its_arrays_is_read(tmp_path: Path):
    path = tmp_path / "file.npz"
    hand_made().save(path)
    with zipfile.ZipFile(path, "a") as archive, archive.open("allow_pickle.npy", "w") as member:
        np.save(member, np.array(False))
    again = Segmentation.load(path)
    assert again.to_dict() == hand_made().to_dict()


def test_a_member_twice_is_refused(tmp_path: Path):
    hand_made().save(tmp_path / "file.npz")
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(tmp_path / "file.npz", "a") as archive:
        archive.writestr("labels.npy", b"other")
    refused(tmp_path / "file.npz", "it holds 'labels.npy', or holds it twice")


def test_no_cut_or_flipped_byte_raises_anything_else(tmp_path: Path):
    """Every byte of a saved file is changed once, and the file is cut there once."""
    result, path = hand_made(), tmp_path / "file.npz"
    whole = result.npz_bytes()
    loaded = 0
    for place in range(0, len(whole), 7):
        for content in (whole[:place], whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :]):
            path.write_bytes(content)
            try:
                again = Segmentation.load(path)
            except InvalidInputError:
                continue
            loaded += 1  # a date, or the like
            assert again.to_dict() == result.to_dict()
    assert loaded < len(whole) / 7
