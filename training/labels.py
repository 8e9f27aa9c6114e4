"""Which names each photo shows, as far as anybody knows: +1 present, -1 absent, 0 unknown.

Three sources, none of them a mask: captions, folder labels, and the classifier that comes with the image trunk.
"""

import logging
from collections import Counter
from collections.abc import Collection
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int8
from torch.nn import functional as F

from pnpovss.datasets.names import bundled_names
from training.captions import phrases_of
from training.photos import SHARP, Listed, Photo
from training.relations import relatives, stuff_kinds
from training.vocabulary import Vocabulary
from training.wordnet import WordNet

log = logging.getLogger(__name__)

PRESENT, ABSENT = (2.2, 0.43), (0.5, 0.8)
"""Least and most of a classifier's summed probability of a name that is there, and is not: log odds `a + b * prior`.

The prior is the log odds of the name's share of the 1,000 classes. Summing over many classes adds up noise: a photo of
no animal gives the 118 breeds of dog 0.1 in sum. One class: there from 0.32, not below 0.007; a dog: 0.79 and 0.25.
"""
SURE = 0.8
"""Least probability for the classifier to add to what captions say."""
PROBE_PRESENT, PROBE_ABSENT = 0.6, 0.03
"""The same for the probe that carries caption nouns over to photos without captions."""
PROBE_MIN_PHOTOS = 60
SCENES = ("coco", SHARP)
"""Photos of several things. The classifier speaks of the largest one, and little of the others."""
OVERLOOKED, MUTE, JUDGED = 0.2, 0.3, 8
"""From which share on, of a name's photos in tables, the classifier is not believed that calls it absent there; by what
share it is silent for good; and on how many photos that is judged."""

_SMALL = (6, 13)  # artifacts and food, see `training.wordnet.PHYSICAL`

CLOSED = {"voc2012": "voc2012", "coco-object": "coco_object"}
"""Vocabularies that some tables of labels are complete for."""
SAME = (
    ("aeroplane", "airplane", "plane"), ("bicycle", "bike"), ("motorbike", "motorcycle"), ("sofa", "couch"),
    ("tv", "television", "tv monitor", "television set"), ("potted plant", "houseplant", "plant pot"),
    ("dining table",), ("cell phone", "phone", "mobile phone"), ("refrigerator", "fridge"), ("rug", "carpet"),
    ("pavement", "sidewalk"),
)  # fmt: skip
"""Words for one thing."""

CALTECH_NAMES: dict[str, tuple[str, ...]] = {
    "Faces": ("person", "face", "man"), "Motorbikes": ("motorcycle", "motorbike"), "airplanes": ("airplane", "plane"),
    "Leopards": ("leopard", "animal"), "car_side": ("car",), "cellphone": ("cell phone", "phone"),
    "chair": ("chair",),
    "bonsai": ("plant", "potted plant", "tree"), "cougar_body": ("cougar", "animal"),
    "cougar_face": ("cougar", "animal"),
    "crocodile_head": ("crocodile",), "dollar_bill": ("money", "paper"),
    "electric_guitar": ("guitar", "electric guitar"),
    "emu": ("bird",), "ewer": ("jug", "pitcher"), "ferry": ("ferry", "boat", "ship"),
    "flamingo_head": ("flamingo", "bird"),
    "gerenuk": ("antelope", "animal"), "grand_piano": ("piano", "grand piano"), "hawksbill": ("turtle",),
    "headphone": ("headphone", "headphones"), "inline_skate": ("rollerblade", "skate"), "joshua_tree": ("tree",),
    "ketch": ("sailboat", "boat"), "laptop": ("laptop", "computer"), "okapi": ("animal",),
    "pigeon": ("pigeon", "bird"),
    "rhino": ("rhinoceros", "animal"), "sea_horse": ("seahorse",), "soccer_ball": ("soccer ball", "ball"),
    "stop_sign": ("stop sign", "sign"), "water_lilly": ("water lily", "flower"),
    "wild_cat": ("cat", "wildcat", "animal"),
    "windsor_chair": ("chair",), "wrench": ("wrench", "tool"), "yin_yang": ("yin yang",), "cup": ("cup",),
    "barrel": ("barrel",), "dalmatian": ("dalmatian", "dog"), "ibis": ("bird",), "elephant": ("elephant", "animal"),
    "llama": ("llama", "animal"), "beaver": ("beaver", "animal"), "hedgehog": ("hedgehog", "animal"),
    "crayfish": ("crayfish",), "schooner": ("schooner", "ship", "boat"), "watch": ("watch", "clock"),
    "lamp": ("lamp",),
    "lotus": ("lotus", "flower"), "bass": ("fish",), "minaret": ("minaret", "tower", "building"),
    "pagoda": ("pagoda", "tower", "building"), "pizza": ("pizza", "food"), "umbrella": ("umbrella",),
    "dragonfly": ("dragonfly", "insect"), "mayfly": ("insect",), "flamingo": ("flamingo", "bird"),
    "ant": ("ant", "insect"),
    "octopus": ("octopus", "animal"), "dolphin": ("dolphin", "animal"), "ceiling_fan": ("fan", "ceiling fan"),
    "snoopy": ("toy",), "garfield": ("toy",), "strawberry": ("strawberry", "fruit"), "buddha": ("statue",),
    "scissors": ("scissors",), "stapler": ("stapler",), "telephone": ("telephone",), "crab": ("crab",),
}  # fmt: skip


def class_labels(
    vocabulary: Vocabulary, windows: Float[np.ndarray, "photo window 1000"]
) -> tuple[Int8[np.ndarray, "photo name"], Float[np.ndarray, "photo name"]]:
    """Labels from the classifier: a name's probability is the sum over the ImageNet classes under it.

    Summing makes coarse names sure where the class is in doubt (five breeds at 0.2 are a sure dog); the largest value
    over the windows counts, so that small things count too.

    Returns:
        The labels (0 for names without a class) and the probabilities.
    """
    matrix = np.zeros((1000, len(vocabulary.names)), np.float32)
    for column, leaves in enumerate(vocabulary.leaves):
        matrix[list(leaves), column] = 1
    scores = np.zeros((len(windows), len(vocabulary.names)), np.float32)
    for start in range(0, len(windows), 512):
        block = np.asarray(windows[start : start + 512], np.float32)
        scores[start : start + 512] = (block @ matrix).max(1)
    shares = np.array([min(max(len(leaves), 1), 999) / 1000 for leaves in vocabulary.leaves])
    prior, odds = _log_odds(shares), _log_odds(scores.clip(1e-6, 1 - 1e-6))
    present, absent = (a + b * prior for a, b in (PRESENT, ABSENT))
    labels = np.where(odds > present, 1, np.where(odds < absent, -1, 0)).astype(np.int8)
    labels[:, [not leaves for leaves in vocabulary.leaves]] = 0
    return labels, scores


def _log_odds(probability: np.ndarray) -> np.ndarray:
    return np.log(probability / (1 - probability))


def _name_present(
    row: np.ndarray, names: list[int], above: list[set[int]], below: list[set[int]], *, silent: int
) -> None:
    """Mark names and what lies above them as present; names below become unknown; the rest keep or take `silent`.

    A dog makes an animal present and leaves a poodle in doubt. It does not leave a cow in doubt, which lies below the
    animal; but whoever guessed a cow may have meant the dog.
    """
    present = _with_all(names, above)
    if silent:
        row[:] = silent
    for i in _with_all(present, below) - present:
        row[i] = min(row[i], 0)
    row[list(_with_all(names, below))] = 0
    row[list(present)] = 1


def _with_all(names: Collection[int], related: list[set[int]]) -> set[int]:
    """Names, and what is related to any of them."""
    return set(names).union(*(related[i] for i in names))


def doubt_absences(
    labels: Int8[np.ndarray, "photo name"],
    scores: Float[np.ndarray, "photo name"],
    scenes: Bool[np.ndarray, " photo"],
    there: Bool[np.ndarray, "photo name"],
    easily_overlooked: Bool[np.ndarray, " name"],
) -> Bool[np.ndarray, "photo name"]:
    """What the classifier calls absent from scenes though it knows no better.

    Of cups that tables list it calls 95% absent, of dogs 5%. Where it overlooks a name, only the half of the scenes
    that look least like it stay without; where that is no better, none.

    Args:
        labels: of the classifier.
        scores: its probabilities.
        scenes: which photos are meant.
        there: what tables list.
        easily_overlooked: names to doubt where too few tables list them to tell.
    """
    doubted = np.zeros_like(there)
    for name in np.flatnonzero((labels[scenes] < 0).any(0)):
        middle = np.median(scores[scenes, name])
        listed = np.flatnonzero(there[:, name])
        wrong = labels[listed, name] < 0
        if len(listed) < JUDGED:
            mute, overlooks = False, bool(easily_overlooked[name])
        else:
            mute, overlooks = (wrong & (scores[listed, name] < middle)).mean() > MUTE, wrong.mean() > OVERLOOKED
        if mute or overlooks:
            doubted[:, name] = scenes & (labels[:, name] < 0) & (mute | (scores[:, name] >= middle))
    return doubted


def overlooked_names(vocabulary: Vocabulary, wordnet: WordNet) -> Bool[np.ndarray, " name"]:
    """Tools, vessels, dishes and the like, of few classes: what scenes show small. Animals and vehicles are not."""
    vehicle = wordnet.senses["vehicle"][0]
    return np.array(
        [
            0 < len(leaves) <= 3
            and all(
                wordnet.synsets[offset].topic in _SMALL and vehicle not in wordnet.ancestors(offset)
                for offset in offsets
            )
            for leaves, offsets in zip(vocabulary.leaves, vocabulary.offsets, strict=True)
        ]
    )


def caption_labels(
    photos: list[Photo],
    captions: dict[str, list[str]],
    nouns: dict[str, Counter[str]],
    vocabulary: Vocabulary,
    wordnet: WordNet,
) -> Int8[np.ndarray, "photo name"]:
    """Labels of the captioned photos; zeros for the others. What five captions leave out counts as absent.

    A word that they say in whatever sense ("an orange shirt") is not left out.
    """
    above, below = relatives(vocabulary, wordnet)
    people = [i for i, is_person in enumerate(vocabulary.person) if is_person]
    labels = np.zeros((len(photos), len(vocabulary.names)), np.int8)
    for row, photo in zip(labels, photos, strict=True):
        if photo.source != "flickr8k":
            continue
        named = [vocabulary.index[noun] for noun in nouns[photo.name] if noun in vocabulary.index]
        _name_present(row, named, above, below, silent=-1)
        if any(row[i] > 0 for i in people):
            others = [i for i in people if row[i] < 0]
            row[others] = 0
        phrases = {phrase for caption in captions[photo.name] for phrase in phrases_of(caption, wordnet)}
        said = [vocabulary.index[phrase] for phrase in phrases if phrase in vocabulary.index]
        row[said] = np.maximum(row[said], 0)
    return labels


def doubt_stuff(labels: Int8[np.ndarray, "photo name"], kinds: list[list[int]]) -> None:
    """Where one word for a kind of stuff holds, nothing is said of the others, in place: a lake is water."""
    for names in kinds:
        own = labels[:, names]
        here = (own > 0).any(1, keepdims=True)
        labels[:, names] = np.where(here & (own < 0), 0, own)


def folder_names(photo: Photo, wordnet: WordNet, index: dict[str, int]) -> list[int]:
    """Names that a photo's folder or file name gives it."""
    if photo.source == "caltech101":
        folder = photo.name.split("/")[0]
        names = CALTECH_NAMES.get(folder, (folder.replace("_", " "),))
    elif photo.source == "imagenet":
        names = wordnet.synsets[int(Path(photo.name).name.split("_")[0][1:])].lemmas
    else:
        names = ()
    return [index[name] for name in names if name in index]


def listed_labels(
    labels: Int8[np.ndarray, "photo name"],
    photos: list[Photo],
    listed: dict[str, Listed],
    vocabulary: Vocabulary,
    wordnet: WordNet,
) -> None:
    """Write what tables say of photos over what was guessed of them.

    A name that a table lists is there, with what lies above it. A name of a closed vocabulary that it does not list is
    absent, with what lies below it.
    """
    above, below = relatives(vocabulary, wordnet)
    closed = {key: [word for name in bundled_names(file) for word in name.all] for key, file in CLOSED.items()}
    for row, photo in zip(labels, photos, strict=True):
        if photo.source != SHARP:
            continue
        entry = listed[photo.name]
        here = [vocabulary.index[n] for label in entry.labels for n in words_for(label) if n in vocabulary.index]
        said = {n for label in entry.labels for n in words_for(label)}
        missing = {n for name in closed.get(entry.closed, ()) for n in words_for(name)} - said
        away = {vocabulary.index[n] for n in missing if n in vocabulary.index}
        row[list(_with_all(away, below))] = -1
        _name_present(row, here, above, below, silent=0)
        if "person" in missing:
            row[np.array(vocabulary.person)] = -1
        row[list(_with_all(here, above))] = 1


def words_for(label: str) -> tuple[str, ...]:
    """A label and the other words for its thing, see `SAME`."""
    return next((group for group in SAME if label in group), (label,))


def train_probe(
    pooled: Float[np.ndarray, "photo window f"],
    captioned: np.ndarray,
    labels: Int8[np.ndarray, "photo name"],
    *,
    seed: int,
) -> tuple[np.ndarray, Float[np.ndarray, "photo probed"]]:
    """A linear probe for the caption nouns, trained on captioned photos and run on all.

    Returns:
        Which names it knows, and their probabilities for every photo.
    """
    torch.manual_seed(seed)
    known = np.flatnonzero((labels[captioned] > 0).sum(0) >= PROBE_MIN_PHOTOS)
    # Square roots and clipping keep rare spikes of single features from deciding on photos unlike the captioned ones.
    inputs = torch.from_numpy(np.sqrt(np.concatenate([pooled[:, 0], pooled[:, 1:].max(1)], 1).astype(np.float32)))
    inputs = ((inputs - inputs[captioned].mean(0)) / (inputs[captioned].std(0) + 0.05)).clamp_(-3, 3)
    x, y = inputs[captioned], torch.from_numpy((labels[captioned][:, known] > 0).astype(np.float32))
    linear = torch.nn.Linear(x.shape[1], len(known))
    torch.nn.init.zeros_(linear.weight)
    torch.nn.init.constant_(linear.bias, -3.0)
    optimizer = torch.optim.AdamW(linear.parameters(), lr=3e-4, weight_decay=1.0)
    for _ in range(10):
        for part in torch.randperm(len(x)).split(256):
            loss = F.binary_cross_entropy_with_logits(linear(x[part]), y[part])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    with torch.no_grad():
        return known, linear(inputs).sigmoid().numpy()


def build_labels(
    photos: list[Photo],
    vocabulary: Vocabulary,
    wordnet: WordNet,
    captions: dict[str, list[str]],
    nouns: dict[str, Counter[str]],
    windows: Float[np.ndarray, "photo window 1000"],
    pooled: Float[np.ndarray, "photo window f"],
    listed: dict[str, Listed],
    told: dict[int, list[list[int]]],
    *,
    seed: int,
) -> Int8[np.ndarray, "photo name"]:
    """All three sources together; what a person wrote outranks what a classifier thinks.

    What tables say comes as `listed` and, by photo and as names, as `told`: see `training.workspace.Workspace`.
    """
    labels, scores = class_labels(vocabulary, windows)
    source = np.array([photo.source for photo in photos])
    there = np.zeros(labels.shape, bool)
    for row, words in told.items():
        there[row, [name for each in words for name in each]] = True
    doubted = doubt_absences(labels, scores, np.isin(source, SCENES), there, overlooked_names(vocabulary, wordnet))
    labels[doubted] = 0
    written = caption_labels(photos, captions, nouns, vocabulary, wordnet)
    captioned = source == "flickr8k"
    # Captions decide; the classifier only adds sure finds, and casts doubt on an absence where it sees something.
    seen = (labels >= 0) & np.array([bool(leaves) for leaves in vocabulary.leaves])
    silent_but_seen = captioned[:, None] & (written < 0) & seen
    sure = captioned[:, None] & (scores > SURE) & (labels > 0) & (written <= 0)
    labels[captioned] = written[captioned]
    labels[silent_but_seen] = 0
    labels[sure] = 1
    known, probability = train_probe(pooled, captioned, written, seed=seed)
    # Captions seldom mention what surrounds things: it is absent from the half of the photos where the probe expects it
    # least, at most.
    kinds = stuff_kinds(vocabulary)
    stuff = np.isin(known, [name for names in kinds for name in names])
    expected = stuff & (probability >= np.median(probability[captioned], axis=0))
    for row, expects in enumerate(expected):
        mine = labels[row, known]
        if captioned[row]:
            labels[row, known] = np.where(expects, np.maximum(mine, 0), mine)
            continue
        absent = (probability[row] < PROBE_ABSENT) & ~expects & ~doubted[row, known]
        guess = np.where(probability[row] > PROBE_PRESENT, 1, np.where(absent, -1, 0))
        labels[row, known] = np.where(mine == 0, guess, mine)
    doubt_stuff(labels, kinds)
    above, below = relatives(vocabulary, wordnet)
    for row, photo in zip(labels, photos, strict=True):
        named = folder_names(photo, wordnet, vocabulary.index)
        if named:
            _name_present(row, named, above, below, silent=0)
    # A person is what the trunk's classes leave out: any human name present makes "person" present.
    people = np.array(vocabulary.person)
    person = vocabulary.index["person"]
    labels[(labels[:, people] > 0).any(1), person] = 1
    listed_labels(labels, photos, listed, vocabulary, wordnet)
    counts = (labels > 0).sum(0)
    log.info("labels: %d names with a photo, %.1f names a photo", (counts > 0).sum(), (labels > 0).sum(1).mean())
    return labels
