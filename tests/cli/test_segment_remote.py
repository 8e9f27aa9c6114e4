"""Photos and results behind URLs: the same files as on a disk, whatever becomes of the process."""

import errno
import http.server
import json
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pnpovss.batch import remote_files
from pnpovss.batch.export.mark import MARK, mark
from pnpovss.batch.filesets import claimed
from pnpovss.batch.photo_files import checksum
from pnpovss.batch.photos import find
from pnpovss.errors import InvalidInputError, MissingExtraError, OutputError
from pnpovss.files.remote import RemoteFolder, is_url, matching, read_url
from tests.support.program_calls import Call, save_flag

fsspec = pytest.importorskip("fsspec")

FAKE = ("--model", "fake", "--without", "dropout,blur,crf")
RED = ("--names", "red", *FAKE)


@pytest.fixture
def store() -> Iterator[dict[str, bytes]]:
    """What a bucket in memory holds, by path."""
    system = fsspec.filesystem("memory")
    system.store.clear()
    yield system.store
    system.store.clear()


def held(below: str) -> dict[str, bytes]:
    system = fsspec.filesystem("memory")
    return {path.removeprefix(below): system.cat_file(path) for path in system.find(below)}


def tree(folder: Path) -> dict[str, bytes]:
    return {
        f"/{path.relative_to(folder).as_posix()}": path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


@pytest.fixture
def photos(tmp_path: Path, store: object) -> Path:
    """Three photos in folders and one that is broken, on the disk and in the bucket."""
    for name in ("1.png", "a/1.png", "a/b/2.png"):
        save_flag(tmp_path / "in" / name)
    (tmp_path / "in" / "a" / "broken.png").write_bytes(b"no photo")
    system = fsspec.filesystem("memory")
    for name, content in tree(tmp_path / "in").items():
        system.pipe_file(f"/bucket/in{name}", content)
    return tmp_path / "in"


def forget_paths(files: dict[str, bytes], prefix: str) -> dict[str, bytes]:
    return {name: content.replace(prefix.encode(), b"IN") for name, content in files.items()}


def test_a_bucket_gives_what_a_folder_gives(call: Call, photos: Path, tmp_path: Path):
    local = call("segment", "in", "-r", "--out", "out", *RED)
    remote = call("segment", "memory://bucket/in", "-r", "--out", "memory://bucket/out", *RED)
    assert local.exit_code == remote.exit_code == 1, remote.output
    assert "3 photos done, 1 failed" in remote.stderr
    mine = forget_paths(held("/bucket/out"), "memory://bucket/in")
    theirs = forget_paths(tree(tmp_path / "out"), str(photos))
    for side in (mine, theirs):
        note = json.loads(side.pop("/a/broken.failed"))
        assert note["photo"] == "IN/a/broken.png"
    assert mine == theirs
    again = call("segment", "memory://bucket/in", "-r", "--out", "memory://bucket/out", *RED)
    assert "0 photos done, 3 finished before, 1 failed" in again.stderr
    assert "(failed before; --retry-failed tries it again)" in again.stderr
    other = call("segment", "memory://bucket/in", "-r", "--out", "memory://bucket/out", "--names", "blue", *FAKE)
    assert "3 photos done, 1 failed" in other.stderr


@pytest.mark.usefixtures("photos")
def test_the_output_folder_may_lie_in_the_bucket(call: Call):
    for _ in range(2):
        done = call("segment", "memory://bucket", "-r", "--out", "memory://bucket/in/a/results", *RED)
        assert done.exit_code == 1, done.output
    assert sum(name.endswith(".json") for name in held("/bucket/in/a/results")) == 3
    assert not call("segment", "memory://bucket/in", "--out", "memory://bucket/out", *RED).exit_code
    assert [name for name in held("/bucket/out") if name.endswith(".json")] == ["/1.json"]
    assert "--recursive looks into its subfolders" in call("segment", "memory://bucket", "--out", "x", *RED).stderr


@pytest.mark.usefixtures("photos")
def test_an_export_in_the_bucket_is_not_searched():
    system = fsspec.filesystem("memory")
    for name in (MARK, "images/a__1.png"):
        system.pipe_file(f"/bucket/in/a/coco/{name}", mark("coco", 1))
    system.pipe_file(f"/bucket/in/a/b/{MARK}", record(OLD))  # of a photo of that name
    found = find(["memory://bucket/in"], recursive=True, out="memory://bucket/out")
    assert [photo.place for photo in found.photos] == ["1.png", "a/1.png", "a/broken.png", "a/b/2.png"]
    found = find(["memory://bucket/in/a/coco"], recursive=True, out="memory://bucket/out")
    assert [photo.place for photo in found.photos] == ["images/a__1.png"]


@pytest.mark.usefixtures("photos")
def test_patterns_files_and_lists(call: Call, tmp_path: Path):
    (tmp_path / "list.jsonl").write_text('{"photo": "memory://bucket/in/a/1.png", "names": ["blue"]}\n')
    done = call("segment", "memory://bucket/in/a/b/2.png", "memory://bucket/**/1.png", "--out", "out", *RED)
    assert done.exit_code == 0, done.output
    stems = {name.removesuffix(".json") for name in tree(tmp_path / "out") if name.endswith(".json")}
    assert stems == {"/2", "/in/1", "/in/a/1"}
    assert call("segment", "--from", "list.jsonl", "--out", "listed", *FAKE).exit_code == 0
    assert "/bucket/in/a/1.json" in tree(tmp_path / "listed")
    missing = call("segment", "memory://bucket/gone.png", "memory://bucket/*.jpg", "--out", "out", *RED)
    assert missing.exit_code == 1
    assert "memory://bucket/gone.png cannot be read: there is no such file" in missing.stderr
    assert "memory://bucket/*.jpg: no photo matches this pattern" in missing.stderr


@pytest.mark.usefixtures("photos")
def test_a_run_behind_a_url_is_exported(call: Call, tmp_path: Path):
    call("segment", "memory://bucket/in", "-r", "--out", "memory://bucket/out", *RED)
    assert "name one with --out" in call("export", "memory://bucket/out", "--format", "voc").stderr
    done = call("export", "memory://bucket/out", "--format", "voc", "--out", "exports")
    assert done.exit_code == 0, done.output
    assert len(list((tmp_path / "exports/voc/JPEGImages").iterdir())) == 3
    fsspec.filesystem("memory").pipe_file("/bucket/out/decisions.json", b'{"a/1": "drop"}')
    call("export", "memory://bucket/out", "--format", "masks", "--out", "exports")
    assert len(list((tmp_path / "exports/masks/labels").rglob("*.png"))) == 2
    fsspec.filesystem("memory").rm("/bucket/in/1.png")
    gone = call("export", "memory://bucket/out", "--format", "voc", "--out", "exports")
    assert "1.png cannot be read: there is no such file; --no-photos exports labels alone, in formats" in gone.stderr
    assert "give the --out folder" in call("export", "memory://bucket/none", "--format", "voc", "--out", "x").stderr


@pytest.fixture
def denied(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Paths in the bucket that the server does not list, nor tell about."""
    from fsspec.implementations.memory import MemoryFileSystem

    paths = set[str]()

    def asked(method: Callable[..., object]) -> Callable[..., object]:
        def answer(system: MemoryFileSystem, path: str, *args: object, **options: object) -> object:
            if system._strip_protocol(path) in paths:
                raise PermissionError(errno.EACCES, "Access Denied", path)
            return method(system, path, *args, **options)

        return answer

    for name in ("ls", "info"):
        monkeypatch.setattr(MemoryFileSystem, name, asked(getattr(MemoryFileSystem, name)))
    return paths


@pytest.mark.usefixtures("photos")
@pytest.mark.parametrize("given", [("memory://bucket/in", "-r"), ("memory://bucket/in/*/*/*.png",)])
def test_a_listing_that_fails_half_way_is_no_end_of_the_listing(call: Call, denied: set[str], given: tuple[str, ...]):
    denied.add("/bucket/in/a/b")
    done = call("segment", *given, "--out", "memory://bucket/out", *RED)
    assert done.exit_code == 2
    assert "memory://bucket/in/a/b cannot be listed: Access Denied; photos there would be missing" in done.stderr
    assert not held("/bucket/out")


@pytest.mark.usefixtures("photos")
@pytest.mark.parametrize("path", ["/bucket/out/a/b", "/bucket/out/a/b/2.labels.png"])
def test_an_export_of_what_is_not_told_whole_fails(call: Call, denied: set[str], path: str, tmp_path: Path):
    call("segment", "memory://bucket/in", "-r", "--out", "memory://bucket/out", *RED)
    denied.add(path)
    done = call("export", "memory://bucket/out", "--format", "voc", "--out", "exports")
    assert done.exit_code == 2
    assert f"memory:/{path}" in done.stderr
    assert "Access Denied" in done.stderr
    assert not (tmp_path / "exports" / "voc").exists()


@pytest.mark.usefixtures("store")
def test_a_folder_holds_neither_itself_nor_what_is_hidden(monkeypatch: pytest.MonkeyPatch):
    from fsspec.implementations.memory import MemoryFileSystem

    def with_itself(system: MemoryFileSystem, path: str, detail: bool = True, ls: Callable = MemoryFileSystem.ls):
        return [{"name": f"{path}/", "size": 0, "type": "file"}, *ls(system, path, detail)]  # as S3's console makes it

    monkeypatch.setattr(MemoryFileSystem, "ls", with_itself)
    system, url = fsspec.filesystem("memory"), "memory://bucket/in"
    for name in ("b/2.png", "a/1.png", ".hidden/3.png", "0.png"):
        system.pipe_file(f"/bucket/in/{name}", b"")
    assert list(RemoteFolder(url).walk()) == [(url, ["0.png"]), (f"{url}/a", ["1.png"]), (f"{url}/b", ["2.png"])]
    assert list(RemoteFolder(url).walk(depth=1)) == [(url, ["0.png"])]
    assert list(RemoteFolder("memory://none").walk()) == [("memory://none", [])]
    assert matching("memory://bucket/**/*.png") == [f"{url}/0.png", f"{url}/a/1.png", f"{url}/b/2.png"]
    assert matching(f"{url}/[a-z]/?.png") == [f"{url}/a/1.png", f"{url}/b/2.png"]
    with pytest.raises(InvalidInputError, match=r"a\*\*/1.png is no pattern"):
        matching("memory://bucket/a**/1.png")


def record(contents: dict[str, bytes]) -> bytes:
    files = [{"kind": "x", "file": f"cat{suffix}", "sha256": checksum(data)} for suffix, data in contents.items()]
    return json.dumps({"format": "pnpovss/2", "photo": "memory://in/cat.jpg", "files": files}).encode()


OLD, NEW = {".a": b"old", ".b": b"old"}, {".b": b"new", ".c": b"new"}


def replace(contents: dict[str, bytes]) -> None:
    with claimed("memory://bucket", "x/cat") as files:
        files.replace(contents, record(contents))


class Killed(BaseException):
    pass


def test_ended_at_every_step_a_set_is_whole_or_absent(store: dict[str, bytes], monkeypatch: pytest.MonkeyPatch):
    states, steps = set(), 0
    for steps in range(100):
        monkeypatch.undo()
        store.clear()
        replace(OLD)
        left = [steps]

        def counted(call, left=left):
            def before(*args):
                left[0] -= 1
                if left[0] < 0:
                    raise Killed
                return call(*args)

            return before

        for name in ("put", "remove"):
            monkeypatch.setattr(remote_files.RemoteFolder, name, counted(getattr(RemoteFolder, name)))
        try:
            replace(NEW)
        except Killed:
            pass
        monkeypatch.undo()
        there = held("/bucket/x")
        if "/cat.json" in there:
            told = json.loads(there["/cat.json"])
            assert all(checksum(there[f"/{file['file']}"]) == file["sha256"] for file in told["files"]), steps
        with claimed("memory://bucket", "x/cat") as files:
            states.add(there.get("/cat.b") if files.record else None)
            files.refuse_foreign([".a", ".b", ".c"], "memory://in/cat.jpg", "digest")
            assert held("/bucket/x") == there, "another process may be writing"
        if steps % 2:
            monkeypatch.setattr(remote_files, "time", lambda: time.time() + 3600)
            with claimed("memory://bucket", "x/cat") as files:
                assert files.record or held("/bucket/x") == {}, steps
        replace(NEW)
        assert held("/bucket/x") == {"/cat.b": b"new", "/cat.c": b"new", "/cat.json": record(NEW)}
        if left[0] >= 0:
            break
    assert 5 < steps < 99
    assert states == {b"old", None, b"new"}


@pytest.mark.usefixtures("store")
def test_of_two_runs_at_one_photo_each_leaves_the_other_its_files(monkeypatch: pytest.MonkeyPatch):
    put = RemoteFolder.put

    def beside(self: RemoteFolder, name: str, content: bytes) -> None:
        put(self, name, content)
        if name == "cat.a":
            with claimed("memory://bucket", "x/cat") as other:  # begins while the first one writes
                other.refuse_foreign([".a", ".b"], "memory://in/cat.jpg", "digest")

    monkeypatch.setattr(RemoteFolder, "put", beside)
    replace(OLD)
    with claimed("memory://bucket", "x/cat") as files:
        assert files.is_complete()
    assert set(held("/bucket/x")) == {"/cat.a", "/cat.b", "/cat.json"}


@pytest.mark.usefixtures("store")
def test_a_run_whose_files_another_one_claims_puts_no_record(monkeypatch: pytest.MonkeyPatch):
    put, others = RemoteFolder.put, [NEW]

    def overtaken(self: RemoteFolder, name: str, content: bytes) -> None:
        put(self, name, content)
        if name == "cat.b" and others:
            replace(others.pop())

    monkeypatch.setattr(RemoteFolder, "put", overtaken)
    with pytest.raises(OutputError, match=r"another run writes memory://bucket/x/cat\.json at the same time"):
        replace(OLD)
    assert held("/bucket/x")["/cat.json"] == record(NEW)


@pytest.mark.usefixtures("store")
def test_what_is_of_others_stays_in_a_bucket():
    fsspec.filesystem("memory").pipe_file("/bucket/x/cat.a", b"precious")
    with (
        claimed("memory://bucket", "x/cat") as files,
        pytest.raises(OutputError, match=r"memory://bucket/x/cat\.a exists"),
    ):
        files.refuse_foreign([".a"], "memory://in/cat.jpg", "digest")
    replace(OLD)
    fsspec.filesystem("memory").pipe_file("/bucket/x/cat.b", b"corrected")
    with claimed("memory://bucket", "x/cat") as files:
        assert files.is_complete()
        with pytest.raises(OutputError, match=r"cat\.b was changed since"):
            files.refuse_foreign([".a", ".b"], "memory://in/cat.jpg", "digest")


def test_where_files_do_not_appear_whole_they_are_moved_into_place(tmp_path: Path):
    folder = RemoteFolder(f"file://{tmp_path}/out")
    folder.put("a/1.txt", b"one")
    folder.put("a/1.txt", b"two")
    assert tree(tmp_path / "out") == {"/a/1.txt": b"two"}
    assert folder.read("a/1.txt") == b"two"
    folder.remove("a/1.txt")
    folder.remove("a/1.txt")
    assert folder.read("a/1.txt") is None
    assert matching(f"file://{tmp_path}/**/*.txt") == []
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write"):
        RemoteFolder(f"file://{tmp_path}/file").put("1.txt", b"")


def test_workers_each_have_their_own_connection(call: Call, photos: Path, tmp_path: Path):
    done = call("segment", f"file://{photos}", "-r", "--out", f"file://{tmp_path}/out", "--workers", "2", *RED)
    assert done.exit_code == 1, done.output
    assert "3 photos done, 1 failed" in done.stderr
    with Image.open(tmp_path / "out" / "a" / "b" / "2.labels.png") as labels:
        assert np.asarray(labels)[:, [2, 29]].tolist() == [[1, 0]] * 32


@pytest.mark.parametrize(
    ("target", "says"),
    [("in/1.png", "in/1.png is one of the photos"), ("out/1.json", "out/1.json is where the results of one photo go")],
)
def test_records_never_replace_what_a_url_of_the_disk_names(
    call: Call, photos: Path, tmp_path: Path, target: str, says: str
):
    (tmp_path / "out").mkdir()
    before = tree(tmp_path)
    done = call(
        *("segment", f"file://{photos}/1.png", "--out", f"file://{tmp_path}/out", "--json", target, "--overwrite"), *RED
    )
    assert done.exit_code == 2, done.output
    assert says in done.stderr
    assert tree(tmp_path) == before


@pytest.fixture
def server(photos: Path) -> Iterator[str]:
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(photos))
    handler.log_message = lambda *args: None  # type: ignore[attr-defined]
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


@pytest.mark.extra("remote")
def test_photos_of_a_web_server(call: Call, server: str, tmp_path: Path):
    done = call("segment", f"{server}/a/b/2.png?size=full", f"{server}/a/gone.png", "--out", "out", *RED)
    assert done.exit_code == 1
    assert "1 photo done, 1 failed" in done.stderr, done.stderr
    assert f"{server}/a/gone.png cannot be read" in done.stderr
    [found] = [json.loads(content) for name, content in tree(tmp_path / "out").items() if name.endswith(".json")]
    assert found["photo"] == f"{server}/a/b/2.png?size=full"
    assert found["photo_sha256"] == checksum((tmp_path / "in/a/b/2.png").read_bytes())


def test_what_needs_a_disk_says_so(call: Call):
    done = call("gallery", "memory://bucket/out")
    assert done.exit_code == 2
    assert "the page works from a disk, and memory://bucket/out is none" in done.stderr
    done = call("segment", "memory://bucket/in", "--out", "memory://bucket/out", "--format", "coco", *RED)
    assert done.exit_code == 2
    assert "--format writes to a disk, and --out is a URL" in done.stderr


def test_what_is_a_url():
    assert all(map(is_url, ("s3://b/a.jpg", "memory://", "gs://x", "https://h/a?b")))
    assert not any(map(is_url, ("a.jpg", "c:/a.jpg", "c://a.jpg", "/a://b", "a:b", Path("x"))))


def test_protocols_that_are_not_there_are_told(call: Call, monkeypatch: pytest.MonkeyPatch):
    done = call("segment", "nowhere://a/b.jpg", "--out", "out", *RED)
    assert done.exit_code == 2
    assert "nowhere://a/b.jpg: Protocol not known: nowhere" in done.stderr
    with pytest.raises(InvalidInputError, match="there is no such file"):
        read_url("memory://nothing/here.jpg")
    monkeypatch.setitem(__import__("sys").modules, "fsspec.core", None)
    with pytest.raises(MissingExtraError, match=r"pnpovss\[remote\]"):
        read_url("memory://nothing/here.jpg")
