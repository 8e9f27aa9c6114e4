"""The files of one photo: a complete set of one run, or none, whenever the process is killed."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pnpovss.batch import filesets
from pnpovss.batch.filesets import claimed
from pnpovss.batch.photo_files import checksum
from pnpovss.errors import OutputError


def record(photo: str, contents: dict[str, bytes], name: str = "cat") -> bytes:
    files = [{"kind": "x", "file": f"{name}{suffix}", "sha256": checksum(data)} for suffix, data in contents.items()]
    return json.dumps({"format": "pnpovss/2", "photo": photo, "files": files}).encode()


def write(out: Path, contents: dict[str, bytes], photo: str = "/a/cat.jpg", *, check: bool = True):
    with claimed(out, "cat") as files:
        if check:
            files.refuse_foreign(contents, photo, checksum(photo.encode()))
        files.replace(contents, record(photo, contents))


def there(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def complete(contents: dict[str, bytes], photo: str = "/a/cat.jpg") -> dict[str, bytes]:
    """What a folder holds that holds this set and nothing else."""
    return {**{f"cat{suffix}": data for suffix, data in contents.items()}, "cat.json": record(photo, contents)}


def whole(folder: Path) -> bool:
    """A record, and each file with the content that it tells."""
    told = json.loads((folder / "cat.json").read_bytes())
    return all(checksum((folder / file["file"]).read_bytes()) == file["sha256"] for file in told["files"])


OLD = {".labels.png": b"old", ".heat-1-cat.png": b"old heat", ".heat-2-dog.png": b"other heat"}
NEW = {".labels.png": b"new", ".heat-2-dog.png": b"new heat", ".npz": b"new scores"}


def test_a_set_takes_the_place_of_another_and_nothing_of_it_stays(tmp_path: Path):
    write(tmp_path, OLD)
    write(tmp_path, NEW)
    assert there(tmp_path) == complete(NEW)


def test_others_files_stay(tmp_path: Path):
    (tmp_path / "cat.labels.png").write_bytes(b"precious")
    with pytest.raises(OutputError, match=r"cat\.labels\.png exists and was not made by this program"):
        write(tmp_path, NEW)
    assert there(tmp_path) == {"cat.labels.png": b"precious"}
    write(tmp_path, NEW, check=False)
    assert whole(tmp_path)


def test_another_photos_results_stay(tmp_path: Path):
    write(tmp_path, OLD)
    before = there(tmp_path)
    with pytest.raises(OutputError, match=r"was made from /a/cat\.jpg"):
        write(tmp_path, NEW, "/b/cat.jpg")
    assert there(tmp_path) == before


def test_what_was_changed_by_hand_stays(tmp_path: Path):
    write(tmp_path, OLD)
    (tmp_path / "cat.labels.png").write_bytes(b"corrected")
    with pytest.raises(OutputError, match=r"cat\.labels\.png was changed since it was made; choose another"):
        write(tmp_path, NEW)
    assert (tmp_path / "cat.labels.png").read_bytes() == b"corrected"


def test_two_processes_never_work_on_one_photo(tmp_path: Path):
    program = (
        "import sys, pathlib\n"
        "from pnpovss.batch.filesets import claimed\n"
        "with claimed(pathlib.Path(sys.argv[1]), 'cat'):\n"
        "    print('mine', flush=True); sys.stdin.read()\n"
    )
    held = subprocess.Popen([sys.executable, "-c", program, tmp_path], stdin=-1, stdout=-1, text=True)
    assert held.stdout is not None
    assert held.stdout.readline() == "mine\n"
    with pytest.raises(OutputError, match="is being written by another process"):
        write(tmp_path, NEW)
    with claimed(tmp_path, "dog"):
        pass
    held.kill()
    held.communicate()
    write(tmp_path, NEW)
    assert whole(tmp_path)


# A process that is killed just before its n-th call to the system that changes a file.
KILLED = """
import os, pathlib, signal, sys
sys.path.insert(0, sys.argv[3])
from tests.batch import test_filesets as sets
left = int(sys.argv[2])
def counted(call):
    def before(*args, **options):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*args, **options)
    return before
for name in ("open", "write", "replace", "unlink", "ftruncate", "fsync"):
    setattr(os, name, counted(getattr(os, name)))
for name in ("replace", "unlink"):
    setattr(pathlib.Path, name, counted(getattr(pathlib.Path, name)))
sets.write(pathlib.Path(sys.argv[1]), sets.NEW, photo=sys.argv[4], check=False)
"""


@pytest.mark.parametrize("photo", ["/a/cat.jpg", "/b/cat.jpg"])
def test_killed_at_every_step_a_set_is_whole_or_absent_and_never_refused_afterwards(tmp_path: Path, photo: str):
    """Of the same photo, and of another one with --overwrite: at each step where anything changes on the disk."""
    root = Path(__file__).parents[2]
    done, states = False, set()
    for step in range(200):
        folder = tmp_path / str(step)
        folder.mkdir()
        write(folder, OLD)
        call = [sys.executable, "-c", KILLED, folder, str(step), root, photo]
        code = subprocess.run(call, capture_output=True).returncode
        assert code in (0, -signal.SIGKILL)
        if (folder / "cat.json").exists():
            assert whole(folder), step
            states.add((folder / "cat.labels.png").read_bytes())
        with claimed(folder, "cat") as files:
            assert (files.record is None) == (not (folder / "cat.json").exists())
            if files.record is None:
                states.add(b"")
                assert [name for name in there(folder) if not name.startswith(".")] == [], step
        if files.record is None or files.record["photo"] == photo:
            write(folder, NEW, photo)
            assert there(folder) == complete(NEW, photo)
        else:
            assert whole(folder)
            assert len(there(folder)) == len(OLD) + 1
        if code == 0:
            done = True
            break
    assert done
    assert states == {b"old", b"", b"new"}, "kills before, during and after the change"


def test_a_write_that_fails_half_way_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write(tmp_path, OLD)
    real, calls = Path.replace, []

    def fails(self: Path, target: Path) -> Path:
        calls.append(target)
        if len(calls) == 2:
            raise OSError(5, "Input/output error")
        return real(self, target)

    monkeypatch.setattr(Path, "replace", fails)
    with pytest.raises(OutputError, match="Input/output error"):
        write(tmp_path, NEW)
    monkeypatch.undo()
    assert not (tmp_path / "cat.json").exists()
    write(tmp_path, NEW)
    assert whole(tmp_path)


def test_hidden_names_are_short(tmp_path: Path):
    assert len(filesets._hidden("x" * 400)) < 40
    assert os.sep not in filesets._hidden("a/b")
