"""Which photos are meant, and where their results go."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path, PureWindowsPath

import pytest

from pnpovss.batch import naming
from pnpovss.batch.export.mark import MARK, mark
from pnpovss.batch.lists import parse_list
from pnpovss.batch.naming import Photo, stem_of
from pnpovss.batch.photos import Found, find
from pnpovss.batch.worklist import Worklist
from pnpovss.names import Name


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)


def make(*paths: str):
    for path in paths:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).touch()


def places(found: Found) -> list[str]:
    return [photo.place for photo in found.photos]


def look(*given: str, out: str = "out", recursive: bool = False) -> Found:
    return find(given, out=Path(out), recursive=recursive)


def test_a_folder_gives_what_is_directly_in_it_and_says_how_to_look_deeper():
    make("in/b.jpg", "in/a.PNG", "in/deep/c.jpg", "in/notes.txt", "in/a.labels.png", "other/deep/d.jpg")
    assert places(look("in")) == ["a.PNG", "b.jpg"]
    assert look("other").problems == ["other: no photos in this folder; --recursive looks into its subfolders"]


def test_a_tree_is_mirrored_and_the_output_folder_is_not_searched():
    make("in/z.jpg", "in/a/b/1.jpg", "in/a/2.jpg", "in/out/a/b/1.overlay.png", "in/out/coco/images/1.jpg")
    assert places(look("in", out="in/out", recursive=True)) == ["z.jpg", "a/2.jpg", "a/b/1.jpg"]
    assert places(look("in/out/coco", out="in/out/coco", recursive=True)) == ["images/1.jpg"]


def test_each_photo_counts_once():
    make("in/a.jpg", "in/b.jpg")
    os.symlink("a.jpg", "in/link.jpg")
    assert [photo.path for photo in look("in/a.jpg", "in", "in/*.jpg").photos] == ["in/a.jpg", "in/b.jpg"]


@pytest.mark.timeout(20)
@pytest.mark.parametrize("given", ["in", "in/**/*.jpg", "**/*.jpg", "in/**", "i*/**/deep/../*/*.jpg"])
def test_links_that_go_in_circles_end(given: str):
    """Twelve folders that each link to all others: a walk without a memory takes 12! ways."""
    for i in range(12):
        make(f"in/{i:02}/deep/{i}.jpg")
        for j in range(12):
            os.symlink(f"../../{j:02}", f"in/{i:02}/to{j}")
    os.symlink("..", "in/up")
    found = look(given, recursive=True)
    assert sorted(os.path.basename(place) for place in places(found)) == sorted(f"{i}.jpg" for i in range(12))


def test_linked_folders_are_followed_once():
    make("far/1.jpg", "in/2.jpg")
    os.symlink("../far", "in/a-link")
    os.symlink("../far", "in/b-link")
    assert places(look("in", recursive=True)) == ["2.jpg", "a-link/1.jpg"]


def test_a_link_that_leads_nowhere_costs_nothing_but_itself():
    make("in/1.jpg", "in/a/2.jpg", "in/a/b/3.jpg")
    os.symlink("loop", "in/a/loop")
    os.symlink("loop.jpg", "in/a/loop.jpg")  # a photo, which fails when it is read
    assert places(look("in", recursive=True)) == ["1.jpg", "a/2.jpg", "a/loop.jpg", "a/b/3.jpg"]
    assert places(look("in/a")) == ["2.jpg", "loop.jpg"]
    assert places(look("in/**/*.jpg")) == ["1.jpg", "a/2.jpg", "a/b/3.jpg"]


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[Path]:
    """in/a/locked, which nobody may search, with 2.jpg, beside in/1.jpg; this process is no longer root's."""
    make("in/1.jpg", "in/a/locked/2.jpg")
    folder = tmp_path / "in" / "a" / "locked"
    tmp_path.chmod(0o755)
    folder.chmod(0)
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65534)
    yield folder
    if is_root:
        os.seteuid(0)
    folder.chmod(0o755)


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="folders are locked another way")
@pytest.mark.parametrize(
    ("given", "others"), [("in", ["1.jpg"]), ("in/**/*.jpg", ["1.jpg"]), ("in/**/a/**/*.jpg", []), ("in/a/locked", [])]
)
@pytest.mark.usefixtures("locked")
def test_a_folder_that_cannot_be_searched_is_told(given: str, others: list[str]):
    found = look(given, recursive=True)
    assert places(found) == others
    [problem] = found.problems
    assert problem.startswith("in/a/locked: cannot be searched (Permission denied), photos there are left out")


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("in/*.jpg", ["1.jpg"]),
        ("in/**/*.jpg", ["1.jpg", "a/2.jpg", "a/b/3.jpg"]),
        ("in/**/b/*.jpg", ["a/b/3.jpg"]),
        ("in/a/**", ["2.jpg", "b/3.jpg"]),
        ("**/3.jpg", ["in/a/b/3.jpg"]),
        ("in/?/[2-9].jpg", ["a/2.jpg"]),
        ("in/**/b/**/*.jpg", ["a/b/3.jpg"]),
        ("in/**.jpg", ["1.jpg"]),
        ("in/a**/2.jpg", ["a/2.jpg"]),
        ("in/**/**.jpg", ["1.jpg", "a/2.jpg", "a/b/3.jpg"]),
    ],
)
def test_patterns_mirror_what_follows_their_fixed_part(pattern: str, expected: list[str]):
    make("in/1.jpg", "in/a/2.jpg", "in/a/b/3.jpg")
    found = look(pattern)
    assert sorted(places(found)) == expected
    assert not found.problems


def test_what_this_program_made_is_no_photo():
    ours = "labels overlay instances heat-1-cat figure-heat steps passes".split()
    make("in/a.jpg", "in/a.passes.webp", "in/a.passes.gif", *(f"in/a.{kind}.png" for kind in ours))
    make("in/export/yolo/images/train/a.jpg")
    make("in/export/by-hand/b.jpg")
    Path("in/export/yolo", MARK).write_bytes(mark("yolo", 1))
    Path("in/export/by-hand", MARK).write_text('{"format": "pnpovss/2", "photo": "pnpovss.jpg"}')  # a photo's record
    assert places(look("in", recursive=True)) == ["a.jpg", "export/by-hand/b.jpg"]
    assert places(look("in/**/*.jpg")) == ["a.jpg", "export/by-hand/b.jpg"]
    assert places(look("in/export/yolo", recursive=True)) == ["images/train/a.jpg"]  # asked for by name


@pytest.mark.parametrize(("name", "stem"), [(".hid.jpg", "hid"), ("a/.jpg", "a/jpg"), ("a/...", "a/photo")])
def test_no_results_are_hidden(name: str, stem: str):
    assert stem_of(Photo(name, name, named=True), 0) == stem


def test_what_is_left_out_is_told():
    make("in/a.jpg", "in/b.CR2", "in/c.cr2", "in/d.nef", "in/.hidden.jpg", "in/e.labels.png", "in/f.txt")
    [note] = look("in").notes
    assert note == "in: left out: 2 .cr2, 1 .nef cannot be read (convert them first); 1 hidden"
    make("raw/a.dng")
    assert look("raw").problems[0].startswith("raw: no photos in this folder; left out: 1 .dng cannot be read")


def test_kinds_that_need_something_fail_by_name_and_do_not_vanish():
    """HEIC and JPEG XL count as photos: when they are opened, the message says what reads them."""
    make("in/a.jpg", "in/b.heic", "in/c.jxl")
    assert places(look("in")) == ["a.jpg", "b.heic", "c.jxl"]


def test_names_no_file_can_have_fail_alone():
    long = "x" * 300 + ".jpg"
    assert places(look(long, "a.jpg")) == [long, "a.jpg"]


def test_words_that_are_no_photos():
    make("a.jpg")
    assert look("a.jpg", "rocket", "gone.jpg", "in/cat").words == ["rocket"]


# Where results go.


def output_stems(photos: list[Photo]) -> list[str]:
    worklist = Worklist("out")
    assert all(map(worklist.add, photos))
    tasks = list(worklist.tasks())
    assert [task.photo for task in tasks] == [photo.path for photo in photos]
    assert list(worklist) == photos
    assert len(worklist) == len(photos)
    return [task.stem for task in tasks]


def stems(*photos: str) -> list[str]:
    return output_stems([Photo(path, os.path.basename(path), named=True) for path in photos])


def test_photos_of_one_stem_are_told_apart():
    assert stems("a/cat.png", "dog.png") == ["cat", "dog"]
    assert stems("a/cat.png", "b/cat.png", "b/cat.bmp") == ["a-cat.png", "b-cat.png", "cat.bmp"]


def test_no_record_takes_the_place_of_the_decisions():
    assert stems("in/decisions.jpg", "in/decisions.jpeg") == ["decisions.jpg", "decisions.jpeg"]
    assert stems("in/Decisions.png", "decisions.labels.jpg") == ["Decisions.png", "decisions.labels"]
    assert stems("in/decisions") == ["in-decisions"]
    assert output_stems([Photo("in/a/decisions.jpg", "a/decisions.jpg")]) == ["a/decisions"]


def test_photos_that_differ_by_case_alone_are_told_apart():
    one, other = stems("in/a.jpg", "in/A.JPG")
    assert one.startswith("a.jpg-")
    assert other.startswith("A.JPG-")
    assert one.casefold() != other.casefold()
    assert len(set(stems("in/caf\u00e9.jpg", "in/cafe\u0301.jpg"))) == 2  # one name for some disks


def made(photo: str, stem: str, suffix: str = ".json"):
    make(f"out/{stem}{suffix}")
    told = {"format": "pnpovss/1", "photo": os.path.realpath(photo), "files": [{}], "error": "damaged"}
    Path("out", f"{stem}{suffix}").write_text(json.dumps(told))


def test_of_photos_of_one_stem_that_which_has_results_keeps_it():
    made("b/cat.png", "cat")
    assert stems("a/cat.png", "b/cat.png", "b/cat.bmp") == ["cat.png", "cat", "cat.bmp"]
    made("gone/cat.png", "cat")
    assert stems("a/cat.png", "b/cat.png", "b/cat.bmp") == ["a-cat.png", "b-cat.png", "cat.bmp"]
    made("a/cat.png", "cat.png")
    assert stems("a/cat.png", "b/cat.png", "b/cat.bmp") == ["cat.png", "b-cat.png", "cat.bmp"]
    made("a/Cat.png", "Cat")  # beside cat, or in its place: as the disk has it
    made("b/cat.png", "cat")
    assert stems("a/Cat.png", "b/cat.png")[1] == "cat"


@pytest.mark.parametrize("photo", ["a/cat.png", "cat.jpg.jpg"])
def test_a_photo_keeps_its_stem_where_what_it_was_told_apart_from_is_gone(photo: str):
    others = [other for other in ("b/cat.png", "b/CAT.png", "b/cat.bmp", "cat.jpg.jpg", "a/cat.jpg") if other != photo]
    before = stems(photo, *others)[0]
    assert stems(photo)[0] == photo.rpartition("/")[2].rpartition(".")[0]
    made(photo, before)
    for number in range(len(others)):
        assert stems(*others[:number], photo)[number] == before
    made("b/CAT.png", twin := stems("b/cat.png", "b/CAT.png")[1], ".failed")
    assert stems("b/CAT.png") == [twin]
    made(photo, own := photo.rpartition("/")[2].rpartition(".")[0])
    assert stems(photo) == [own]


def test_a_tree_keeps_its_folders_where_photos_are_gone():
    made("in/a/1.jpg", "a/1.jpg")
    made("elsewhere/a/2.jpg", "a/2.jpg")
    photos = [Photo("in/a/1.jpg", "a/1.jpg"), Photo("in/a/2.jpg", "a/2.jpg"), Photo("in/b/1.jpg", "b/1.jpg")]
    assert output_stems(photos) == ["a/1.jpg", "a/2", "b/1"]


def test_long_names_leave_room_for_suffixes():
    one, other = stems("猫" * 80 + "1.jpg", "猫" * 80 + "2.jpg")
    assert one != other
    assert max(len(os.fsencode(stem)) for stem in (one, other)) + len(".heat-65535-") + 40 + len(".png") <= 255
    assert one.startswith("猫猫")


def test_a_tree_keeps_its_folders():
    photos = [Photo("in/a/1.jpg", "a/1.jpg"), Photo("in/b/1.jpg", "b/1.jpg"), Photo("in/b/1.png", "b/1.png")]
    assert output_stems(photos) == ["a/1", "b/1.jpg", "b/1.png"]


@pytest.mark.parametrize("place", ["../../x.jpg", "/etc/x.jpg", "a/../../x.jpg", "..", "/", ".", "./../x.jpg"])
def test_no_stem_leads_out_of_the_output_folder(place: str):
    [stem] = output_stems([Photo("x.jpg", place)])
    assert Path("out", stem).resolve().is_relative_to(Path("out").resolve())
    assert Path("out", stem).resolve() != Path("out").resolve()


@pytest.mark.parametrize("root", ["C:\\", "C:", "\\\\server\\share\\", "\\", "..\\"])
def test_no_stem_begins_with_a_drive(root: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(naming, "PurePath", PureWindowsPath)
    place = f"{root}photos\\cat.jpg"
    assert stem_of(Photo(place, place), 0) == "photos/cat"


def test_a_worklist_takes_each_photo_once_and_grows_after_it_was_read():
    worklist = Worklist("out")
    names = (Name("cat"), Name("sofa", ("couch",)))
    assert worklist.add(Photo("a/1.jpg", "1.jpg", names=names))
    assert not worklist.add(Photo("a/../a/1.jpg", "1.jpg"))
    assert worklist.all_bring_names
    assert [task.stem for task in worklist.tasks()] == ["1"]
    assert worklist.add(Photo("b/\udcff1.png", "\udcff1.png"))  # bytes that are no text
    assert worklist.add(Photo("b/1.png", "1.png"))
    assert not worklist.all_bring_names
    assert [(task.stem, task.names) for task in worklist.tasks()] == [
        ("1.jpg", names),
        ("\udcff1", None),
        ("1.png", None),
    ]


MANY = """
import tracemalloc
from pnpovss.batch.naming import Photo
from pnpovss.batch.worklist import Worklist
worklist = Worklist("out")
tracemalloc.start()
for i in range(10_000):
    worklist.add(Photo(f"in/{i}/cat.jpg", "cat.jpg"))
assert sum(1 for _ in worklist.tasks()) == len({task.stem for task in worklist.tasks()}) == 10_000
print(tracemalloc.get_traced_memory()[0])
"""


def test_memory_does_not_grow_with_the_photos():
    """10,000 photos whose results want the same name, in as many folders; alone, for checks of types hold memory."""
    done = subprocess.run([sys.executable, "-c", MANY], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 200 * 10_000


def test_a_list_is_read_as_it_comes():
    entries = b"".join(b"%0120d.jpg\r\n" % i for i in range(10_000))  # more than one block
    found = list(parse_list(io.BytesIO(b"\xef\xbb\xbf" + entries + b'{"photo": ""}'), "list"))
    assert [photo.path for photo in found[:-1]] == [f"{i:0120}.jpg" for i in range(10_000)]  # type: ignore[union-attr]
    assert str(found[-1]).startswith('list, line 10001: b\'{"photo": ""}\' is no entry')
    assert [photo.path for photo in parse_list(io.BytesIO(b"a\nb.jpg\0c.jpg\0"), "list")] == ["a\nb.jpg", "c.jpg"]
