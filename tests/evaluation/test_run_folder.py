"""A run's folder: what is believed in it, what is refused, what is made anew."""

import json
import os
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import pytest

from pnpovss._version import __version__
from pnpovss.datasets.base import Dataset
from pnpovss.errors import ConfigError, DatasetError, InvalidInputError, OutputError
from pnpovss.evaluation.runs.evaluate import evaluate
from pnpovss.evaluation.runs.folder import make_folder, open_run, read_run
from pnpovss.evaluation.runs.variants import run_variants
from pnpovss.files.journal import Journal
from pnpovss.names import Name
from tests.support.colours import Oracle, colour_dataset, colour_space


@pytest.fixture
def folder(segmenter, dataset, oracle, tmp_path):
    evaluate(segmenter, dataset, oracle, tmp_path / "run")
    return tmp_path / "run"


def rewrite(folder, change):
    """Change the records, checksums and all, as somebody would who knows how they are made."""
    path = folder / "images.jsonl"
    with Journal(path) as journal:
        records = list(journal.records.values())
    path.unlink()
    with Journal(path) as journal:
        for record in change(records):
            journal.append(record)


def first_cell(records, *cell):
    return [{**records[0], "confusion": [[*cell]]}, *records[1:]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: [*r, {**r[0], "key": "photo13"}], "photo13"),
        (lambda r: [{**r[0], "key": "other"}, *r[1:]], "other"),
        (lambda r: first_cell(r, 0, 9, 5), "class 9 is none of the 4 classes"),
        (lambda r: first_cell(r, 0, 0, -5), "greater than or equal to 0"),
        (lambda r: first_cell(r, 0, 0, 1.5), "valid integer"),
        (lambda r: [{**r[0], "asked": [3]}, *r[1:]], "a name is none of the 3 names"),
        (lambda r: [{**r[0], "mood": "good"}, *r[1:]], "mood"),
        (lambda r: [{k: v for k, v in r[0].items() if k != "trimap"}, *r[1:]], "trimap"),
    ],
    ids=["one too many", "foreign", "class", "negative", "fraction", "name", "unknown field", "missing field"],
)
def test_a_record_that_the_run_cannot_have_written_is_refused(segmenter, dataset, folder, change, message):
    rewrite(folder, change)
    with pytest.raises(OutputError, match=f"(?s)images.jsonl, line .*{message}"):
        evaluate(segmenter, dataset, Oracle(), folder)


def test_a_flipped_bit_is_refused(segmenter, dataset, folder):
    path = folder / "images.jsonl"
    content = bytearray(path.read_bytes())
    content[content.index(b'"confusion":[[0,0,') + 18] ^= 1
    path.write_bytes(content)
    with pytest.raises(OutputError, match="line 1 is damaged: its checksum does not fit"):
        evaluate(segmenter, dataset, Oracle(), folder)
    with pytest.raises(OutputError, match="line 1 is damaged"):
        read_run(folder)


def test_records_of_another_kind_of_run_are_refused(segmenter, dataset, folder, tmp_path):
    run_variants("ablation", segmenter, dataset, Oracle(), {"as set": segmenter.config}, tmp_path / "other")
    (folder / "images.jsonl").write_bytes((tmp_path / "other" / "images.jsonl").read_bytes())
    with pytest.raises(OutputError, match=r"images.jsonl, line 1"):
        read_run(folder)


def test_two_runs_in_one_folder_are_refused(segmenter, dataset, folder):
    settings = read_run(folder).settings
    before = (folder / "run.json").read_bytes()
    with (
        open_run(folder, settings, [sample.key for sample in dataset]),
        pytest.raises(OutputError, match=r"images.jsonl is being written by another process"),
    ):
        evaluate(segmenter, dataset, Oracle(), folder)
    assert (folder / "run.json").read_bytes() == before


@pytest.mark.parametrize("damage", ["", "{", "[]", "{}", '{"miou": NaN}', "[" * 100_000], ids=len)
def test_a_damaged_summary_is_made_anew_and_no_photo_is_done_again(segmenter, dataset, folder, damage):
    whole = json.loads((folder / "summary.json").read_text())
    (folder / "summary.json").write_text(damage)
    oracle = Oracle()
    summary = evaluate(segmenter, dataset, oracle, folder)
    assert oracle.calls == 0
    assert json.loads((folder / "summary.json").read_text()) == summary
    assert {**summary, "presence_report": {}} == {**whole, "presence_report": {}}
    assert len(read_run(folder).sessions) == 1, "nothing was worked on"


@pytest.mark.parametrize("damage", ["", "{", "[]", "{}", "null", "[" * 100_000], ids=len)
def test_a_damaged_run_file_says_what_to_do(segmenter, dataset, folder, damage):
    (folder / "run.json").write_text(damage)
    for attempt in (lambda: read_run(folder), lambda: evaluate(segmenter, dataset, Oracle(), folder)):
        with pytest.raises(InvalidInputError, match=r"run.json is damaged .* run again in a new folder"):
            attempt()


def test_a_missing_run_file_beside_records_is_no_new_run(segmenter, dataset, folder):
    (folder / "run.json").unlink()
    with pytest.raises(ConfigError, match="not empty and holds no run"):
        evaluate(segmenter, dataset, Oracle(), folder)


def test_what_a_kill_leaves_before_the_settings_are_written_is_taken_over(segmenter, dataset, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "images.jsonl").touch()
    (folder / ".pnpovss-0123456789abcdef.part").write_text("{")
    evaluate(segmenter, dataset, Oracle(), folder)
    assert sorted(path.name for path in folder.iterdir()) == ["images.jsonl", "run.json", "summary.json"]


@pytest.mark.parametrize("name", ["file", "file/run", "x" * 300, "nul\0l"], ids=["file", "in a file", "long", "null"])
def test_a_folder_that_cannot_be_is_refused_in_our_words(segmenter, dataset, tmp_path, name):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"cannot be made a folder: .*; name another one"):
        evaluate(segmenter, dataset, Oracle(), tmp_path / name)


@pytest.mark.skipif(not hasattr(os, "seteuid") or os.getuid() != 0, reason="takes the rights of another user")
def test_a_folder_of_somebody_else_is_refused_in_our_words():
    """As the user "nobody", since nothing is forbidden to root."""
    with TemporaryDirectory() as place:  # whose parents anybody may pass
        os.chmod(place, 0o755)
        folder = Path(place) / "run"
        folder.mkdir(mode=0o700)
        os.seteuid(65534)
        try:
            for there, message in (
                (folder, "may not be read and written by this user"),
                (folder / "x", "cannot be made"),
            ):
                with pytest.raises(OutputError, match=message):
                    make_folder(there)
        finally:
            os.seteuid(0)


def test_maps_of_finished_photos_are_made_when_they_are_asked_for(segmenter, dataset, folder):
    journal = (folder / "images.jsonl").read_bytes()
    oracle = Oracle()
    evaluate(segmenter, dataset, oracle, folder, save_maps=True)
    assert oracle.calls == 6
    assert (folder / "images.jsonl").read_bytes() == journal, "no photo counts twice"
    maps = sorted((folder / "maps").glob("*.png"))
    assert [path.stem for path in maps] == [f"photo{i}" for i in range(6)]
    assert all(cv2.imread(str(path), cv2.IMREAD_UNCHANGED).shape == (32, 32) for path in maps)
    maps[2].unlink()
    evaluate(segmenter, dataset, oracle, folder, save_maps=True)
    assert (oracle.calls, maps[2].exists()) == (7, True), "only the one that is missing"


def test_a_map_that_would_not_fit_its_score_is_not_made(segmenter, dataset, folder):
    rewrite(folder, lambda records: first_cell(records, 0, 1, 32 * 32 - 4))
    with pytest.raises(OutputError, match="the labels of 'photo0' are not those that were counted"):
        evaluate(segmenter, dataset, Oracle(), folder, save_maps=True)


def masks_without_red(dataset):
    """The same data set with red taken out of one mask, as somebody mends it."""
    sample = dataset.samples[1]
    mask = cv2.imread(str(sample.mask), cv2.IMREAD_UNCHANGED)
    cv2.imwrite(str(sample.mask), np.where(mask == 1, 2, mask))
    return dataset


def another_photo(dataset):
    """The same keys and masks, one photo of other content."""
    sample = dataset.samples[1]
    cv2.imwrite(str(sample.image), 255 - cv2.imread(str(sample.image)))
    return dataset


def with_space(**changes):
    return lambda dataset: Dataset(colour_space(**changes), dataset.root, dataset.samples)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (masks_without_red, r"masks: blake2b:\w+ there, blake2b:\w+ asked"),
        (another_photo, r"photos: blake2b:\w+ there, blake2b:\w+ asked"),
        (with_space(ids=(2, 1, 3)), "ids: 1 there, 2 asked"),
        (with_space(ignored=frozenset({255, 254})), r"ignored: \(255,\) there, \(254, 255\) asked"),
        (
            with_space(names=(Name("red", ("scarlet",)), Name("green"), Name("blue"))),
            r"names: \('red',\) there, \('red', 'scarlet'\) asked",
        ),
    ],
    ids=["mask", "photo", "values", "left out", "synonym"],
)
def test_a_run_does_not_answer_for_other_data(segmenter, dataset, folder, change, message):
    with pytest.raises(ConfigError, match=rf"holds a run with other data \({message}\).* name a new folder"):
        evaluate(segmenter, change(dataset), Oracle(), folder)


def test_a_data_set_that_was_moved_is_the_same(segmenter, dataset, folder, tmp_path):
    moved = colour_dataset(tmp_path / "elsewhere")
    oracle = Oracle()
    evaluate(segmenter, moved, oracle, folder)
    assert (oracle.calls, read_run(folder).root) == (0, dataset.root)


def test_masks_that_were_refused_may_be_mended_and_the_run_begun_again(segmenter, dataset, oracle, tmp_path):
    """Nothing was measured yet, so that nothing can be mixed."""
    mask = dataset.samples[2].mask
    whole = mask.read_bytes()
    mask.write_bytes(mask.read_bytes()[:40])
    with pytest.raises(DatasetError, match="photo2_mask"):
        evaluate(segmenter, dataset, oracle, tmp_path / "run")
    mask.write_bytes(whole)
    evaluate(segmenter, dataset, oracle, tmp_path / "run")
    assert read_run(tmp_path / "run").finished


def test_a_run_of_another_version_is_told_from_a_damaged_one(segmenter, dataset, folder):
    settings = json.loads((folder / "run.json").read_text())
    del settings["data"]
    (folder / "run.json").write_text(json.dumps({**settings, "format": 2}))
    with pytest.raises(InvalidInputError, match=r"run.json has format 2, this version reads 4; run it again"):
        evaluate(segmenter, dataset, Oracle(), folder)


def test_what_another_version_began_is_not_gone_on_with(segmenter, dataset, folder):
    settings = json.loads((folder / "run.json").read_text())
    assert settings["version"] == __version__
    (folder / "run.json").write_text(json.dumps({**settings, "version": "0.0.9"}))
    with pytest.raises(ConfigError, match=rf"holds a run with another version \(0.0.9 there, {__version__} asked\)"):
        evaluate(segmenter, dataset, Oracle(), folder)
