"""`pnpovss segment` from end to end, on a model whose answers are known."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pnpovss.results import rle
from pnpovss.results.segmentation import Segmentation
from tests.support.program_calls import Call, files, save_flag

FAKE = ("--model", "fake", "--without", "dropout,blur,crf")


def test_writes_labels_overlay_and_record(call: Call, photo: Path, tmp_path: Path):
    done = call("segment", photo, "--names", "red, blue, green", "--out", "out", *FAKE)
    assert done.exit_code == 0, done.output
    assert files(tmp_path / "out") == {"flag.labels.png", "flag.overlay.png", "flag.json"}
    with Image.open(tmp_path / "out" / "flag.labels.png") as labels:
        assert np.asarray(labels)[:, [2, 29]].tolist() == [[1, 2]] * 32
    with Image.open(tmp_path / "out" / "flag.overlay.png") as overlay:
        assert overlay.height > 32
    record = json.loads((tmp_path / "out" / "flag.json").read_text())
    assert record["photo"] == str(photo)
    assert [name["name"] for name in record["names"]] == ["red", "blue", "green"]
    assert rle.decode(record["names"][0]["segmentation"])[:, 2].all()
    assert record["provenance"]["config"]["crf"] is None
    assert record["provenance"]["config"]["dropout"] is None
    assert record["provenance"]["model"] == "fake"


def test_prints_a_table(call: Call, photo: Path):
    done = call("segment", photo, "--names", "red, blue", *FAKE)
    first, *table, last = done.stdout.splitlines()
    assert first == str(photo)
    assert last == "flag.overlay.png"
    assert "name" in table[1]
    assert "share of pixels" in table[1]
    assert re.search(r"red .* 50\.0% .* 1\.00", table[3])
    assert re.search(r"background .* 0\.0%", table[5])


def test_words_behind_the_names_are_taken_for_photos_and_told_so(call: Call, photo: Path):
    done = call("segment", photo, "--names", "red", "blue", *FAKE)
    assert done.exit_code == 1
    assert "blue does not exist" in done.stderr
    assert '--names "red, blue"' in done.stderr
    assert "--names" not in call("segment", photo, "gone.jpg", "--names", "red", "--overwrite", *FAKE).stderr


def test_json_to_stdout_is_all_that_is_there(call: Call, photo: Path):
    done = call("segment", photo, "nowhere.jpg", "--names", "red, blue", "--json", "-", *FAKE)
    assert done.exit_code == 1
    told = json.loads(done.stdout)
    assert [result["photo"] for result in told["results"]] == [str(photo)]
    assert told["failures"][0]["photo"] == "nowhere.jpg"
    assert "does not exist" in told["failures"][0]["error"]
    assert "match score" in done.stderr


def test_json_to_a_file(call: Call, photo: Path, tmp_path: Path):
    assert call("segment", photo, "--names", "red", "--json", "all.json", *FAKE).exit_code == 0
    assert len(json.loads((tmp_path / "all.json").read_text())["results"]) == 1


def test_heat_maps_and_npz(call: Call, photo: Path, tmp_path: Path):
    done = call("segment", photo, "--names", "red, Blue sky", "--heatmaps", "--npz", "--out", "out", *FAKE)
    assert done.exit_code == 0, done.output
    assert files(tmp_path / "out") == {
        "flag.labels.png",
        "flag.overlay.png",
        "flag.json",
        "flag.npz",
        "flag.heat-1-red.png",
        "flag.heat-2-blue-sky.png",
    }
    assert Segmentation.load(tmp_path / "out" / "flag.npz").heatmaps.names.shape == (2, 4, 4)


def test_settings_and_presets_reach_the_result(call: Call, photo: Path, tmp_path: Path):
    options = ("--preset", "paper", "--set", "dropout.passes=2", "--set", "threshold=0.3", "--without", "crf")
    done = call("segment", photo, "--names", "red", "--model", "fake", *options)
    assert done.exit_code == 0, done.output
    provenance = json.loads((tmp_path / "flag.json").read_text())["provenance"]
    assert provenance["preset"] == "paper"
    assert provenance["config"]["dropout"]["passes"] == 2
    assert provenance["config"]["threshold"] == 0.3
    assert provenance["config"]["crf"] is None


@pytest.mark.parametrize("value", ["9" * 5000, "[" * 100_000, '{"a":' * 100_000, "1e999", "NaN"], ids=lambda v: v[:5])
def test_values_that_are_none_are_refused_as_settings(call: Call, photo: Path, value: str):
    done = call("segment", photo, "--names", "red", "--set", f"threshold={value}", "--model", "fake")
    assert done.exit_code == 2
    assert "setting threshold: " in done.stderr
    assert len(done.stderr) < 600


def test_settings_are_listed(call: Call):
    done = call("segment", "--settings")
    assert done.exit_code == 0
    for word in ("dropout.passes", "crf.bilateral_srgb", "authors"):
        assert word in done.stdout


def test_names_file_with_synonyms(call: Call, photo: Path, tmp_path: Path):
    (tmp_path / "names.txt").write_text("# what to look for\n\nred, crimson\nblue\n")
    assert call("segment", photo, "--names-file", "names.txt", *FAKE).exit_code == 0
    record = json.loads((tmp_path / "flag.json").read_text())
    assert record["names"][0]["synonyms"] == ["crimson"]


def test_folders_patterns_and_repeats(call: Call, tmp_path: Path):
    for name in ("in/b.png", "in/a.PNG", "in/deep/c.png"):
        save_flag(tmp_path / name)
    (tmp_path / "in" / "notes.txt").write_text("no photo")
    call("segment", "in", "in/a.PNG", "in/**/c.png", "--names", "red", "--out", "out", *FAKE)
    assert {name for name in files(tmp_path / "out") if name.endswith(".json")} == {"a.json", "b.json"}


def test_a_folder_of_results_is_not_segmented_again(call: Call, tmp_path: Path):
    save_flag(tmp_path / "in" / "a.png")
    for _ in range(2):
        done = call("segment", "in", "--names", "red", "--out", "in", "--heatmaps", *FAKE)
        assert done.exit_code == 0, done.output
    assert len(files(tmp_path / "in")) == 5


def test_an_empty_folder_and_a_pattern_without_match_are_failures(call: Call, photo: Path, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    done = call("segment", "empty", "no*.jpg", photo, "--names", "red", "--out", "out", *FAKE)
    assert done.exit_code == 1
    assert "empty: no photos in this folder" in done.stderr
    assert "no*.jpg: no photo matches this pattern" in done.stderr
    assert "flag.json" in files(tmp_path / "out")


def test_photos_of_one_stem_do_not_overwrite_one_another(call: Call, tmp_path: Path):
    for name in ("a/cat.png", "b/cat.png", "b/CAT.bmp", "dog.png"):
        save_flag(tmp_path / name)
    photos = ["a/cat.png", "b/cat.png", "b/CAT.bmp", "dog.png"]
    assert call("segment", *photos, "--names", "red", "--out", "out", *FAKE).exit_code == 0
    records = {name for name in files(tmp_path / "out") if name.endswith(".json")}
    assert records == {"a-cat.png.json", "b-cat.png.json", "CAT.bmp.json", "dog.json"}


def test_results_of_another_photo_are_kept(call: Call, tmp_path: Path):
    save_flag(tmp_path / "a" / "cat.png")
    with Image.open(save_flag(tmp_path / "b" / "cat.png")) as image:
        image.rotate(180).save(tmp_path / "b" / "cat.png")
    options = ("--names", "red", "--out", "out", *FAKE)
    assert call("segment", "a/cat.png", *options).exit_code == 0
    assert call("segment", "a/cat.png", *options).exit_code == 0  # again: the same photo
    before = (tmp_path / "out" / "cat.json").read_text()
    done = call("segment", "b/cat.png", *options)
    assert done.exit_code == 1
    assert "was made from" in done.stderr
    assert (tmp_path / "out" / "cat.json").read_text() == before
    assert call("segment", "b/cat.png", "--overwrite", *options).exit_code == 0
    assert (tmp_path / "out" / "cat.json").read_text() != before


def test_a_file_that_is_not_ours_is_kept(call: Call, photo: Path, tmp_path: Path):
    (tmp_path / "flag.labels.png").write_text("precious")
    done = call("segment", photo, "--names", "red", *FAKE)
    assert done.exit_code == 1
    assert "was not made by this program" in done.stderr
    assert (tmp_path / "flag.labels.png").read_text() == "precious"
    assert files(tmp_path) == {"flag.png", "flag.labels.png"}


def test_an_unexpected_error_ends_one_photo_only(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from pnpovss.segmenter import Segmenter

    save_flag(tmp_path / "a.png")
    save_flag(tmp_path / "b.png")
    real, seen = Segmenter.__call__, []

    def fails_once(self: Segmenter, *args, **options):
        seen.append(args)
        if len(seen) == 1:
            raise RuntimeError("out of\nmemory")
        return real(self, *args, **options)

    monkeypatch.setattr(Segmenter, "__call__", fails_once)
    done = call("segment", "a.png", "b.png", "--names", "red", *FAKE)
    assert done.exit_code == 1
    assert "1 photo done, 1 failed" in done.stderr
    assert "a.png: unexpected RuntimeError: out of memory" in done.stderr
    assert "Traceback" not in done.stderr
    assert "b.json" in files(tmp_path)
    seen.clear()
    assert "Traceback" in call("segment", "a.png", "--names", "red", "--debug", *FAKE).stderr


def test_markup_in_names_and_paths_is_text(call: Call, tmp_path: Path):
    save_flag(tmp_path / "[red]x[" / "[bold].png")
    done = call("segment", tmp_path / "[red]x[" / "[bold].png", "--names", "[/red]", *FAKE)
    assert done.exit_code == 0, done.output
    assert "[/red]" in done.stdout
    assert "[bold].png" in done.stdout


def test_an_animation_is_noted(call: Call, tmp_path: Path):
    frames = [Image.new("RGB", (32, 32), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    done = call("segment", "moving.gif", "--names", "red", *FAKE)
    assert done.exit_code == 0
    assert "note: moving.gif is an animation; only its first frame is used" in done.stderr


def test_instances_are_told_apart_where_that_is_asked_for(call: Call, tmp_path: Path):
    pixels = np.zeros((32, 64, 3), np.uint8)
    pixels[..., 2] = 255
    pixels[:, :16] = pixels[:, 48:] = (255, 0, 0)
    Image.fromarray(pixels).save(tmp_path / "three.png")
    done = call("segment", "three.png", "--names", "red, blue", "--instances", "pieces", "--out", "out", *FAKE)
    assert done.exit_code == 0, done.output
    assert files(tmp_path / "out") == {
        "three.labels.png",
        "three.overlay.png",
        "three.instances.png",
        "three.json",
    }
    record = json.loads((tmp_path / "out" / "three.json").read_text())
    assert [thing["category"] for thing in record["instances"]] == ["red", "red", "blue"]
    assert record["provenance"]["config"]["instances"]["split"] == "pieces"
    again = call("segment", "three.png", "--names", "red, blue", "--instances", "heat", "--out", "out", *FAKE)
    assert "instances.split was pieces, is heat" in again.stdout
    assert call("segment", "three.png", "--names", "red", "--instances", "boxes", *FAKE).exit_code == 2
