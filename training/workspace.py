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
from training.batches import Batches, FitConfig
from training.captions import photo_nouns, read_captions
from training.features import load_trunk, open_features
from training.minilm import load_text, load_tokenizer
from training.photos import Photo, PhotoReader, index_photos, load_index, save_index
from training.prompts import PromptWriter
from training.semantics import Semantics, open_semantics
from training.vocabulary import Vocabulary, build_vocabulary, held_out
from training.wordnet import WordNet

FAMILIAR_SAID = 3
"""A word that captions say so often is one that people use."""
_SOURCE_WEIGHT = {"coco": 1.0, "flickr8k": 1.0, "caltech101": 0.4, "imagenet": 0.7}


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
    """

    data: Path
    cache: Path
    wordnet_folder: Path
    side: int = 320
    device: str = "cpu"

    @cached_property
    def wordnet(self) -> WordNet:
        """The dictionary."""
        return WordNet(self.wordnet_folder)

    @cached_property
    def photos(self) -> list[Photo]:
        """The index; made and kept on first use."""
        path = self.cache / "photos.json"
        if not path.exists():
            self.cache.mkdir(parents=True, exist_ok=True)
            save_index(index_photos(self.data), path)
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
        names = [Path(photo.name).name for photo in self.photos if photo.source == "imagenet"]
        return [int(name.split("_")[0][1:]) for name in names]

    @cached_property
    def captions(self) -> dict[str, list[str]]:
        """Captions by photo path."""
        return read_captions(self.data)

    @cached_property
    def nouns(self) -> dict[str, Counter[str]]:
        """Nouns in the captions of each photo."""
        return photo_nouns(self.captions, self.wordnet)

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The names; built and kept on first use."""
        path = self.cache / "vocabulary.pkl"
        if not path.exists():
            counts = Counter(noun for nouns in self.nouns.values() for noun in nouns)
            path.write_bytes(pickle.dumps(build_vocabulary(self.wordnet, self.classes, counts)))
            (self.cache / "names.json").write_text(json.dumps(pickle.loads(path.read_bytes()).names))
        return pickle.loads(path.read_bytes())

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
        said = Counter(noun for nouns in self.nouns.values() for noun in nouns)
        usual = np.array(
            [
                familiarity(name, said[name], len(leaves), known=name in self.wordnet.familiar)
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
        return Batches(self.features, self.semantics.tokens, self.blank, config)

    def writer(self, *, seed: int, mapped: np.ndarray | None = None) -> PromptWriter:
        """A writer of training prompts."""
        return PromptWriter(
            self.vocabulary.names, self.labels, self.name_weights, self.caption_ids(), seed=seed, mapped=mapped
        )

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
