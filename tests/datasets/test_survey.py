"""All masks are looked at before the first photo: what cannot be measured is refused, what looks wrong is said."""

import logging

import numpy as np
import pytest

from pnpovss.datasets import open_dataset
from pnpovss.datasets.survey import check_masks
from pnpovss.errors import DatasetError
from tests.support import trees


def folder(root, *lines, a, b, mode="L"):
    trees.folder(root, *lines)
    for name, values in (("a", a), ("b", b)):
        trees.mask(root / f"masks/{name}.png", trees.grid(*values), mode=mode)
    return open_dataset("folder", root)


def check(dataset):
    check_masks(dataset, dataset.samples)


def test_masks_of_0_and_255_leave_nothing_to_measure(tmp_path):
    with pytest.raises(DatasetError) as error:
        check(folder(tmp_path, "background", "cat", a=[0, 255], b=[255, 0]))
    message = str(error.value)
    assert message.startswith(
        "nothing is left to measure: no pixel of 2 masks belongs to a class that is asked for (cat)"
    )
    assert "0 (50.0%, background), 255 (50.0%, left out)" in message
    assert message.endswith("write so in the names: 255: cat, and 0: background")


def test_what_that_advice_gives_can_be_measured(tmp_path):
    data = folder(tmp_path, "0: background", "255: cat", a=[0, 255], b=[255, 0])
    check(data)
    assert [data.truth(sample).ravel()[:2].tolist() for sample in data] == [[0, 1], [1, 0]]


def test_masks_of_nothing_but_background_are_refused(tmp_path):
    with pytest.raises(DatasetError, match="nothing is left to measure"):
        check(folder(tmp_path, "background", "cat", "dog", a=[0], b=[0]))


@pytest.mark.parametrize(
    ("lines", "values", "message"),
    [
        (["cat", "dog"], [1, 2], "all values are one greater than the line numbers from 0"),
        (["cat", "dog"], [0, 1, 2], "if value 0 is the background, begin the names with a line that says background"),
        (["background", "cat"], [0, 1, 7], "write the mask values before the names"),
    ],
)
def test_values_that_are_counted_otherwise_are_refused_with_the_reason(tmp_path, lines, values, message):
    with pytest.raises(DatasetError, match=f"masks/a.png: mask values .* are no class of folder .*{message}"):
        check(folder(tmp_path, *lines, a=values, b=[values[0]]))


def test_classes_that_no_mask_holds_are_told_and_so_is_what_is_mostly_left_out(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        check(folder(tmp_path, "background", "cat", "dog", "sofa", a=[1, 0, 255], b=[0]))
    [missing] = (record.getMessage() for record in caplog.records if "no mask holds" in record.getMessage())
    assert "dog, sofa" in missing
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        check(folder(tmp_path, "background", "cat", a=[1, 0, 255], b=[255]))
    [mostly] = [record.getMessage() for record in caplog.records]
    assert mostly.startswith("96% of the pixels of the masks are left out of the score (0 (2.1%, background)")


def test_a_sound_data_set_is_passed_without_a_word(tmp_path, caplog):
    check(folder(tmp_path, "background", "cat", "dog", a=[1, 0], b=[2, 0, 255, 0]))
    assert not caplog.records


def test_a_part_of_a_benchmark_may_miss_classes(tmp_path, caplog):
    trees.voc(tmp_path)
    check(open_dataset("voc2012", tmp_path))
    assert not caplog.records


def test_every_mask_is_read_before_the_first_photo(tmp_path):
    data = folder(tmp_path, "background", "cat", a=[1, 0], b=[0])
    trees.mask(tmp_path / "masks/b.png", np.zeros((4, 5)))
    with pytest.raises(DatasetError, match=r"masks/b.png is 5 x 4 pixels, its photo b.JPG is 6 x 4"):
        check(data)
