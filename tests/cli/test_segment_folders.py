"""`pnpovss segment` over many photos: trees, lists, what is finished, what fails."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

from pnpovss.batch import sources
from tests.support.program_calls import Call, files, save_flag

FAKE = ("--model", "fake", "--without", "dropout,blur,crf")
RED = ("--names", "red", "--out", "out", *FAKE)
PROGRAM = (sys.executable, "-m", "tests.support.program")


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones included, by its path in it."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if not path.is_dir()}


def records(folder: Path) -> set[str]:
    return {name.removesuffix(".json") for name in tree(folder) if name.endswith(".json")}


def test_a_tree_is_mirrored(call: Call, tmp_path: Path):
    for name in ("in/cat.png", "in/a/cat.png", "in/a/b/cat.png", "in/a/b/cat.bmp"):
        save_flag(tmp_path / name)
    done = call("segment", "in", "--recursive", *RED)
    assert done.exit_code == 0, done.output
    assert records(tmp_path / "out") == {"cat", "a/cat", "a/b/cat.png", "a/b/cat.bmp"}
    told = json.loads((tmp_path / "out" / "a" / "b" / "cat.png.json").read_text())
    assert {file["file"] for file in told["files"]} == {"cat.png.labels.png", "cat.png.overlay.png"}


def test_the_output_folder_may_lie_in_the_tree(call: Call, tmp_path: Path):
    save_flag(tmp_path / "in" / "a" / "cat.png")
    for _ in range(2):
        assert call("segment", "in", "-r", "--names", "red", "--out", "in/results", *FAKE).exit_code == 0
    assert records(tmp_path / "in") == {"results/a/cat"}


def test_finished_photos_are_skipped_and_nothing_is_touched(call: Call, tmp_path: Path):
    for name in ("in/1.png", "in/2.png"):
        save_flag(tmp_path / name)
    call("segment", "in", *RED)
    before = tree(tmp_path / "out")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    done = call("segment", "in", "--json", "-", *RED)
    assert done.exit_code == 0
    assert "0 photos done, 2 finished before" in done.stderr
    assert len(json.loads(done.stdout)["results"]) == 2
    assert tree(tmp_path / "out") == before
    assert times == {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--names", "blue"), "other names were asked for"),
        (("--set", "threshold=0.4"), "threshold was 0.15, is 0.4"),
        (("--set", "dropout.passes=2", "--without", "blur,crf"), "dropout was None, is {'passes': 2"),
        (("--presence", "itm:top1"), "presence was None, is itm:top1"),
        (("--heatmaps",), "heat is wanted, too"),
        (("--redo",), "asked for"),
    ],
)
def test_other_wishes_are_told_and_done(call: Call, photo: Path, options: tuple[str, ...], says: str):
    assert call("segment", photo, *RED).exit_code == 0
    model = ("--model", "fake") if "--without" in options else FAKE
    names = () if "--names" in options else ("--names", "red")
    done = call("segment", photo, "--out", "out", *model, *names, *options)
    assert done.exit_code == 0, done.output
    assert f"segmented again: {says}" in done.stdout
    if "--redo" not in options:
        assert "finished before" in call("segment", photo, "--out", "out", *model, *names, *options).stdout


def test_fewer_files_than_there_are_is_no_reason_to_begin_again(call: Call, photo: Path):
    call("segment", photo, "--heatmaps", "--npz", *RED)
    assert "finished before" in call("segment", photo, *RED).stdout


def test_a_photo_that_changed_or_lost_a_file_is_done_again(call: Call, photo: Path, tmp_path: Path):
    call("segment", photo, *RED)
    (tmp_path / "out" / "flag.overlay.png").unlink()
    assert "some of its files are missing" in call("segment", photo, *RED).stdout
    with Image.open(photo) as image:
        image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(photo)
    assert "the photo has changed" in call("segment", photo, *RED).stdout
    with Image.open(tmp_path / "out" / "flag.labels.png") as labels:
        assert np.asarray(labels)[:, [2, 29]].tolist() == [[0, 1]] * 32


def test_a_moved_data_set_is_still_finished(call: Call, tmp_path: Path):
    save_flag(tmp_path / "in" / "a" / "cat.png")
    call("segment", "in", "-r", *RED)
    (tmp_path / "in").rename(tmp_path / "elsewhere")
    assert "finished before" in call("segment", "elsewhere", "-r", *RED).stdout
    assert call("segment", "elsewhere", "-r", "--names", "blue", "--out", "out", *FAKE).exit_code == 0
    assert json.loads((tmp_path / "out" / "a" / "cat.json").read_text())["names"][0]["name"] == "blue"


def test_a_photo_that_comes_later_takes_no_name_from_a_finished_one(call: Call, tmp_path: Path):
    save_flag(tmp_path / "in" / "cat.png")
    (tmp_path / "in" / "dog.png").write_bytes(b"no photo")
    call("segment", "in", *RED)
    before = tree(tmp_path / "out")
    save_flag(tmp_path / "in" / "cat.bmp")
    save_flag(tmp_path / "in" / "dog.bmp")
    done = call("segment", "in", *RED)
    assert "2 photos done, 1 finished before, 1 failed" in done.stderr
    assert records(tmp_path / "out") == {"cat", "cat.bmp", "dog.bmp"}
    assert tree(tmp_path / "out").items() > before.items()
    assert "0 photos done, 3 finished before, 1 failed" in call("segment", "in", *RED).stderr


def test_a_photo_that_goes_leaves_the_names_of_finished_ones(call: Call, tmp_path: Path):
    for name in ("cat.png", "cat.bmp"):
        save_flag(tmp_path / "in" / name)
    call("segment", "in", *RED)
    before = tree(tmp_path / "out")
    (tmp_path / "in" / "cat.bmp").unlink()
    assert "finished before" in call("segment", "in", *RED).stdout
    assert tree(tmp_path / "out") == before


def test_a_photo_of_the_name_of_the_decisions(call: Call, tmp_path: Path):
    save_flag(tmp_path / "in" / "decisions.png")
    call("segment", "in", *RED)
    assert records(tmp_path / "out") == {"decisions.png"}
    assert call("export", "out", "--format", "masks").exit_code == 0
    (tmp_path / "out" / "decisions.json").write_text('{"decisions.png": "drop"}')
    assert "finished before" in call("segment", "in", "--overwrite", *RED).stdout
    assert (tmp_path / "out" / "decisions.json").read_text() == '{"decisions.png": "drop"}'


def test_a_list_of_paths_from_a_file_or_from_standard_input(call: Call, tmp_path: Path):
    save_flag(tmp_path / "in" / "a" / "cat.png")
    save_flag(tmp_path / "b c.png")
    (tmp_path / "list.txt").write_text("in/a/cat.png\n\nb c.png\n")
    assert call("segment", "--from", "list.txt", *RED).exit_code == 0
    assert records(tmp_path / "out") == {"in/a/cat", "b c"}
    done = subprocess.run(
        [*PROGRAM, "segment", "--from", "-", "--names", "red", "--out", "out2", *FAKE],
        input=b"in/a/cat.png\0b c.png\0",
        capture_output=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0, done.stderr
    assert records(tmp_path / "out2") == {"in/a/cat", "b c"}


def test_a_list_with_names_of_its_own(call: Call, tmp_path: Path):
    for name in ("1.png", "2.png", "3.png"):
        save_flag(tmp_path / name)
    entries = (
        {"photo": "1.png", "names": ["red"]},
        {"photo": "2.png", "names": [["blue", "navy"], "green"]},
        {"photo": "3.png", "names": []},
        {"foto": "4.png"},
        {"photo": "1.png", "names": ["green"]},
    )
    (tmp_path / "list.jsonl").write_text("\n".join(map(json.dumps, entries)) + "\nnot there.png\n{broken\n")
    done = call("segment", "--from", "list.jsonl", *RED)
    assert done.exit_code == 1
    told = {
        stem: [name["name"] for name in json.loads((tmp_path / "out" / f"{stem}.json").read_text())["names"]]
        for stem in ("1", "2")
    }
    assert told == {"1": ["red"], "2": ["blue", "green"]}
    for says in (
        "list.jsonl, line 3: no names were given",
        'line 4: b\'{"foto": "4.png"}\' is no entry; expected a path, or {"photo"',
        "1.png: is listed twice; the first entry counts",
        "not there.png does not exist",
        "line 7: no JSON",
    ):
        assert says in done.stderr


def test_many_photos_get_a_line_and_few_a_table(call: Call, tmp_path: Path):
    for i in range(6):
        save_flag(tmp_path / "in" / f"{i}.png")
    done = call("segment", "in", *RED)
    assert done.stdout == ""
    assert done.stderr == "6 photos done\n"
    assert "share of pixels" in call("segment", "in", "--details", "--redo", *RED).stdout
    assert call("segment", "in/1.png", "--no-details", "--redo", *RED).stdout == ""


# What failed is not tried again, unless that is asked for, or anything that it may depend on is otherwise.


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """A good photo and one that breaks off."""
    good = save_flag(tmp_path / "in" / "good.png")
    path = tmp_path / "in" / "bad.png"
    path.write_bytes(good.read_bytes()[:60])
    return path


def failed(call: Call, *options: str) -> str:
    done = call("segment", "in", *RED, *options)
    assert done.exit_code == 1, done.output
    [line] = [line for line in done.stderr.splitlines() if "bad.png" in line]
    return line


BEFORE = "(failed before; --retry-failed tries it again)"


@pytest.mark.usefixtures("broken")
def test_a_failure_is_remembered_and_tried_again_on_request(call: Call, tmp_path: Path):
    first = failed(call)
    assert BEFORE not in first
    note = json.loads((tmp_path / "out" / "bad.failed").read_text())
    assert note["photo"] == str(tmp_path / "in" / "bad.png")
    assert note["error"] == first
    assert failed(call) == f"{first} {BEFORE}"
    assert json.loads((tmp_path / "out" / "bad.failed").read_text()) == note
    for options in (("--retry-failed",), ("--redo",), ("--max-pixels", "5000"), ("--set", "threshold=0.4")):
        assert failed(call, *options) == first
    assert BEFORE in failed(call, "--set", "threshold=0.4")


def test_a_finished_photo_that_was_damaged_for_a_while_has_no_note(call: Call, broken: Path, tmp_path: Path):
    damaged = broken.read_bytes()
    save_flag(broken)
    call("segment", "in", *RED)
    broken.write_bytes(damaged)
    failed(call)
    assert (tmp_path / "out" / "bad.failed").exists()
    save_flag(broken)
    done = call("segment", "in", *RED)
    assert "2 finished before" in done.stderr
    assert not (tmp_path / "out" / "bad.failed").exists()


def test_a_mended_photo_is_tried_again_and_its_note_goes(call: Call, broken: Path, tmp_path: Path):
    failed(call)
    save_flag(broken)
    done = call("segment", "in", *RED)
    assert done.exit_code == 0, done.output
    assert not (tmp_path / "out" / "bad.failed").exists()
    assert records(tmp_path / "out") == {"good", "bad"}


def test_what_is_not_the_photos_fault_is_not_remembered(call: Call, broken: Path, tmp_path: Path):
    broken.unlink()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "good.overlay.png").write_text("precious")
    done = call("segment", "in", "in/bad.png", *RED)
    assert "bad.png does not exist" in done.stderr
    assert "good.overlay.png exists and was not made by this program" in done.stderr
    assert files(tmp_path / "out") == {"good.overlay.png"}


def test_memory_that_ran_out_is_not_remembered(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(image: ImageFile.ImageFile):
        raise MemoryError

    save_flag(tmp_path / "in" / "large.png")
    with monkeypatch.context() as patched:
        patched.setattr(ImageFile.ImageFile, "load", full)
        done = call("segment", "in", *RED)
    assert done.exit_code == 1
    assert "large.png does not fit in memory" in done.stderr
    assert "fewer --workers, or --dtype bfloat16" in done.stderr
    assert files(tmp_path / "out") == set()
    assert call("segment", "in", *RED).exit_code == 0


@pytest.mark.usefixtures("broken")
def test_a_file_of_others_is_no_note(call: Call, tmp_path: Path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "bad.failed").write_text("precious")
    assert failed(call) == failed(call)
    assert (tmp_path / "out" / "bad.failed").read_text() == "precious"


def test_own_names_that_the_model_cannot_read_are_remembered(call: Call, tmp_path: Path):
    save_flag(tmp_path / "1.png")
    (tmp_path / "list.jsonl").write_text(json.dumps({"photo": "1.png", "names": ["red " * 100 + "x"]}))
    for says in ("is too long: 106 tokens", BEFORE):
        done = call("segment", "--from", "list.jsonl", "--out", "out", *FAKE)
        assert done.exit_code == 1
        assert says in done.stderr, done.stderr


# Disks that fill up, photos that come and go.


def test_a_full_disk_costs_the_photos_that_met_it(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("1.png", "2.png", "3.png"):
        save_flag(tmp_path / "in" / name)
    real, written = os.fsync, []

    def full(descriptor: int) -> None:
        written.append(descriptor)
        if len(written) > 4:  # three files a photo
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    done = call("segment", "in", *RED)
    assert done.exit_code == 1
    assert done.stderr.count("No space left on device; check the folder, its permissions and its space") >= 2
    whole = records(tmp_path / "out")
    assert len(whole) <= 1
    assert len(tree(tmp_path / "out")) == 3 * len(whole)
    monkeypatch.setattr(sources, "load_image", real)
    monkeypatch.chdir(tmp_path)
    code = subprocess.run([*PROGRAM, "segment", "in", *RED], capture_output=True, env=environment()).returncode
    assert code == 0
    assert records(tmp_path / "out") == {"1", "2", "3"}


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


@pytest.mark.parametrize("becomes", ["gone", "another", "shorter"])
def test_a_photo_that_vanishes_or_changes_in_the_middle_fails_alone(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, becomes: str
):
    """After its content was summed up, before its pixels are read."""
    for name in ("1.png", "2.png", "3.png"):
        save_flag(tmp_path / "in" / name)
    real = sources.load_image

    def load(photo: str, **options):
        if photo.endswith("2.png"):
            path, content = Path(photo), Path(photo).read_bytes()
            path.unlink()
            if becomes != "gone":
                path.write_bytes(content if becomes == "another" else content[:50])
        return real(photo, **options)

    monkeypatch.setattr(sources, "load_image", load)
    done = call("segment", "in", *RED)
    assert done.exit_code == 1
    assert "2 photos done, 1 failed" in done.stderr
    assert "2.png was changed or removed while it was read; segment it again" in done.stderr
    assert files(tmp_path / "out") == {
        f"{i}{suffix}" for i in (1, 3) for suffix in (".json", ".labels.png", ".overlay.png")
    }
    assert records(tmp_path / "out") == {"1", "3"}
    monkeypatch.setattr(sources, "load_image", real)
    save_flag(tmp_path / "in" / "2.png")
    assert call("segment", "in", *RED).exit_code == 0


def test_a_photo_that_changes_while_it_is_summed_up_is_not_recorded_as_what_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    photo, real = save_flag(tmp_path / "1.png"), sources._content

    def summed_up(path: str) -> str:
        content = real(path)
        with photo.open("ab") as file:
            file.write(b"more")
        return content

    monkeypatch.setattr(sources, "_content", summed_up)
    with pytest.raises(sources.ChangedPhoto):
        sources.source_of(str(photo)).load(10**6)


# One bad argument does not end the run for the others.


def test_names_that_no_disk_takes_or_that_one_disk_confuses(call: Call, tmp_path: Path):
    save_flag(tmp_path / "in" / "a.png")
    save_flag(tmp_path / "in" / "A.PNG")
    save_flag(tmp_path / "in" / ("猫" * 80 + ".png"))
    done = call("segment", "in", "x" * 300 + ".jpg", "--heatmaps", *RED)
    assert done.exit_code == 1
    assert "3 photos done, 1 failed" in done.stderr
    assert "File name too long" in done.stderr
    stems = records(tmp_path / "out")
    assert len({stem.casefold() for stem in stems}) == 3
    assert any(stem.startswith("猫猫") for stem in stems)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_standard_output_does_not_end_the_work(tmp_path: Path):
    for name in ("1.png", "2.png"):
        save_flag(tmp_path / name)
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*PROGRAM, "segment", tmp_path / "1.png", tmp_path / "2.png", "--names", "red", "--out", tmp_path, *FAKE],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 1
    assert "standard output: No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
    assert records(tmp_path) == {"1", "2"}


def test_a_reader_that_goes_away_does_not_end_the_work(tmp_path: Path):
    for i in range(5):
        save_flag(tmp_path / f"{i}.png")
    photos = [str(tmp_path / f"{i}.png") for i in range(5)]
    words = [*PROGRAM, "segment", *photos, "--names", "red", "--out", str(tmp_path), *FAKE]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr is not None
    with process.stderr:
        said = process.stderr.read()
    assert process.wait() == 0, said
    assert "Error" not in said
    assert len(records(tmp_path)) == 5


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("nowhere/all.json", "cannot write nowhere/all.json: No such file or directory"),
        ("flag.png", "flag.png is one of the photos"),
        ("out", "cannot write out: it is a folder"),
        ("out/flag.json", "out/flag.json is where the results of one photo go; choose another file with --json"),
        ("out/../out/flag.labels.png", "is where the results of one photo go"),
        ("s3://bucket/all.json", "--json writes to a disk, and s3://bucket/all.json is a URL; give a path"),
        ("notes.txt", "notes.txt was not made by --json; choose another file, or replace it with --overwrite"),
    ],
)
def test_a_place_for_the_records_that_cannot_be_is_found_before_the_work(
    call: Call, photo: Path, tmp_path: Path, target: str, says: str
):
    (tmp_path / "out").mkdir()
    (tmp_path / "notes.txt").write_text("precious")
    before = tree(tmp_path)
    done = call("segment", photo, "--json", target, *RED)
    assert done.exit_code == 2
    assert says in done.stderr
    assert tree(tmp_path) == before


def test_records_of_an_earlier_run_are_replaced(call: Call, photo: Path, tmp_path: Path):
    for _ in range(2):
        assert call("segment", photo, "gone.jpg", "--json", "all.json", *RED).exit_code == 1
    told = json.loads((tmp_path / "all.json").read_text())
    assert len(told["results"]) == len(told["failures"]) == 1
    assert files(tmp_path) == {"flag.png", "out", "all.json"}


def test_nothing_in_names_or_paths_steers_the_terminal(call: Call, tmp_path: Path):
    evil = "\x1b]0;owned\x07\x1b[2J\x9b31m\r\u202e"
    save_flag(tmp_path / f"{evil}.png")
    done = call(
        "segment", f"{evil}.png", f"gone{evil}.png", "--names", "red", "--json", "-", "--out", f"o{evil}", *FAKE
    )
    assert done.exit_code == 1
    for text in (done.stdout, done.stderr):
        assert not set(text) & set("\x1b\x07\x9b\r\u202e"), repr(text)
    assert f"{evil}.png" in json.loads(done.stdout)["results"][0]["photo"]


def test_a_cluster_needs_its_package_and_knows_its_options(call: Call, photo: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    done = call("segment", photo, "--ray", "auto", *RED)
    assert done.exit_code == 2
    assert "pip install 'pnpovss[ray]'" in done.stderr
    for options in (("--ray", "auto", "--devices", "cpu,cpu"), ("--parquet", "x.parquet")):
        done = call("segment", photo, *options, *RED)
        assert done.exit_code == 2
        assert done.stderr == "error: --devices is for this machine, --parquet for --ray\n"
    done = call("segment", *RED)
    assert done.stderr == "error: name photos, folders or patterns, or a list with --from\n"
