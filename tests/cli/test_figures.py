"""`--figure`, `explain` and `doctor`, as somebody types them."""

import json
from pathlib import Path

import pytest

from tests.support.program_calls import Call, save_flag

pytest.importorskip("matplotlib", reason="in the extra `figures`")


@pytest.mark.parametrize("form", ["png", "svg", "pdf"])
def test_figures_are_written_beside_the_overlay(call: Call, photo: Path, form: str):
    done = call("segment", photo, "--names", "red, bright blue", "--model", "fake", "--figure", form)
    assert done.exit_code == 0, done.output
    for kind in ("regions", "heat", "words"):
        assert Path(f"flag.figure-{kind}.{form}").stat().st_size > 1000
    again = call("segment", ".", "--names", "red, bright blue", "--model", "fake", "--figure", form)
    assert "1 photos" not in again.output, "a figure is no photo"
    kinds = [file["kind"] for file in json.loads(Path("flag.json").read_text())["files"]]
    assert kinds.count(f"figure-{form}") == 3


def test_other_forms_are_refused_before_the_model_loads(call: Call, photo: Path):
    done = call("segment", photo, "--names", "red", "--model", "nobody", "--figure", "bmp")
    assert done.exit_code == 2
    assert "png, svg, pdf; got 'bmp'" in done.output


def test_a_sentence_is_told_before_the_work(call: Call, photo: Path):
    done = call("segment", photo, "--names", "red on a bright blue", "--model", "fake")
    assert '--names "red, bright blue"' in done.output
    assert done.exit_code == 0


def test_explain_writes_steps_and_passes(call: Call, photo: Path):
    done = call("explain", photo, "--names", "red, blue", "--model", "fake", "--preset", "paper", "--out", "out")
    assert done.exit_code == 0, done.output
    assert sorted(path.name for path in Path("out").iterdir()) == [
        "flag.passes.png",
        "flag.passes.webp",
        "flag.steps.png",
    ]
    once = call("explain", photo, "--names", "red", "--model", "fake", "--without", "dropout", "--figure", "svg")
    assert once.exit_code == 0, once.output
    assert Path("flag.steps.svg").exists()
    assert "Salience Dropout is off" in once.output
    still = call("explain", photo, "--names", "red", "--model", "fake", "--animation", "none", "--out", "still")
    assert still.exit_code == 0
    assert not list(Path("still").glob("*.webp"))
    assert call("explain", photo, "--names", "red", "--model", "fake", "--animation", "mp4").exit_code == 2


def test_explain_replaces_its_own_pictures_alone(call: Call, photo: Path):
    save_flag(Path("other/flag.png"))
    command = ("explain", "--names", "red", "--model", "fake", "--out", "out")
    paper = ("--set", "dropout.passes=2")
    for form, moving in (("svg", "gif"), ("pdf", "webp"), ("png", "webp")):
        assert call(*command, photo, *paper, "--figure", form, "--animation", moving).exit_code == 0
        there = {path.name: path.read_bytes() for path in Path("out").iterdir()}
        assert set(there) == {f"flag.steps.{form}", f"flag.passes.{form}", f"flag.passes.{moving}"}
    refused = call("explain", "other/flag.png", *command[1:], "--model", "nobody")
    assert refused.exit_code == 2
    assert "out/flag.steps.png shows another photo" in refused.stderr
    assert {path.name: path.read_bytes() for path in Path("out").iterdir()} == there
    assert call(*command, photo, "--without", "dropout").exit_code == 0
    assert [path.name for path in Path("out").iterdir()] == ["flag.steps.png"], "passes of other settings are gone"
    assert call(*command, "other/flag.png", *paper, "--overwrite").exit_code == 0
    Path("out/flag.steps.png").write_bytes(b"mine")
    assert "was not made by `pnpovss explain`" in call(*command, "other/flag.png").stderr
    assert Path("out/flag.steps.png").read_bytes() == b"mine"


def test_explain_never_replaces_its_photo(call: Call, photo: Path):
    photo.rename("flag.steps.png")
    photo.symlink_to("flag.steps.png")
    done = call("explain", photo, "--names", "red", "--model", "fake", "--overwrite")
    assert done.exit_code == 2
    assert "flag.steps.png is the photo itself" in done.stderr


def test_explain_opens_its_folder_before_the_model_loads(call: Call, photo: Path):
    done = call("explain", photo, "--names", "red", "--model", "nobody", "--out", photo)
    assert done.exit_code == 2
    assert "flag.png: it is a file; choose another with --out" in done.stderr


def test_doctor_tells_what_is_here(call: Call):
    done = call("doctor", "--json")
    assert done.exit_code == 0, done.output
    findings = {(each["part"], each["what"]): each for each in json.loads(done.stdout)}
    assert findings["self-test", "mini"]["fine"] is True
    assert findings["models", "mini"]["found"] == "on this machine"
    assert findings["extras", "coco"]["found"] == "installed"
    assert "torch" in findings["machine", "threads"]["found"]


def test_doctor_shows_a_table(call: Call):
    done = call("doctor", "--no-self-test")
    assert done.exit_code == 0
    for word in ("versions", "pnpovss", "machine", "models", "mini"):
        assert word in done.stdout
