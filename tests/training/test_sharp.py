"""Sharp photos with tables of labels: which take part, what is known of them, and the maps that are drawn for them."""

import csv
import io
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from pnpovss.backbones.base import LoadOptions
from pnpovss.backbones.mini.backbone import load_mini
from tests.support.archives import write_tar
from training.drawn import FEW_LOOKS, draw_pseudo_maps
from training.labels import caption_labels, doubt_absences, doubt_stuff, listed_labels, words_for
from training.photos import ARCHIVES, SHARP, Listed, Photo, PhotoReader, read_listed, thin_out
from training.prompts import PromptWriter
from training.pseudo import choose_names, open_pseudo
from training.vocabulary import Vocabulary
from training.wordnet import WordNet

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMES = ["dog", "couch", "sofa", "bus", "animal", "tree", "person"]


def sharp(name: str) -> Photo:
    return Photo(SHARP, name, 0, 1)


def test_photos_with_the_same_labels_take_part_up_to_a_number_and_small_ones_by_a_share():
    listed = {f"voc/{i}.jpg": Listed(("dog",), "voc2012") for i in range(90)}
    listed["voc/cat.jpg"] = Listed(("cat",), "voc2012")
    small = [Photo("coco", f"{i}.jpg", 0, 1) for i in range(1000)]
    photos = [*small, *map(sharp, sorted(listed))]
    kept = thin_out(photos, listed, 0.1, 60)
    assert sum(listed[p.name].labels == ("dog",) for p in kept if p.source == SHARP) == 60
    assert sharp("voc/cat.jpg") in kept
    assert 60 < sum(p.source == "coco" for p in kept) < 140
    assert kept == sorted(kept, key=photos.index)
    assert len([p for p in thin_out(photos, listed, 1.0, 60) if p.source == "coco"]) == 1000


def test_the_table_of_labels_is_read_from_the_archive(tmp_path: Path):
    table = io.StringIO()
    csv.writer(table).writerows(
        [["file", "labels", "closed"], ["a/1.jpg", "dog;sofa", "voc2012"], ["b/2.jpg", "wall", ""]]
    )
    write_tar(tmp_path / ARCHIVES[SHARP], {"labels.csv": table.getvalue().encode()})
    assert read_listed(tmp_path) == {"a/1.jpg": Listed(("dog", "sofa"), "voc2012"), "b/2.jpg": Listed(("wall",), "")}


def test_what_a_table_says_overrules_what_was_guessed(tmp_path: Path):
    for file in ("data.noun", "index.noun", "noun.exc"):
        (tmp_path / file).write_text("")
    vocabulary = Vocabulary(NAMES, [()] * 7, [frozenset()] * 7, [False] * 6 + [True])
    photos = [sharp("voc/1.jpg"), Photo("coco", "2.jpg", 0, 1), sharp("ikea/3.jpg")]
    listed = {"voc/1.jpg": Listed(("sofa",), "voc2012"), "ikea/3.jpg": Listed(("bus",), "")}
    labels = np.array([[1, -1, -1, 1, 1, 1, 0]] * 3, np.int8)
    listed_labels(labels, photos, listed, vocabulary, WordNet(tmp_path))
    # A sofa is a couch, too; dog and bus are VOC names and not listed; animal and tree are none of VOC's.
    assert labels.tolist() == [[-1, 1, 1, -1, 1, 1, -1], [1, -1, -1, 1, 1, 1, 0], [1, -1, -1, 1, 1, 1, 0]]
    assert words_for("couch") == words_for("sofa") != words_for("dog") == ("dog",)


def test_a_dog_is_no_cow_though_both_are_animals(tmp_path: Path):
    names = ["animal", "dog", "poodle", "cow", "sheep"]
    above = ["", " @ 00000001 n 0000", " @ 00000002 n 0000", " @ 00000001 n 0000", " @ 00000001 n 0000"]
    lines = [f"0000000{i + 1} 05 n 01 {names[i]} 0 00{int(bool(above[i]))}{above[i]} | a noun" for i in range(5)]
    (tmp_path / "data.noun").write_text("\n".join(lines) + "\n")
    (tmp_path / "index.noun").write_text("".join(f"{n} n 1 0 1 0 0000000{i + 1}\n" for i, n in enumerate(names)))
    (tmp_path / "noun.exc").write_text("")
    vocabulary = Vocabulary(names, [()] * 5, [frozenset({i + 1}) for i in range(5)], [False] * 5)
    vocabulary.index["person"] = 0  # which is nobody here
    photos = [sharp("voc/1.jpg"), sharp("ikea/2.jpg")]
    listed = {"voc/1.jpg": Listed(("dog",), "voc2012"), "ikea/2.jpg": Listed(("dog",), "")}
    labels = np.array([[0, 0, -1, 1, 0], [0, 0, -1, 1, -1]], np.int8)
    listed_labels(labels, photos, listed, vocabulary, WordNet(tmp_path))
    # VOC has cows and sheep, so the first photo shows none; in the other, who guessed a cow may have seen the dog.
    assert labels.tolist() == [[1, 1, 0, -1, -1], [1, 1, 0, 0, -1]]


def test_a_word_that_captions_say_is_not_absent_whatever_it_means_there(tmp_path: Path):
    names = ["dog", "orange", "water", "sofa", "person"]
    (tmp_path / "data.noun").write_text(
        "\n".join(f"0000000{i + 1} {'05' if n == 'dog' else '07'} n 01 {n} 0 000 | a noun" for i, n in enumerate(names))
    )
    (tmp_path / "index.noun").write_text("".join(f"{n} n 1 0 1 0 0000000{i + 1}\n" for i, n in enumerate(names)))
    (tmp_path / "noun.exc").write_text("")
    vocabulary = Vocabulary(names, [()] * 5, [frozenset({i + 1}) for i in range(5)], [False] * 4 + [True])
    captions = {"1.jpg": ["A dog with an orange collar .", "Dogs in water"]}
    photos, nouns = [Photo("flickr8k", "1.jpg", 0, 1)], {"1.jpg": Counter({"dog": 2})}
    labels = caption_labels(photos, captions, nouns, vocabulary, WordNet(tmp_path))
    assert labels.tolist() == [[1, 0, 0, -1, -1]]


def test_a_classifier_that_overlooks_listed_things_is_not_believed_to_see_none():
    labels = np.full((40, 3), -1, np.int8)
    scores = np.tile(np.linspace(0, 1, 40, dtype=np.float32)[:, None], (1, 3))
    there = np.zeros((40, 3), bool)
    there[20:30, 0] = True  # listed where it scores above the middle, and yet called absent
    there[:10, 1] = True  # listed where it scores least
    scenes = np.arange(40) < 36
    doubted = doubt_absences(labels, scores, scenes, there, np.array([False, False, True]))
    middle = np.median(scores[:36, 0])
    assert doubted[:, 0].tolist() == (scenes & (scores[:, 0] >= middle)).tolist()
    assert doubted[:, 1].tolist() == scenes.tolist()
    assert doubted[:, 2].tolist() == doubted[:, 0].tolist()  # nobody listed it, and it is easily overlooked
    labels[there] = 1
    assert not doubt_absences(labels, scores, scenes, there, np.zeros(3, bool)).any()


def test_a_lake_is_water_and_no_sky():
    labels = np.array([[1, -1, -1], [-1, -1, 1]], np.int8)  # lake, water, sky
    doubt_stuff(labels, [[0, 1], [2]])
    assert labels.tolist() == [[1, 0, -1], [-1, -1, 1]]


@pytest.mark.extra("training")
def test_told_names_come_first_then_what_surrounds_them_and_guessed_ones_exclude_one_another():
    labels = np.array([[1, 1, 1, 0, 1, 0, 0]], np.int8)
    writer = PromptWriter(NAMES, labels, np.ones(7), {}, seed=0)
    rival = ~np.eye(7, dtype=bool)
    rival[0, 4] = rival[4, 0] = False  # a dog is an animal
    for seed in range(20):
        random = np.random.default_rng(seed)
        stuff = np.arange(7) == 2
        told = choose_names(writer, 0, [[1], [3]], ~rival, random, guesses=stuff)
        assert sorted(told) == [1, 2, 3]  # a dog is no stuff, and not told
        assert sorted(choose_names(writer, 0, [[1], [2]], ~rival, random, guesses=stuff)) == [1, 2]
        guessed = choose_names(writer, 0, [], ~rival, random)
        assert {1, 2} <= set(guessed)
        assert ({0} <= set(guessed)) != ({4} <= set(guessed))


def test_maps_are_drawn_where_the_method_finds_a_thing(tmp_path: Path):
    stored = (EXAMPLES / "cat.jpg").read_bytes()
    (tmp_path / ARCHIVES[SHARP]).write_bytes(stored)
    reader = PhotoReader(tmp_path, [Photo(SHARP, "cat.jpg", 0, len(stored))] * 2)
    backbone = load_mini("mini", LoadOptions())
    near, chosen = np.array([True, False]), {1: [1], 0: [0]}
    open_pseudo(tmp_path / "maps", 2, 81, write=True).names[:] = -1
    for _ in range(2):  # the second time there is nothing left to do
        draw_pseudo_maps(backbone, ["cat", "dog"], chosen, near, reader, tmp_path / "maps", looks=FEW_LOOKS, cells=9)
    maps = open_pseudo(tmp_path / "maps", 2, 81, write=False)
    assert maps.names.tolist() == [[0, -1, -1, -1], [1, -1, -1, -1]]
    cat = torch.from_numpy(np.array(maps.maps[0, 0])).view(9, 9).float()
    assert 0.2 < float(cat.mean()) / 255 < 0.95
    assert float(cat[3:6, 3:6].mean()) > float(cat[[0, 0, -1, -1], [0, -1, 0, -1]].mean())
