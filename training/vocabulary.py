"""Names that the model is trained on, and how they hang together.

A name is a string that a user would type. It may stand for a WordNet meaning that Lite2's classifier knows (an
ImageNet class or one of its hypernyms), for a noun of the captions, or both. Nothing here looks at a photo.
"""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from training.wordnet import PHYSICAL, WordNet

HELD_OUT = (
    "helicopter", "kangaroo", "lobster", "accordion", "sunflower", "butterfly", "starfish", "rooster", "saxophone",
    "wheelchair", "panda", "camera",
)  # fmt: skip
"""Words kept out of every training prompt and caption, for the report on names never trained on."""


def _words(file: str) -> frozenset[str]:
    return frozenset((Path(__file__).parent / "words" / file).read_text().splitlines())


TOO_VAGUE = _words("too_vague.txt")
"""WordNet's words for classes of things that nobody would look for in a photo ("instrumentality")."""
NO_NAMES = _words("no_names.txt")
"""Words of captions that WordNet lists as physical things but that are something else there ("white", "stand")."""

EXTRA_CAPTION_WORDS = (
    "snow", "field", "park", "crowd", "people", "city", "forest", "playground", "court", "sunset", "family", "team",
    "wave",
    "woods", "tv", "food", "cake", "pizza", "table", "chair", "laptop", "phone", "bottle",
    "cat", "sheep", "cow", "bus", "train", "airplane", "sofa", "couch", "bed", "clock", "kite", "bear", "plant",
    "giraffe", "cake", "book", "animal", "person", "sign", "racket",
)  # fmt: skip
"""Nouns taken from captions whatever their first meaning in WordNet or their number."""

PEOPLE = frozenset({"people", "crowd", "team", "family", "guy", "kid"})

SYNONYMS: dict[str, tuple[str, ...]] = {
    "airliner": ("airplane", "aeroplane", "plane", "aircraft", "jet"),
    "warplane": ("airplane", "aeroplane", "plane", "aircraft", "jet"),
    "wing": ("airplane", "aeroplane"),
    "steam locomotive": ("train", "locomotive"),
    "electric locomotive": ("train", "locomotive"),
    "freight car": ("train",),
    "passenger car": ("train",),
    "bullet train": ("train",),
    "streetcar": ("train", "tram"),
    "motor scooter": ("motorbike", "motorcycle", "scooter"),
    "moped": ("motorbike", "motorcycle", "scooter"),
    "bicycle-built-for-two": ("bicycle", "bike"),
    "mountain bike": ("bicycle", "bike"),
    "studio couch": ("sofa", "couch"),
    "television": ("tv", "television", "tv monitor", "television set"),
    "screen": ("monitor", "tv monitor", "computer monitor"),
    "monitor": ("monitor", "tv monitor", "computer monitor"),
    "desktop computer": ("computer", "monitor"),
    "pot": ("potted plant", "flowerpot", "plant", "houseplant"),
    "dining table": ("table", "dining table"),
    "sorrel": ("horse",),
    "ox": ("cow", "cattle"),
    "water buffalo": ("cow", "cattle"),
    "ram": ("sheep",),
    "bighorn": ("sheep",),
    "hog": ("pig",),
    "goblet": ("wine glass",),
    "cellular telephone": ("cell phone", "mobile phone", "phone"),
    "notebook": ("laptop", "computer"),
    "laptop": ("laptop", "computer"),
    "mouse": ("computer mouse",),
    "remote control": ("remote",),
    "refrigerator": ("fridge",),
    "teddy": ("teddy bear",),
    "toilet seat": ("toilet",),
    "washbasin": ("sink",),
    "street sign": ("sign",),
    "traffic light": ("traffic light",),
    "stove": ("oven", "stove"),
    "park bench": ("bench",),
    "racket": ("tennis racket",),
    "daisy": ("flower",),
    "trailer truck": ("truck", "lorry"),
    "minivan": ("van", "car"),
    "beach wagon": ("car",),
    "speedboat": ("boat",),
    "catamaran": ("boat", "sailboat"),
    "schooner": ("boat", "ship"),
    "fireboat": ("boat",),
    "liner": ("ship", "boat"),
    "container ship": ("ship", "boat"),
    "French loaf": ("bread",),
    "Granny Smith": ("apple",),
    "cheeseburger": ("hamburger", "burger", "sandwich"),
    "hotdog": ("hot dog",),
    "wine bottle": ("bottle",),
    "water bottle": ("bottle",),
    "espresso": ("coffee", "cup"),
    "coffee mug": ("cup", "mug"),
    "cup": ("cup",),
    "folding chair": ("chair",),
    "rocking chair": ("chair", "armchair"),
    "barber chair": ("chair",),
    "throne": ("chair", "armchair"),
    "four-poster": ("bed",),
    "quilt": ("bed",),
    "tabby": ("kitten",),
    "dining-room table": ("table",),
    "lakeside": ("lake", "water"),
    "seashore": ("beach", "sea", "sand"),
    "sandbar": ("beach", "sea", "sand"),
    "valley": ("mountain",),
    "alp": ("mountain",),
    "vase": ("flower vase",),
    "digital clock": ("clock",),
    "analog clock": ("clock",),
    "wall clock": ("clock",),
}  # fmt: skip
"""More names for ImageNet classes: those in common speech that WordNet files elsewhere."""

MAX_LEAVES = 75
WIDE_NAMES = frozenset({"animal", "dog", "bird"})
MIN_CAPTION_PHOTOS = 12
_DESCRIBING = ("small ", "large ", "little ", "black ", "african ", "young ", "old ", "blue ", "white ")


@dataclass
class Vocabulary:
    """Names and their relations.

    Attributes:
        names: all names, sorted.
        leaves: for each name, the ImageNet class indices under it; empty for a name only captions know.
        offsets: WordNet meanings of each name.
        person: whether each name denotes a human being.
    """

    names: list[str]
    leaves: list[tuple[int, ...]]
    offsets: list[frozenset[int]]
    person: list[bool]
    index: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        self.index = {name: i for i, name in enumerate(self.names)}


def held_out(text: str) -> bool:
    """Whether a text holds one of the :data:`HELD_OUT` words, singular or plural."""
    words = text.lower().replace("-", " ").split()
    return any(word.rstrip(".,") in (out, f"{out}s", f"{out}es", "butterflies") for word in words for out in HELD_OUT)


def leaf_names(wordnet: WordNet, offset: int) -> list[str]:
    """Names of an ImageNet class itself, as WordNet and :data:`SYNONYMS` know them."""
    lemmas = wordnet.synsets[offset].lemmas
    return [*lemmas, *(extra for lemma in lemmas[:1] for extra in SYNONYMS.get(lemma, ()))]


def class_hypernyms(wordnet: WordNet, offset: int, counts: Counter[int]) -> list[str]:
    """Usable hypernym names of an ImageNet class, from near to far."""
    chain = sorted(wordnet.ancestors(offset) - {offset}, key=lambda node: counts[node])
    return [name for node in chain for name in _node_names(wordnet, node, counts)]


def _node_names(wordnet: WordNet, node: int, counts: Counter[int]) -> list[str]:
    synset = wordnet.synsets[node]
    wide = synset.lemmas[0] in WIDE_NAMES
    if not wide and (synset.topic not in PHYSICAL or counts[node] > MAX_LEAVES):
        return []
    kept = []
    for lemma in synset.lemmas[:3]:
        common = node in wordnet.senses.get(lemma.lower(), ())[:2]
        common = common and (lemma.lower() in wordnet.familiar or lemma == synset.lemmas[0])
        if common and lemma not in TOO_VAGUE and len(lemma.split()) <= 3:
            kept.append(lemma)
    return kept[:2] if counts[node] > 1 else kept


def count_leaves(wordnet: WordNet, classes: list[int]) -> Counter[int]:
    """How many ImageNet classes lie under each WordNet node."""
    return Counter(node for offset in classes for node in wordnet.ancestors(offset))


def build_vocabulary(wordnet: WordNet, classes: list[int], caption_nouns: Counter[str]) -> Vocabulary:
    """Names from ImageNet's classes, their hypernyms and synonyms, and the nouns of captions.

    Args:
        wordnet: the dictionary.
        classes: WordNet offsets of the 1,000 classes in the classifier's order.
        caption_nouns: for each noun, in how many photos' captions it stands.
    """
    counts = count_leaves(wordnet, classes)
    leaves: dict[str, set[int]] = {}
    offsets: dict[str, set[int]] = {}
    for index, offset in enumerate(classes):
        for name in leaf_names(wordnet, offset):
            leaves.setdefault(name, set()).add(index)
            if name in wordnet.synsets[offset].lemmas:
                offsets.setdefault(name, set()).add(offset)
        for node in wordnet.ancestors(offset) - {offset}:
            for name in _node_names(wordnet, node, counts):
                leaves.setdefault(name, set()).add(index)
                offsets.setdefault(name, set()).add(node)
    names = set(leaves) | {
        noun
        for noun, photos in caption_nouns.items()
        if photos >= MIN_CAPTION_PHOTOS and noun not in NO_NAMES and not noun.startswith(_DESCRIBING)
    }
    names |= {"person"}
    kept = sorted(name for name in names if not held_out(name) and len(name) > 1)
    meanings = [frozenset(offsets.get(name, ())) | frozenset(wordnet.senses.get(name.lower(), ())[:1]) for name in kept]
    person_root = wordnet.senses["person"][0]
    person = [
        name in PEOPLE or (not leaves.get(name) and any(person_root in wordnet.ancestors(offset) for offset in meaning))
        for name, meaning in zip(kept, meanings, strict=True)
    ]
    return Vocabulary(kept, [tuple(sorted(leaves.get(name, ()))) for name in kept], meanings, person)
