"""Files are whole or absent."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pnpovss.errors import OutputError
from pnpovss.files.writing import write_all


def test_writes_and_replaces(tmp_path: Path):
    write_all({tmp_path / "a": b"1", tmp_path / "b": b"2"})
    write_all({tmp_path / "a": b"3"})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"3", "b": b"2"}


def test_the_umask_is_obeyed(tmp_path: Path):
    before = os.umask(0o027)
    try:
        write_all({tmp_path / "a": b"1"})
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640


def test_all_or_nothing(tmp_path: Path):
    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(OutputError, match=r"cannot write .*nowhere/b: No such file"):
        write_all({tmp_path / "a": b"new", tmp_path / "nowhere" / "b": b"new"})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"old"}


def test_a_folder_in_the_place_of_a_file(tmp_path: Path):
    (tmp_path / "a").mkdir()
    with pytest.raises(OutputError, match="cannot write"):
        write_all({tmp_path / "a": b"1"})
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_no_space_leaves_nothing(tmp_path: Path):
    """A limit on file sizes stands in for a full disk: the write stops half way with an OSError."""
    program = (
        "import resource, signal, sys, pathlib\n"
        "from pnpovss.errors import OutputError\n"
        "from pnpovss.files.writing import write_all\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "try:\n"
        "    write_all({folder / 'small': b'1' * 10, folder / 'large': b'1' * 2000})\n"
        "except OutputError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, text=True, check=True)
    assert "large: File too large; check the folder" in done.stdout
    assert list(tmp_path.iterdir()) == []
