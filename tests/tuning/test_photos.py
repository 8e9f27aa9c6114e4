"""Where names come from, and which photos are refused."""

import io
import json
import unicodedata
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from PIL import Image

from pnpovss.datasets import open_dataset
from pnpovss.errors import InvalidInputError
from pnpovss.names import Name, parse_names
from pnpovss.presence.base import Photo, Presence
from pnpovss.tuning.gather import gather
from pnpovss.tuning.guard import refuse_evaluation_photos, refuse_likenesses
from pnpovss.tuning.labels import names_in, read_labels
from pnpovss.tuning.photos import TuningPhoto, TuningPhotos
from tests.support import trees
from tests.support.colours import colour_dataset


def save(path: Path, seed: int = 0, size: tuple[int, int] = (60, 40)) -> Path:
    """A photo of soft blobs, so that it survives to be scaled."""
    path.parent.mkdir(parents=True, exist_ok=True)
    blobs = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    Image.fromarray(blobs).resize(size, Image.Resampling.BICUBIC).save(path)
    return path


def test_folders_are_called_what_their_photos_show(tmp_path: Path) -> None:
    save(tmp_path / "cat/1.png", 1)
    save(tmp_path / "potted_plant/deep/1.png", 2)
    found = gather(tmp_path)
    assert {photo.key: photo.names for photo in found.photos} == {
        "cat/1.png": (Name("cat"),),
        "potted_plant/deep/1.png": (Name("potted plant"),),
    }
    assert found.names_from == "the names of their folders"
    save(tmp_path / "stray.png")
    with pytest.raises(InvalidInputError, match=r"stray.png lies in no folder that says what it shows"):
        gather(tmp_path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", "file,labels\na.png,cat;sofa\nx/b.png,dog\n"),
        ("t.csv", "photo,name\na.png,cat\na.png,sofa\nx/b.png,dog\n"),
        ("t.json", json.dumps({"a.png": ["cat", "sofa"], "b": ["dog"]})),
        ("t.csv", "image,caption\na.png,A cat on sofas .\na.png,Two cats\nb.png,the DOG runs\n"),
        ("t.json", json.dumps({"a.png": "two cats, one couch", "x/b.png": "a doggedly running dog"})),
    ],
)
def test_a_table_names_what_is_in_photos(tmp_path: Path, name: str, content: str) -> None:
    save(tmp_path / "photos/a.png", 1)
    save(tmp_path / "photos/x/b.png", 2)
    (tmp_path / name).write_text(content)
    words = parse_names(["cat", ["sofa", "couch"], "dog", "bus"])
    found = gather(tmp_path / "photos", labels=tmp_path / name, vocabulary=words)
    named = {photo.key: [each.text for each in photo.names] for photo in found.photos}
    assert named == {"a.png": ["cat", "sofa"], "x/b.png": ["dog"]}
    assert found.vocabulary == words


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("t.csv", "a,b\n1,2\n", "its columns are a, b"),
        ("t.json", "[1]", "it holds a list"),
        ("t.json", '{"a.png": 3}', "'a.png' has 3"),
        ("t.json", "{", "no JSON"),
        ("t.json", '{"a.png": ["cat"], "a.png": ["dog"]}', "'a.png' is there twice"),
        ("t.json", '{"a.png": ["cat"], "./a.png": ["dog"]}', "'./a.png' is there twice, in two spellings"),
        ("t.csv", "photo,names\na.png,cat\n,sofa\n", "line 3: 'sofa' is of no photo; name it before"),
        ("t.csv", "photo,names\nnone.png,cat\n", "'none.png', which is not there"),
        ("t.csv", "photo,names\nb.png,cat\n", "'b.png', which is the name of several photos"),
        ("t.csv", "photo,caption\na.png,a cat\n", "holds captions; give a names file"),
        ("t.csv", "photo,names\na.png,cat\na.png,cat, sofa\n", "line 3: 'sofa' stands in no column; write ; between"),
        ("t.csv", "photo,caption\na.png,a cat, asleep, alone\n", "line 2: 'asleep' stands in no column; .* quotes"),
    ],
)
def test_a_table_that_says_nothing_is_refused(tmp_path: Path, name: str, content: str, said: str) -> None:
    for place in ("a.png", "x/b.png", "y/b.png"):
        save(tmp_path / "photos" / place)
    (tmp_path / name).write_text(content)
    with pytest.raises(InvalidInputError, match=said):
        gather(tmp_path / "photos", labels=tmp_path / name)


def test_captions_speak_in_singular_and_plural_of_whole_words() -> None:
    words = parse_names(["cat", "bus", ["lady", "woman"], "potted plant"])
    assert names_in("Cats and ladies near buses", words) == words[:3]
    assert names_in("a catalogue of potted plants", words) == words[3:]


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("A teddy bear and hot dogs on a dining table", ["hot dog", "teddy bear", "dining table"]),
        ("a dog with a hot dog", ["dog", "hot dog"]),
        ("wine in a glass, a bear", ["bear", "glass"]),
        ("wine teddy bear glass", ["teddy bear", "glass"]),
        ("a couch potato", ["glass"]),
    ],
)
def test_a_phrase_of_a_caption_means_what_it_says_as_a_whole(caption: str, expected: list[str]) -> None:
    nouns = ["dog", "hot dog", "bear", "teddy bear", "table", "dining table", ["glass", "couch potato"], "wine glass"]
    assert [name.text for name in names_in(caption, parse_names([*nouns, "couch"]))] == expected


@pytest.mark.parametrize(
    ("one", "several"),
    [
        ("monkey", "monkeys"),
        ("toy", "toys"),
        ("key", "keys"),
        ("lady", "ladies"),
        ("knife", "knives"),
        ("leaf", "leaves"),
        ("giraffe", "giraffes"),
        ("roof", "roofs"),
        ("computer mouse", "computer mice"),
        ("person", "people"),
        ("person", "persons"),
        ("man", "men"),
        ("businesswoman", "businesswomen"),
        ("child", "children"),
        ("foot", "feet"),
        ("tooth", "teeth"),
        ("bus", "buses"),
        ("box", "boxes"),
        ("wine glass", "wine glasses"),
        ("bench", "benches"),
        ("potato", "potatoes"),
        ("piano", "pianos"),
    ],
)
def test_plurals_are_those_of_english(one: str, several: str) -> None:
    [name] = parse_names([one])
    assert names_in(f"Two {several}.", [name]) == (name,)
    assert names_in(f"A {one}.", [name]) == (name,)
    assert names_in(f"A {one}like pattern", [name]) == ()


def test_a_comma_at_the_end_of_a_row_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("photo,names\na.png,cat;sofa,\nb.png,dog, \n")
    assert read_labels(tmp_path / "t.csv") == {"a.png": ["cat", "sofa"], "b.png": ["dog"]}


@pytest.mark.parametrize(
    "row", ["caf\u00e9/b.png", "./cafe\u0301/b.png", "cafe\u0301\\b.png", " caf\u00e9/b.png ", "b.png", " b"]
)
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_table_may_come_from_another_machine(tmp_path: Path, form: Literal["NFC", "NFD"], row: str) -> None:
    path = save(tmp_path / "photos" / unicodedata.normalize(form, "caf\u00e9") / "b.png")
    (path.parent / "._b.png").write_bytes(b"what macOS keeps beside a file")
    (tmp_path / "t.csv").write_text(f"photo,names\n{row},cat;sofa\n,\n", encoding="utf-8")
    (tmp_path / "t.json").write_text(json.dumps({row: ["cat", "sofa"]}))
    for table in ("t.csv", "t.json"):
        [photo] = gather(tmp_path / "photos", labels=tmp_path / table).photos
        assert photo.image == path


def test_hidden_files_are_no_photos(tmp_path: Path) -> None:
    save(tmp_path / "cat/a.png", 1)
    save(tmp_path / "dog/b.png", 2)
    (tmp_path / "cat/._a.png").write_bytes(b"what macOS keeps beside a file")
    assert sorted(photo.key for photo in gather(tmp_path).photos) == ["cat/a.png", "dog/b.png"]


def test_lines_of_one_photo_are_joined_however_its_path_is_spelled(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("photo,names\nx/a.png,cat\n./x\\a.png,sofa\n")
    assert read_labels(tmp_path / "t.csv") == {"x/a.png": ["cat", "sofa"]}


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"cannot read .*none.csv"):
        read_labels(tmp_path / "none.csv")


def test_the_model_may_say_what_is_there(tmp_path: Path) -> None:
    class Bright:
        key = "bright"

        def decide(self, photo: Photo, names):
            level = np.asarray(photo.image).mean()
            return Presence((0,) if level > 128 else (), (level / 255, 0.0))

        def report(self):
            return {}

    for name, level in (("a", 255), ("b", 0), ("c", 200)):
        Image.new("RGB", (8, 8), (level,) * 3).save(tmp_path / f"{name}.png")
    told: list[tuple[str, int, int]] = []
    words = parse_names(["light", "dark"])
    found = gather(tmp_path, vocabulary=words, presence=Bright(), on_photo=lambda *each: told.append(each))
    assert sorted(photo.key for photo in found.photos) == ["a.png", "c.png"]
    assert found.names_from == "the filter bright"
    assert told[-1] == ("named", 3, 3)


def test_names_that_nobody_looks_for_do_not_make_names_of_folders(tmp_path: Path) -> None:
    save(tmp_path / "2024/holiday.png")
    with pytest.raises(InvalidInputError, match="2 names to look for were given, and nothing that says which"):
        gather(tmp_path, vocabulary=parse_names(["cat", "sofa"]))


def test_photos_of_benchmarks_are_refused_unless_named(tmp_path: Path) -> None:
    root = trees.voc(tmp_path)
    data = open_dataset("voc2012", root)
    with pytest.raises(InvalidInputError, match="these are the photos that voc2012 evaluates"):
        gather(root, dataset=data)
    found = gather(root, dataset=data, evaluation_photos=["voc2012"])
    assert found.evaluation_photos == ("voc2012",)
    assert found.names_from == "masks of voc2012"
    with pytest.raises(InvalidInputError, match="'cityscapes' is no benchmark"):
        gather(root, dataset=data, evaluation_photos=["voc2012", "cityscapes"])


def test_a_names_file_widens_the_vocabulary_of_a_data_set(tmp_path: Path) -> None:
    data = colour_dataset(tmp_path, 3)
    wider = parse_names(["purple", ["crimson", data.space.names[0].text]])
    found = gather(data.root, dataset=data, vocabulary=wider)
    assert found.vocabulary == (*data.space.names, Name("purple"))  # crimson is another word for a name that is there
    assert {name for photo in found.photos for name in photo.names} <= set(data.space.names)


@pytest.mark.parametrize(
    ("path", "benchmark"),
    [
        ("cat/2007_000033.jpg", "voc2012"),
        ("VOC2007/JPEGImages/000033.jpg", "voc2012"),
        ("coco/val2017/000000000139.jpg", "coco-object"),
        ("cat/COCO_val2014_000000000139.jpg", "coco-object"),
        ("ADE_val_00000001.jpg", "ade20k"),
    ],
)
def test_evaluation_photos_are_known_by_their_names(tmp_path: Path, path: str, benchmark: str) -> None:
    photo = TuningPhoto("it", save(tmp_path / path.replace(".jpg", ".png")), (Name("cat"),))
    with pytest.raises(InvalidInputError, match=f"{benchmark}.* evaluate: settings chosen on it"):
        refuse_evaluation_photos([photo])
    assert benchmark in refuse_evaluation_photos([photo], [benchmark])


def test_all_that_evaluate_photos_are_recorded_where_one_of_them_is_named(tmp_path: Path) -> None:
    photo = TuningPhoto("it", save(tmp_path / "val2017/000000000139.png"), (Name("cat"),))
    assert {"coco-object", "coco-stuff"} < set(refuse_evaluation_photos([photo], ["coco-object"]))


def test_evaluation_photos_are_known_by_the_names_of_links_and_of_what_they_lead_to(tmp_path: Path) -> None:
    stored, published = save(tmp_path / "store/SHA256E-1.png", 1), save(tmp_path / "store/2007_000042.png", 2)
    (tmp_path / "cat").mkdir()
    for name, store in (("2007_000033.png", stored), ("renamed.png", published)):
        link = tmp_path / "cat" / name
        link.symlink_to(store)
        with pytest.raises(InvalidInputError, match=r"voc2012.* evaluate: settings chosen on it"):
            refuse_evaluation_photos([TuningPhoto("it", link, (Name("cat"),))])


def test_linked_folders_are_looked_into_each_once(tmp_path: Path) -> None:
    twin = save(tmp_path / "real/cats/x.png", 1)
    for place in ("photos", "keep"):
        (tmp_path / place).mkdir()
    save(tmp_path / "photos/dog/y.png", 2)
    (tmp_path / "photos/dog/round").symlink_to(tmp_path / "photos")
    (tmp_path / "photos/cat").symlink_to(tmp_path / "real/cats")
    assert sorted(photo.key for photo in gather(tmp_path / "photos").photos) == ["cat/x.png", "dog/y.png"]
    save(tmp_path / "keep/z.png", 3)
    (tmp_path / "keep/val").symlink_to(tmp_path / "real")
    with pytest.raises(InvalidInputError, match=r"'it' looks like .*keep/val/cats/x.png"):
        refuse_likenesses([TuningPhoto("it", twin, (Name("cat"),))], tmp_path / "keep")


def test_photos_that_cannot_be_seen_are_not_passed_over(tmp_path: Path) -> None:
    save(tmp_path / "cat/a.png")
    (tmp_path / "cat/b.png").symlink_to(tmp_path / "gone.png")
    with pytest.raises(InvalidInputError, match=r"b.png is a link to nothing; bring the photo there"):
        gather(tmp_path)
    with pytest.raises(InvalidInputError, match=r"cannot search the folder .*none \(No such file or directory\)"):
        gather(tmp_path / "none")


def test_training_photos_of_the_same_folder_are_not(tmp_path: Path) -> None:
    paths = ["JPEGImages/2007_000032.png", "train2017/000000000139.png", "ADE_train_00000001.png"]
    photos = [TuningPhoto(path, save(tmp_path / path), (Name("cat"),)) for path in paths]
    assert refuse_evaluation_photos(photos) == ()


def test_context_is_known_by_its_list(tmp_path: Path) -> None:
    listing = tmp_path / "ImageSets/SegmentationContext/val.txt"
    listing.parent.mkdir(parents=True)
    listing.write_text("2008_000002\n")
    photo = TuningPhoto("it", save(tmp_path / "JPEGImages/2008_000002.png"), (Name("cat"),))
    with pytest.raises(InvalidInputError, match="context59 and context60"):
        refuse_evaluation_photos([photo])


def test_a_likeness_is_kept_out_though_scaled_stored_anew_and_renamed(tmp_path: Path) -> None:
    own = [save(tmp_path / f"mine/{i}.png", i, (300, 200)) for i in range(12)]
    with Image.open(own[7]) as image:
        content = io.BytesIO()
        image.resize((150, 100)).save(content, "JPEG", quality=70)
    photos = [TuningPhoto(str(i), save(tmp_path / f"other/{i}.png", 100 + i), (Name("cat"),)) for i in range(12)]
    refuse_likenesses(photos, tmp_path / "mine")
    twin = TuningPhoto("twin", Image.open(content), (Name("cat"),))
    with pytest.raises(InvalidInputError, match=r"'twin' looks like .*7.png"):
        refuse_likenesses([*photos, twin], tmp_path / "mine")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidInputError, match="holds no photo, so there is nothing to keep out"):
        refuse_likenesses(photos, tmp_path / "empty")


def test_one_name_alone_is_no_choice_and_a_photo_is_named_once(tmp_path: Path) -> None:
    photo = save(tmp_path / "a.png")
    with pytest.raises(InvalidInputError, match="all photos hold 'cat' and no other name is known"):
        TuningPhotos.of([(photo, ["cat"])])
    assert TuningPhotos.of([(photo, ["cat"])], vocabulary=["dog"]).vocabulary == (Name("dog"), Name("cat"))
    with pytest.raises(InvalidInputError, match="is named twice"):
        TuningPhotos.of([(photo, ["cat"]), (photo, ["dog"])])
    with pytest.raises(InvalidInputError, match="no photo with a name to tune on"):
        TuningPhotos.of([])


def test_the_digest_is_of_what_each_photo_holds_and_shows_in_whatever_order(tmp_path: Path) -> None:
    first, second = save(tmp_path / "a.png", 1), save(tmp_path / "b.png", 2)
    digest = TuningPhotos.of([(first, ["cat"]), (second, ["dog"])]).digest
    assert TuningPhotos.of([(second, ["dog"]), (first, ["cat"])]).digest == digest
    assert TuningPhotos.of([(first, ["cat"]), (second, ["cat", "dog"])]).digest != digest
    save(first, 3)
    assert TuningPhotos.of([(first, ["cat"]), (second, ["dog"])]).digest != digest


def test_pixels_are_called_by_their_place_so_another_order_is_another_digest() -> None:
    first, second = (np.full((8, 8, 3), value, np.uint8) for value in (1, 2))
    pairs: list[tuple[np.ndarray, list[str]]] = [(first, ["cat"]), (second, ["dog"])]
    assert TuningPhotos.of(pairs).digest == TuningPhotos.of(list(pairs)).digest
    assert TuningPhotos.of(pairs).digest != TuningPhotos.of(pairs[::-1]).digest


def test_the_digest_tells_synonyms_from_names(tmp_path: Path) -> None:
    photo = save(tmp_path / "a.png", 1)

    def digest(vocabulary: list[Name], shown: Name) -> str:
        return TuningPhotos.of([(photo, [shown])], vocabulary).digest

    sofa, couch, chair = Name("sofa"), Name("couch"), Name("chair")
    both = Name("sofa", ("couch",))
    told = {
        digest([both, chair], both),
        digest([sofa, couch, chair], sofa),
        digest([sofa, Name("chair", ("couch",))], sofa),
    }
    assert len(told) == 3


def test_a_draw_is_the_same_again_and_synonyms_are_one_name(tmp_path: Path) -> None:
    paths = [save(tmp_path / f"{i}.png", i) for i in range(9)]
    photos = TuningPhotos.of(
        [(path, ["couch"] if i % 2 else ["cat"]) for i, path in enumerate(paths)], [["sofa", "couch"]]
    )
    assert photos.vocabulary == (Name("sofa", ("couch",)), Name("cat"))
    drawn = photos.drawn(4, 7)
    assert [p.key for p in drawn.photos] == [p.key for p in photos.drawn(4, 7).photos]
    assert drawn.asked(next(p for p in photos.photos if p.names[0].text == "sofa")) == (0,)


def test_the_names_of_a_photo_are_drawn_in_one_order_whatever_they_came_in(tmp_path: Path) -> None:
    photo = save(tmp_path / "a.png")
    found = [TuningPhotos.of([(photo, names)]).drawn(None, 0) for names in (["sofa", "cat"], ["cat", "sofa"])]
    assert [each.photos[0].names for each in found] == [(Name("cat"), Name("sofa"))] * 2
