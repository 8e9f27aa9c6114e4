"""`pnpovss export`, and `segment --format`."""

import json
from pathlib import Path

from tests.support.program_calls import Call, save_flag

FAKE = ("--model", "fake", "--without", "dropout,blur,crf")


def test_a_run_is_exported_at_its_end_or_later(call: Call, tmp_path: Path):
    for name in ("in/1.png", "in/a/1.png"):
        save_flag(tmp_path / name)
    done = call("segment", "in", "-r", "--names", "red, blue", "--out", "out", "--format", "coco", *FAKE)
    assert done.exit_code == 0, done.output
    assert "out/export/coco: 2 photos, 2 names" in done.stdout
    told = json.loads((tmp_path / "out/export/coco/annotations.json").read_text())
    assert len(told["images"]) == 2
    again = call("export", "out", "--format", "yolo", "--format", "coco", "--out", "elsewhere")
    assert again.exit_code == 0, again.output
    assert json.loads((tmp_path / "elsewhere/coco/annotations.json").read_text()) == told
    assert (tmp_path / "elsewhere/yolo/data.yaml").exists()
    bare = call("export", "out", "--format", "masks,labelme", "--no-photos", "--out", "bare")
    assert bare.exit_code == 2
    assert "labelme is of use only with the photos in it" in bare.stderr
    assert not (tmp_path / "bare").exists()


def test_what_an_export_holds_is_no_photo_of_the_next_run(call: Call, tmp_path: Path):
    save_flag(tmp_path / "in" / "1.png")
    for _ in range(2):
        done = call("segment", "in", "-r", "--names", "red", "--out", "in/out", "--format", "yolo", *FAKE)
        assert done.exit_code == 0, done.output
        assert "in/out/export/yolo: 1 photos" in done.stdout


def test_wrong_requests(call: Call, photo: Path):
    done = call("segment", photo, "--names", "red", "--format", "dota", "--model", "no-such-model")
    assert done.exit_code == 2
    assert "unknown format 'dota'; known: masks" in done.stderr
    assert ". holds no finished photos; give the --out folder" in call("export", ".", "--format", "coco").stderr
    assert "nowhere is no folder; give the --out folder" in call("export", "nowhere", "--format", "coco").stderr


def test_what_cannot_be_exported_is_told_before_the_model_loads(call: Call, photo: Path, tmp_path: Path):
    (tmp_path / "out/export/coco").mkdir(parents=True)
    mine = tmp_path / "out/export/coco/mine.txt"
    mine.write_text("precious")
    command = ("segment", photo, "--out", "out", "--overwrite", "--model", "no-such-model")
    done = call(*command, "--names", "red", "--format", "coco")
    assert done.exit_code == 2
    assert "out/export/coco is not of this program" in done.stderr
    assert "pnpovss export out --format coco --overwrite" in " ".join(done.stderr.split())
    assert mine.read_text() == "precious"
    names = ", ".join(f"thing {number}" for number in range(255))
    assert "VOC masks hold 254 names at most" in call(*command, "--names", names, "--format", "voc").stderr
    (tmp_path / "list.jsonl").write_text(json.dumps({"photo": "flag.png", "names": names.split(", ")}))
    listed = call(*command[:1], "--from", "list.jsonl", *command[2:], "--format", "voc")
    assert "VOC masks hold 254 names at most" in listed.stderr


def test_names_of_earlier_results_that_a_format_cannot_hold_are_told_before_the_work(
    call: Call, photo: Path, tmp_path: Path
):
    """Those that the run makes anew do not count."""
    save_flag(tmp_path / "other.png")
    command = ("--out", "out", "--presence", "all", *FAKE)
    assert call("segment", "other.png", "--names", "red, scale 1:5", *command).exit_code == 0
    done = call("segment", photo, "--names", "red", "--format", "voc", *command)
    assert done.exit_code == 2
    said = " ".join(done.stderr.split())
    assert "'scale 1:5'" in said
    assert "some names are of earlier results in out, which are exported, too: give another --out" in said
    assert not (tmp_path / "out/flag.json").exists()
    anew = call("segment", photo, "other.png", "--names", "red, blue", "--format", "voc,coco", *command)
    assert anew.exit_code == 0, anew.output
    assert "out/export/voc: 2 photos, 2 names" in anew.stdout


def test_a_broken_file_of_decisions_is_told_before_the_work(call: Call, photo: Path, tmp_path: Path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/decisions.json").write_text('{"flag": "maybe"}')
    command = ("segment", photo, "--names", "red", "--out", "out", *FAKE)
    done = call(*command, "--format", "coco")
    assert done.exit_code == 2
    assert "out/decisions.json cannot be read: 'maybe' is neither keep nor drop" in " ".join(done.stderr.split())
    assert not (tmp_path / "out/flag.json").exists()
    assert call(*command).exit_code == 0  # that exports nothing


def test_names_that_would_break_a_labelmap_are_refused(call: Call, photo: Path):
    for name in ("scale 1:5", "#1 dog"):
        command = ("segment", photo, "--names", f"red, {name}", "--out", "out", *FAKE)
        done = call(*command, "--format", "voc")
        assert done.exit_code == 2
        assert repr(name) in done.stderr
        assert "labelmap.txt holds no name with a colon or with #" in done.stderr
        assert not Path("out/flag.json").exists()
    assert call(*command, "--presence", "all").exit_code == 0
    assert "use coco" in call("export", "out", "--format", "voc").stderr
