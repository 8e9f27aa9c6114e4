"""Where everything lies in the cache folder, and how the steps hand results to one another."""

import json
import pickle
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int8
from torch import Tensor

from pnpovss.backbones.mini.lite2 import STRIDE
from pnpovss.backbones.mini.model import Mini
from pnpovss.files.writing import write_all
from training.batches import Batches, FitConfig, Near
from training.captions import photo_nouns, read_captions
from training.features import load_trunk, open_features
from training.labels import words_for
from training.made_with import check_cache
from training.minilm import load_text, load_tokenizer
from training.photos import (
    SHARP,
    Listed,
    Photo,
    PhotoReader,
    index_photos,
    load_index,
    read_listed,
    save_index,
    thin_out,
)
from training.prompts import PromptWriter
from training.relations import kinship
from training.semantics import Semantics, open_semantics
from training.vocabulary import Vocabulary, build_vocabulary, held_out
from training.wordnet import WordNet

FAMILIAR_SAID = 3
"""A word that captions say so often is one that people use."""
_SOURCE_WEIGHT = {"coco": 1.0, "flickr8k": 1.0, "caltech101": 0.4, "imagenet": 0.7, "sharp": 2.0}


def familiarity(name: str, said: int, classes: int, *, known: bool) -> float:
    """How likely somebody is to ask for a name, 0.1 to 1.

    Without this, most of the names that are drawn are of a dictionary: penal institution, musteline mammal.

    Args:
        name: the name.
        said: how often the captions say it.
        classes: how many of the classifier's classes lie under it; more than one makes it a class of things.
        known: whether WordNet's sense-tagged texts hold it.
    """
    if said >= FAMILIAR_SAID:
        return 1.0
    if not name.islower():
        return 0.1
    if " " in name:
        return 0.3 if classes <= 1 else 0.1
    return (0.6 if known else 0.25) if classes <= 6 else 0.1


@dataclass(frozen=True)
class Workspace:
    """Lazily made pieces of a training run.

    Attributes:
        data: folder with the photo archives.
        cache: folder for everything that is made on the way.
        wordnet_folder: folder with WordNet's `data.noun`.
        side: pixels that photos are resized to.
        device: where it computes.
        share: of the small photos that take part.
        alike: sharp photos of one folder with just the same labels that take part.
        near: pixels that sharp photos are resized to where parts of them are seen from near.
        dtype: of the trunk.
    """

    data: Path
    cache: Path
    wordnet_folder: Path
    side: int = 320
    device: str = "cpu"
    share: float = 1.0
    alike: int = 60
    near: int = 528
    dtype: torch.dtype = torch.float32

    @cached_property
    def wordnet(self) -> WordNet:
        """The dictionary."""
        return WordNet(self.wordnet_folder)

    @cached_property
    def photos(self) -> list[Photo]:
        """The index; made and kept on first use.

        Raises:
            OtherCacheError: the cache holds that of other options or archives.
        """
        path = self.cache / "photos.json"
        options = {"side": self.side, "near": self.near, "share": self.share, "alike": self.alike}
        check_cache(self.cache, self.data, options)
        if not path.exists():
            save_index(thin_out(index_photos(self.data), self.listed, self.share, self.alike), path)
        return load_index(path)

    @cached_property
    def reader(self) -> PhotoReader:
        """Reads photos by number."""
        return PhotoReader(self.data, self.photos)

    @cached_property
    def source(self) -> np.ndarray:
        """Archive of each photo."""
        return np.array([photo.source for photo in self.photos])

    @cached_property
    def validation(self) -> Bool[np.ndarray, " photo"]:
        """Photos that are never trained on."""
        return np.array([photo.held_back for photo in self.photos])

    @cached_property
    def classes(self) -> list[int]:
        """WordNet offsets of ImageNet's classes in the classifier's order, which is that of their ids."""
        names = [Path(photo.name).name for photo in index_photos(self.data, ["imagenet"])]
        return [int(name.split("_")[0][1:]) for name in names]

    @cached_property
    def captions(self) -> dict[str, list[str]]:
        """Captions by photo path."""
        return read_captions(self.data)

    @cached_property
    def listed(self) -> dict[str, Listed]:
        """Labels of the sharp photos, by path in their archive."""
        return read_listed(self.data)

    @cached_property
    def nouns(self) -> dict[str, Counter[str]]:
        """Nouns in the captions of each photo."""
        return photo_nouns(self.captions, self.wordnet)

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The names; built and kept on first use."""
        path = self.cache / "vocabulary.pkl"
        if not path.exists():
            built = build_vocabulary(self.wordnet, self.classes, self.spoken)
            write_all({self.cache / "names.json": json.dumps(built.names).encode(), path: pickle.dumps(built)})
        return pickle.loads(path.read_bytes())

    @cached_property
    def spoken(self) -> Counter[str]:
        """How often captions and tables of labels say a word."""
        said = Counter(noun for nouns in self.nouns.values() for noun in nouns)
        return said + Counter(label for entry in self.listed.values() for label in entry.labels)

    @cached_property
    def sharp(self) -> np.ndarray:
        """Photos that are also seen from near."""
        return np.flatnonzero(self.source == SHARP)

    @property
    def near_folder(self) -> Path:
        """For what is kept of those, one row for each of `sharp`."""
        return self.cache / "near"

    @property
    def cells(self) -> int:
        """Cells of a pseudo-map along a side: the patches of a photo seen from near."""
        return self.near // STRIDE

    @cached_property
    def told(self) -> dict[int, list[list[int]]]:
        """Of each photo with a table's labels: for each label, the names that are words for it."""
        index = self.vocabulary.index
        words = {row: [words_for(label) for label in self.listed[self.photos[row].name].labels] for row in self.sharp}
        groups = {
            row: [[index[word] for word in each if word in index] for each in rows] for row, rows in words.items()
        }
        return {row: [each for each in known if each] for row, known in groups.items() if any(known)}

    @property
    def tokens(self) -> int:
        """Patches along a side."""
        return self.side // STRIDE

    @cached_property
    def features(self) -> np.memmap:
        """Cached trunk features."""
        return open_features(self.cache, len(self.photos), self.side, write=False)

    @cached_property
    def semantics(self) -> Semantics:
        """Cached output of the trunk's own classifier."""
        return open_semantics(self.cache, len(self.photos), self.tokens, write=False)

    @cached_property
    def labels(self) -> Int8[np.ndarray, "photo name"]:
        """What each photo shows."""
        return np.load(self.cache / "labels.npz")["labels"]

    @cached_property
    def embeddings(self) -> tuple[np.ndarray, np.ndarray]:
        """Class embeddings and the basis they are written in."""
        stored = np.load(self.cache / "class-embeddings.npz")
        return stored["table"], stored["basis"]

    @cached_property
    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of the image features over some photos."""
        rows = np.sort(np.random.default_rng(0).choice(len(self.photos), min(600, len(self.photos)), replace=False))
        joint = np.concatenate([self.features[rows], self.semantics.tokens[rows]], -1).astype(np.float32)
        flat = joint.reshape(-1, joint.shape[-1])
        return flat.mean(0), flat.std(0)

    @cached_property
    def blank(self) -> Float[Tensor, "n 600"]:
        """Features of a photo of nothing but the mean pixel: what a dropped patch looks like."""
        model = Mini()
        model.trunk = load_trunk(torch.device("cpu"))
        model.class_embeddings.copy_(torch.from_numpy(self.embeddings[0]))
        with torch.no_grad():
            return model.image_features(torch.zeros(1, 3, self.side, self.side))[0]

    @cached_property
    def name_weights(self) -> Float[np.ndarray, " name"]:
        """How readily a name is drawn: words people say more, frequent ones less than their number of photos says."""
        usual = np.array(
            [
                familiarity(name, self.spoken[name], len(leaves), known=name in self.wordnet.familiar)
                for name, leaves in zip(self.vocabulary.names, self.vocabulary.leaves, strict=True)
            ]
        )
        return usual * np.maximum((self.labels > 0).sum(0), 1) ** -0.25

    @cached_property
    def trainable(self) -> tuple[np.ndarray, np.ndarray]:
        """Photos that may be trained on, and how readily each is drawn: those with rare names more."""
        rows = np.flatnonzero(~self.validation & (self.labels > 0).any(1))
        rarity = np.array([self.name_weights[self.labels[row] > 0].max() for row in rows])
        weights = rarity * np.array([_SOURCE_WEIGHT[source] for source in self.source[rows]])
        return rows, weights

    def caption_ids(self) -> dict[int, list[list[int]]]:
        """Token ids of the captions of each captioned photo, without those that hold held-out words."""
        tokenizer = load_tokenizer()
        ids: dict[int, list[list[int]]] = {}
        for row, photo in enumerate(self.photos):
            texts = [text for text in self.captions.get(photo.name, ()) if not held_out(text)]
            if texts:
                ids[row] = [encoding.ids for encoding in tokenizer.encode_batch(texts, add_special_tokens=False)]
        return ids

    def batches(self, config: FitConfig) -> Batches:
        """Batches of features under a configuration."""
        return Batches(self.features, self.semantics.tokens, self.blank, config, self.near_features)

    @cached_property
    def near_features(self) -> Near:
        """Features of the sharp photos at the larger size."""
        folder, count = self.near_folder, len(self.sharp)
        row = np.full(len(self.photos), -1)
        row[self.sharp] = np.arange(count)
        trunk = open_features(folder, count, self.near, write=False)
        return Near(trunk, open_semantics(folder, count, self.cells, write=False).tokens, row)

    def writer(self, *, seed: int, mapped: np.ndarray | None = None, kin: np.ndarray | None = None) -> PromptWriter:
        """A writer of training prompts."""
        return PromptWriter(
            self.vocabulary.names, self.labels, self.name_weights, self.caption_ids(), seed=seed, mapped=mapped, kin=kin
        )

    @property
    def kin(self) -> Float[np.ndarray, "name name"]:
        """How near of kin names are."""
        return kinship(self.vocabulary, self.wordnet)

    def restore(self, path: Path) -> Mini:
        """The model with the averaged weights of a stage's checkpoint.

        Raises:
            FileNotFoundError: the stage has not been run.
        """
        if not path.exists():
            raise FileNotFoundError(f"no checkpoint {path}; run the stage that makes it first")
        state = torch.load(path, weights_only=False, map_location="cpu")
        model = Mini()
        model.trunk = load_trunk(torch.device("cpu"))
        model.text = load_text()
        model.load_state_dict(state["model"], strict=False)
        model.load_state_dict(state["mean"], strict=False)
        return model
