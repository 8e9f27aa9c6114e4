"""Each benchmark, read from a small tree in its true layout."""

import numpy as np
import pytest

from pnpovss.datasets import IGNORE, Sample, known_datasets, open_dataset
from pnpovss.datasets.catalog import BENCHMARKS
from pnpovss.errors import DatasetError
from tests.support import trees
from tests.support.gray_png import gray_png


def rows(dataset, sample=0) -> list[int]:
    """What the first pixels of a mask count as."""
    truth = dataset.truth(list(dataset)[sample])
    assert truth.shape == (4, 6)
    return truth.ravel()[:6].tolist()


def classes(dataset, sample=0) -> list[str]:
    return ["-" if row == IGNORE else dataset.space.classes[row] for row in rows(dataset, sample)]


def asked(dataset, sample=0) -> list[str]:
    return [dataset.space.names[i].text for i in dataset.present(list(dataset)[sample])]


@pytest.mark.parametrize("inside", ["", "VOCdevkit", "VOCdevkit/VOC2012"])
@pytest.mark.parametrize("masks", ["SegmentationClass", "SegmentationClassAug"])
def test_voc(tmp_path, inside, masks):
    trees.voc(tmp_path, folder=masks)
    data = open_dataset("voc2012", tmp_path / inside)
    assert [sample.key for sample in data] == ["2007_000033", "2007_000042"]
    assert data.is_subset
    assert len(data.space.classes) == 21
    assert classes(data) == ["background", "aeroplane", "tv monitor", "-", "background", "background"]
    assert asked(data, 1) == ["bicycle", "tv monitor"]
    assert all(data.space.background.applies(n) for n in (1, 20))


def test_voc_void_is_background_for_the_authors(tmp_path):
    trees.voc(tmp_path)
    data = open_dataset("voc2012", tmp_path, protocol="authors")
    assert classes(data)[3] == "background"
    assert IGNORE not in data.truth(data.samples[0])


def test_context(tmp_path):
    trees.context(tmp_path)
    sixty = open_dataset("context60", tmp_path)
    assert len(sixty.space.classes) == 60
    assert classes(sixty)[:5] == ["background", "wood", "bag", "-", "background"]
    fifty_nine = open_dataset("context59", tmp_path)
    assert len(fifty_nine.space.classes) == 59
    assert classes(fifty_nine)[:5] == ["-", "wood", "bag", "-", "-"]
    for data in (sixty, fifty_nine):
        assert asked(data) == ["bag", "wood"]
        assert data.space.background.applies(2)
        assert not data.space.background.applies(3)


def test_coco_object(tmp_path):
    trees.coco_stuff(tmp_path)
    data = open_dataset("coco-object", tmp_path)
    assert len(data.space.classes) == 81
    assert classes(data) == ["person", "toothbrush", "background", "background", "background", "background"]
    assert asked(data) == ["person", "toothbrush"]
    assert data.space.background.applies(50)


def test_coco_stuff(tmp_path):
    trees.coco_stuff(tmp_path)
    field = open_dataset("coco-stuff", tmp_path)
    assert (len(field), len(field.space.classes)) == (2, 171)
    assert classes(field) == ["person", "toothbrush", "banner", "wood", "building", "-"]
    authors = open_dataset("coco-stuff", tmp_path, protocol="authors")
    assert len(authors.space.classes) == 172
    assert classes(authors)[5] == "unlabeled"
    assert authors.present(authors.samples[0]) == field.present(field.samples[0]) == (0, 79, 80, 84, 170)
    assert not field.space.background.applies(3)


def test_coco_stuff_27(tmp_path):
    trees.coco_stuff(tmp_path)
    data = open_dataset("coco-stuff27", tmp_path)
    assert len(data.space.classes) == 27
    assert classes(data) == ["person", "household item", "textile", "mountain", "building", "-"]


def test_the_27_groups_cover_each_train_id_once():
    table = BENCHMARKS["coco-stuff27"].space("field").truth(np.arange(171)[None])
    counts = np.bincount(table[0], minlength=27)
    assert counts.sum() == 171
    assert counts.min() > 0
    fine = BENCHMARKS["coco-stuff"].space("field").names
    groups = BENCHMARKS["coco-stuff27"].space("field").names
    of = {fine[i].text: groups[row].text for i, row in enumerate(table[0])}
    assert (of["zebra"], of["snow"], of["clouds"], of["tent"], of["sink"], of["brick wall"], of["carpet"]) == (
        "animal", "ground", "sky", "building", "appliance", "wall", "floor",
    )  # fmt: skip


def test_ade20k(tmp_path):
    trees.ade20k(tmp_path / "ade")
    data = open_dataset("ade20k", tmp_path)
    assert len(data.space.classes) == 150
    assert classes(data)[:4] == ["-", "wall", "flag", "person"]
    authors = open_dataset("ade20k", tmp_path, protocol="authors")
    assert authors.space.classes[:2] == ("other", "wall")
    assert classes(authors)[:4] == ["other", "wall", "flag", "person"]


def test_coco_panoptic(tmp_path):
    data = open_dataset("coco-panoptic", trees.panoptic(tmp_path))
    assert len(data.space.classes) == 133
    assert classes(data)[:4] == ["-", "person", "toothbrush", "rug"]


@pytest.mark.wrong_types
def test_every_benchmark_is_told(tmp_path):
    expected = {"voc2012", "context59", "context60", "coco-object", "coco-stuff", "coco-stuff27", "ade20k"}
    assert expected <= set(known_datasets())
    with pytest.raises(DatasetError, match="unknown data set 'voc'; known: voc2012") as error:
        open_dataset("voc", tmp_path)
    assert all(key in str(error.value) for key in known_datasets())
    with pytest.raises(DatasetError, match="unknown protocol 'mine'; known: field, authors"):
        open_dataset("voc2012", tmp_path, protocol="mine")  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("key", BENCHMARKS)
def test_an_empty_folder_is_told_what_lacks_and_where_it_is(tmp_path, key):
    with pytest.raises(DatasetError, match=f"{key}: .* is missing. Get it from .*http"):
        open_dataset(key, tmp_path)
    with pytest.raises(DatasetError, match="nowhere is no folder"):
        open_dataset(key, tmp_path / "nowhere")


def test_the_first_missing_file_is_named_and_all_are_counted(tmp_path):
    base = trees.voc(tmp_path, keys=("a", "b", "c"))
    (base / "SegmentationClass/b.png").unlink()
    with pytest.raises(DatasetError, match=r"SegmentationClass/b.png is missing \(1 of 3 .*VOCtrainval"):
        open_dataset("voc2012", tmp_path)
    (base / "JPEGImages/a.jpg").unlink()
    (base / "JPEGImages/c.jpg").unlink()
    with pytest.raises(DatasetError, match=r"JPEGImages/a.jpg is missing \(2 of 3"):
        open_dataset("voc2012", tmp_path)


def test_missing_mask_folder_and_bad_lists(tmp_path):
    base = trees.voc(tmp_path)
    for path in (base / "SegmentationClass").iterdir():
        path.unlink()
    (base / "SegmentationClass").rmdir()
    with pytest.raises(DatasetError, match="VOC2012/SegmentationClass is missing"):
        open_dataset("voc2012", tmp_path)
    trees.voc(tmp_path)
    trees.text(base / "ImageSets/Segmentation/val.txt", "2007_000033", "2007_000033")
    with pytest.raises(DatasetError, match="lists 2007_000033 twice"):
        open_dataset("voc2012", tmp_path)
    trees.text(base / "ImageSets/Segmentation/val.txt")
    with pytest.raises(DatasetError, match=r"val\.txt is empty"):
        open_dataset("voc2012", tmp_path)


def test_coco_masks_that_were_not_converted(tmp_path):
    base = trees.coco_stuff(tmp_path)
    for path in (base / "annotations/val2017").glob("*_labelTrainIds.png"):
        path.unlink()
    with pytest.raises(DatasetError, match=r"000000000139_labelTrainIds.png is missing .*coco_stuff164k.py"):
        open_dataset("coco-stuff", tmp_path)


def test_a_photo_that_lacks_is_found_by_its_mask(tmp_path):
    base = trees.ade20k(tmp_path)
    trees.mask(base / "annotations/validation/ADE_val_00000002.png", trees.grid(1))
    with pytest.raises(
        DatasetError, match=r"validation holds no photo ADE_val_00000002\.\* for the mask ADE_val_00000002\.png"
    ):
        open_dataset("ade20k", tmp_path)


def spoilt(tmp_path):
    data = open_dataset("ade20k", trees.ade20k(tmp_path))
    return data, data.samples[0]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda p: trees.mask(p, np.zeros((6, 4))), r"is 4 x 6 pixels, its photo ADE_val_00000001.jpg is 6 x 4"),
        (lambda p: trees.mask(p, np.zeros((4, 6, 3))), r"has mode RGB with 3 channels"),
        (lambda p: trees.mask(p, trees.grid(1, 151)), r"mask values 151 \(23 px\) are no class of ade20k .*0-150"),
        (lambda p: p.write_bytes(p.read_bytes()[:60]), "is damaged|is no image"),
        (lambda p: p.write_text("hello"), "is no image"),
        (lambda p: p.unlink(), "does not exist"),
    ],
    ids=["size", "mode", "ids", "truncated", "text", "missing"],
)
def test_bad_masks_are_refused_by_name(tmp_path, spoil, message):
    data, sample = spoilt(tmp_path)
    spoil(sample.mask)
    with pytest.raises(DatasetError, match=message) as error:
        data.truth(sample)
    assert "ADE_val_00000001.png" in str(error.value)


def test_a_bad_photo_is_refused_by_name(tmp_path):
    data, sample = spoilt(tmp_path)
    sample.image.write_text("hello")
    with pytest.raises(DatasetError, match=r"ADE_val_00000001.jpg is no photo: .*ADE_val_00000001.png is for it"):
        data.truth(sample)


def test_sixteen_bit_and_palette_masks(tmp_path):
    data, sample = spoilt(tmp_path)
    before = data.truth(sample)
    for mode in ("P", "I;16"):
        trees.mask(sample.mask, trees.grid(0, 1, 150, 13), mode=mode)
        assert np.array_equal(data.truth(sample), before)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_gray_masks_of_few_bits_have_the_values_that_they_store(tmp_path, bits):
    """Pillow spreads them over 0 to 255; 3 of 2 bits became 255, which is left out."""
    data, sample = spoilt(tmp_path)
    values = np.arange(24).reshape(4, 6) % 2**bits
    gray_png(sample.mask, values, bits)
    assert np.array_equal(data.values(sample), values)


@pytest.mark.parametrize("line", ["../../x", "/etc/x", "..", "a/b", "a\\b", "a\0b", "x" * 300, "C:x"])
def test_a_line_of_a_split_file_that_is_no_file_name_is_refused(tmp_path, line):
    base = trees.voc(tmp_path)
    trees.text(base / "ImageSets/Segmentation/val.txt", "2007_000033", line)
    with pytest.raises(DatasetError, match=r"val\.txt: .* cannot name a photo"):
        open_dataset("voc2012", tmp_path)


def test_no_data_set_can_have_a_key_that_leaves_a_folder(tmp_path):
    with pytest.raises(DatasetError, match="cannot name a photo"):
        Sample("../x", tmp_path / "x.jpg", tmp_path / "x.png")


def test_a_split_file_that_is_no_text_is_refused(tmp_path):
    base = trees.voc(tmp_path)
    (base / "ImageSets/Segmentation/val.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DatasetError, match=r"val\.txt cannot be read as UTF-8 text"):
        open_dataset("voc2012", tmp_path)
