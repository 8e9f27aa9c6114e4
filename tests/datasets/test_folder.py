import pytest

from pnpovss.datasets import IGNORE, open_dataset
from pnpovss.errors import DatasetError
from tests.support import trees


def test_with_a_background_line(tmp_path):
    data = open_dataset("folder", trees.folder(tmp_path, "background", "cat, kitten", "dog"))
    assert data.space.classes == ("background", "cat", "dog")
    assert data.space.names[0].synonyms == ("kitten",)
    assert data.truth(data.samples[0]).ravel()[:4].tolist() == [0, 1, IGNORE, IGNORE]
    assert [data.present(sample) for sample in data] == [(0,), (1,)]
    assert data.space.background.applies(9)
    assert not data.is_subset


def test_without_a_background_line(tmp_path):
    data = open_dataset("folder", trees.folder(tmp_path, "sky", "cat", "dog"))
    assert data.space.classes == ("sky", "cat", "dog")
    assert [data.present(sample) for sample in data] == [(0, 1), (2,)]
    assert not data.space.background.applies(1)


def test_numbers_are_mask_values(tmp_path):
    root = trees.folder(tmp_path, "0: _background_", "7: cat", "3: dog")
    trees.mask(root / "masks/a.png", trees.grid(0, 7, 3, 255))
    data = open_dataset("folder", root)
    assert data.space.classes == ("background", "cat", "dog")
    assert data.truth(data.samples[0]).ravel()[:4].tolist() == [0, 1, 2, IGNORE]


def test_more_classes_than_an_8_bit_mask_holds(tmp_path):
    root = trees.folder(tmp_path, *(f"class {i}" for i in range(300)))
    trees.mask(root / "masks/b.png", trees.grid(254, 255, 256, 300), mode="I;16")
    data = open_dataset("folder", root)
    assert data.truth(data.samples[1]).ravel()[:4].tolist() == [254, IGNORE, 255, 299]


@pytest.mark.parametrize("line", [255, 256, 257])
def test_a_background_line_steps_over_255_as_names_do(tmp_path, line):
    lines = [f"class {i}" for i in range(260)]
    lines[line - 1] = "background"
    space = open_dataset("folder", trees.folder(tmp_path, *lines)).space
    expected = line - 1 if line < 256 else line
    assert space.background_id == expected
    assert space.values == tuple(range(261))
    assert space.ignored == {255}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["cat", "cat"], "names.txt, line 2: 'cat' was given before, in line 1"),
        (["cat", "dog, cat"], "names.txt, line 2: 'cat' was given before, in line 1"),
        (["cat", "", "dog"], "names.txt, line 2 is empty"),
        (["cat,"], "an empty name"),
        ([], "no names"),
        (["background"], "no class beside the background"),
    ],
)
def test_bad_names_files(tmp_path, lines, message):
    with pytest.raises(DatasetError, match=message):
        open_dataset("folder", trees.folder(tmp_path, *lines))


def test_what_lacks_is_named(tmp_path):
    root = trees.folder(tmp_path, "background", "cat", "dog")
    (root / "masks/b.png").rename(root / "masks/c.png")
    with pytest.raises(DatasetError, match=r"masks/b.png is missing \(1 of 2"):
        open_dataset("folder", root)
    (root / "names.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DatasetError, match="UTF-8"):
        open_dataset("folder", root)
    (root / "names.txt").unlink()
    with pytest.raises(DatasetError, match=r"names.txt is missing"):
        open_dataset("folder", root)


def test_a_mask_without_a_photo_is_told_by_files_that_are_there(tmp_path):
    root = trees.folder(tmp_path, "background", "cat", "dog")
    trees.mask(root / "masks/stray.png", trees.grid(0, 1))
    with pytest.raises(DatasetError, match=r"images holds no photo stray\.\* for the mask stray\.png; add the photo"):
        open_dataset("folder", root)


def test_hidden_files_are_passed_over(tmp_path):
    root = trees.folder(tmp_path, "background", "cat", "dog")
    for name in ("images/._a.png", "masks/._a.png", "masks/._b.png", "images/.hidden.jpg"):
        (root / name).write_bytes(b"Mac OS X")
    assert [sample.key for sample in open_dataset("folder", root)] == ["a", "b"]


def test_two_photos_of_one_name(tmp_path):
    root = trees.folder(tmp_path, "background", "cat", "dog")
    trees.photo(root / "images/a.jpg")
    with pytest.raises(DatasetError, match=r"a.jpg and a.png would share one mask"):
        open_dataset("folder", root)
