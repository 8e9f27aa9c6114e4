"""How names are related: which lie above and below others, which cannot be the same pixels, which are near of kin."""

import numpy as np
from jaxtyping import Bool, Float

from training.vocabulary import Vocabulary
from training.wordnet import WordNet

STUFF = (
    ("wall",), ("ceiling",), ("floor", "carpet", "rug"), ("sky",), ("grass", "field", "park"),
    ("tree", "forest", "bush"), ("building", "house"), ("road", "street", "track"), ("pavement", "sidewalk"),
    ("water", "sea", "ocean", "river", "lake", "pool"), ("sand", "beach"), ("snow", "ice"),
    ("mountain", "hill", "rock", "stone"), ("mud", "ground", "dirt"), ("fence",), ("curtain",),
)  # fmt: skip
"""Words for what surrounds things. Those of one line may be the same pixels."""


def stuff_kinds(vocabulary: Vocabulary) -> list[list[int]]:
    """The names of each line of `STUFF` that the vocabulary has."""
    return [[vocabulary.index[word] for word in words if word in vocabulary.index] for words in STUFF]


def relatives(vocabulary: Vocabulary, wordnet: WordNet) -> tuple[list[set[int]], list[set[int]]]:
    """For each name: the names above it (synonyms included), and the names below it."""
    roots = _hypernyms(vocabulary, wordnet)
    holders: dict[int, set[int]] = {}
    for i, offsets in enumerate(vocabulary.offsets):
        for offset in offsets:
            holders.setdefault(offset, set()).add(i)
    above: list[set[int]] = [
        {j for node in nodes for j in holders.get(node, ())} - {i} for i, nodes in enumerate(roots)
    ]
    person = vocabulary.index["person"]
    for i, is_person in enumerate(vocabulary.person):
        if is_person and i != person:
            above[i].add(person)
    below: list[set[int]] = [set() for _ in above]
    for i, parents in enumerate(above):
        for j in parents:
            below[j].add(i)
    return above, below


def rival_names(vocabulary: Vocabulary, wordnet: WordNet) -> np.ndarray:
    """Pairs of names that cannot be the same pixels: things of which neither is a kind of the other.

    Only things with a class of the classifier, people and `STUFF` compete; clothes and parts lie on other things.
    """
    above, _ = relatives(vocabulary, wordnet)
    count = len(vocabulary.names)
    clothing = wordnet.senses["clothing"][0]
    thing = np.array(
        [
            is_person or (bool(leaves) and not any(clothing in wordnet.ancestors(o) for o in offsets))
            for is_person, leaves, offsets in zip(vocabulary.person, vocabulary.leaves, vocabulary.offsets, strict=True)
        ]
    )
    rival = thing[:, None] & thing[None]
    for i, parents in enumerate(above):
        related = list(parents | {i})
        rival[i, related] = rival[related, i] = False
    people = np.flatnonzero(vocabulary.person)
    rival[np.ix_(people, people)] = False
    rival &= ~_share_classes(vocabulary)
    kind = np.full(count, -1)
    for number, names in enumerate(stuff_kinds(vocabulary)):
        kind[names] = number
    stuff = kind >= 0
    rival[stuff] = (thing & ~stuff) | (stuff & (kind != kind[stuff][:, None]))
    rival[:, stuff] = rival[stuff].T
    for i in np.flatnonzero(stuff):
        related = list(above[i])
        rival[i, related] = rival[related, i] = False
    return rival


def kindred_names(vocabulary: Vocabulary, wordnet: WordNet) -> Bool[np.ndarray, "name name"]:
    """Pairs of names for the same things: above one another, of the same classes, both of people, or one twice."""
    above, _ = relatives(vocabulary, wordnet)
    kindred = _share_classes(vocabulary) | np.eye(len(above), dtype=bool)
    for i, names in enumerate(above):
        kindred[i, list(names)] = kindred[list(names), i] = True
    person = np.array(vocabulary.person)
    return kindred | (person[:, None] & person)


def _share_classes(vocabulary: Vocabulary) -> Bool[np.ndarray, "name name"]:
    """Pairs of names of a class in common, which may be the same thing: train and tram, tv and screen."""
    matrix = np.zeros((len(vocabulary.names), 1000), np.float32)
    for own, leaves in zip(matrix, vocabulary.leaves, strict=True):
        own[list(leaves)] = 1
    return matrix @ matrix.T > 0


def kinship(vocabulary: Vocabulary, wordnet: WordNet) -> Float[np.ndarray, "name name"]:
    """How near of kin names are, 0 to 1: the share of WordNet's hypernyms of either that are hypernyms of both.

    A cow and a sheep: 0.79; a dog and a cow: 0.5; a dog and a chair: 0.19.
    """
    nodes = _hypernyms(vocabulary, wordnet)
    column = {node: place for place, node in enumerate(sorted(frozenset().union(*nodes)))}
    above = np.zeros((len(nodes), len(column)), np.float32)
    for row, own in zip(above, nodes, strict=True):
        row[[column[node] for node in own]] = 1
    both, each = above @ above.T, above.sum(1)
    return both / np.maximum(each[:, None] + each - both, 1)


def _hypernyms(vocabulary: Vocabulary, wordnet: WordNet) -> list[frozenset[int]]:
    """Of each name, its synsets and all that lie above them."""
    return [
        frozenset().union(*(wordnet.ancestors(o) for o in offsets)) if offsets else frozenset()
        for offsets in vocabulary.offsets
    ]
