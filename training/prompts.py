"""Training texts: what is asked of a photo in one step, as token ids."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Int8
from tokenizers import Tokenizer
from torch import Tensor

from pnpovss.backbones.mini.text import ENC_ID, SEP_ID
from training.minilm import load_tokenizer, pad

PREFIX = "a picture of"
OTHER_PREFIXES = ("a photo of", "", "there is", "a picture of a")

SLOTS = 8
MAX_WORDS = 24
"""Most names, and most word pieces, in one training prompt."""
MANY = 0.3
"""Share of the prompts of a photo's own names that ask for more than four, as data sets with stuff do."""


def enc_ids(ids: Sequence[int]) -> list[int]:
    """A text as the model reads it beside an image: [ENC] text [SEP]."""
    return [ENC_ID, *ids, SEP_ID]


def name_ids(names: Sequence[str]) -> list[list[int]]:
    """Word pieces of each name."""
    return [encoding.ids for encoding in _tokenizer().encode_batch(list(names), add_special_tokens=False)]


@cache
def prefix_ids() -> list[int]:
    """Word pieces of the usual beginning of a prompt."""
    return name_ids([PREFIX])[0]


@cache
def _tokenizer() -> Tokenizer:
    return load_tokenizer()  # when first asked for: only drawing prompts needs MiniLM's package


def _owed(asked: Float[np.ndarray, "2 name"], usual: Float[np.ndarray, " name"]) -> Float[np.ndarray, " name"]:
    """How readily each name is drawn where it is absent, after so many were drawn absent and present.

    A name must be asked for as often where it is absent as where it is present, or else the model learns that a cow is
    there whenever somebody asks for one: names that were drawn absent less than their share come first.
    """
    absent, present = asked
    owed = np.maximum(present * (absent.sum() + 1) / (present.sum() + 1) - absent, 0)
    return owed + 0.02 * (owed.sum() + 1) * usual / usual.sum()


@dataclass
class Prompts:
    """The prompts of one step, the same number for each photo, photo after photo.

    Attributes:
        ids: token ids.
        mask: which tokens count.
        slot_of: for each token, which of the prompt's names it belongs to; -1 for none.
        names: vocabulary index of each slot; -1 where the prompt has fewer names.
        present: whether the photo shows it; meaningless where `names` is -1.
        matches: whether the prompt matches its photo as a whole.
    """

    ids: Int[Tensor, "p t"]
    mask: Bool[Tensor, "p t"]
    slot_of: Int[Tensor, "p t"]
    names: Int[Tensor, "p slot"]
    present: Bool[Tensor, "p slot"]
    matches: Bool[Tensor, " p"]


def without(prompts: Prompts, gone: Bool[Tensor, "p slot"]) -> Prompts:
    """The same prompts where some things can no longer be seen: absent, and the prompt no match."""
    return replace(prompts, present=prompts.present & ~gone, matches=prompts.matches & ~gone.any(1))


@dataclass(frozen=True)
class _Look:
    photo: int
    only_mapped: bool
    in_doubt: Sequence[int]


class PromptWriter:
    """Draws names and captions for photos; each name as often where it is absent as the others, see `_owed`."""

    def __init__(
        self,
        names: Sequence[str],
        labels: Int8[np.ndarray, "photo name"],
        weights: Float[np.ndarray, " name"],
        captions: dict[int, list[list[int]]],
        *,
        seed: int,
        mapped: Int[np.ndarray, "photo slot"] | None = None,
        kin: Float[np.ndarray, "name name"] | None = None,
    ) -> None:
        """Prepare to draw.

        Args:
            names: the vocabulary.
            labels: +1, -1, 0 for each photo and name.
            weights: how readily a name is drawn where it is present.
            captions: token ids of the captions of each captioned photo.
            seed: of the draw.
            mapped: names of each photo that have a pseudo-map (-1: none); these are drawn most of the time.
            kin: how near of kin names are, 0 to 1; with it, absent names are often kin of one that is there.
        """
        self.mapped = mapped
        self._kin = None if kin is None else kin**4
        self.pieces = name_ids(names)
        [self._comma, *self._other_prefixes] = name_ids([",", *OTHER_PREFIXES])
        self.labels = labels
        self.weights = weights
        self.captions = captions
        self.random = np.random.default_rng(seed)
        positive = (labels > 0).astype(np.float32)
        counts = positive.sum(0)
        self.commonness = np.maximum(counts, 1)
        self._commonness = np.sqrt(counts) * np.sqrt(weights)
        together = positive.T @ positive
        self._companions = together / np.maximum(counts, 1)[:, None]
        self.asked = np.zeros((2, 2, len(names)))  # alone or in company; absent or present; which

    def draw(
        self,
        photos: Sequence[int],
        only_mapped: Sequence[bool] | None = None,
        in_doubt: Sequence[Sequence[int]] | None = None,
    ) -> Prompts:
        """Six prompts for each photo: see the comments.

        Args:
            photos: which.
            only_mapped: of which photos no name without a pseudo-map may be asked: of those seen in part, where nobody
                knows whether such a thing lies in that part; by default of none.
            in_doubt: names of each photo that are asked in no prompt of its own names; by default none.
        """
        rows: list[tuple[list[int], list[tuple[int, bool]], bool]] = []
        partly, doubts = only_mapped or [False] * len(photos), in_doubt or [()] * len(photos)
        for photo, mapped, doubted in zip(photos, partly, doubts, strict=True):
            look, random = _Look(photo, mapped, doubted), self.random
            many = random.random() < MANY
            rows.append(self._names(look, present=int(random.integers(1, 5)) + 4 * many, absent=0, more=many))
            rows.append(self._names(look, present=int(random.integers(1, 4)), absent=1))
            rows.append(self._names(look, present=1, absent=0))
            rows.append(self._names(look, present=0, absent=1))
            split = int(random.integers(0, 6))
            rows.append(self._names(look, present=5 - split, absent=split))
            if photo in self.captions:
                own = random.random() < 0.5
                source = photo if own else self._other_captioned(photo)
                texts = self.captions[source]
                rows.append((texts[int(random.integers(len(texts)))], [], own))
            else:
                rows.append(self._names(look, present=0, absent=1))
        return self._pack(rows)

    def _other_captioned(self, photo: int) -> int:
        if not hasattr(self, "_captioned"):
            self._captioned = np.array(sorted(self.captions))
        other = int(self.random.choice(self._captioned))
        return other if other != photo else self._other_captioned(photo)

    def _names(
        self, look: _Look, *, present: int, absent: int, more: bool = False
    ) -> tuple[list[int], list[tuple[int, bool]], bool]:
        """`more`: the photo's other names, too, beside those that have a pseudo-map."""
        row, mapped = self.labels[look.photo], np.array([], int)
        known = here = np.setdiff1d(np.flatnonzero(row > 0), look.in_doubt)
        if self.mapped is not None:
            mapped = self.mapped[look.photo]
            mapped = np.setdiff1d(mapped[mapped >= 0], look.in_doubt)
        if look.only_mapped or (self.mapped is not None and self.random.random() < 0.85 and len(mapped)):
            here = mapped
        chosen: list[tuple[int, bool]] = []
        if present and len(here):
            chosen += [(int(i), True) for i in self._some(here, present)]
            rest = np.setdiff1d(known, here)
            if more and not look.only_mapped and len(chosen) < present and len(rest):
                chosen += [(int(i), True) for i in self._some(rest, present - len(chosen))]
        away = np.flatnonzero(row < 0)
        wanted = max(absent, 0 if chosen else 1)
        owed = _owed(self.asked[int(len(chosen) + wanted > 1)], self._commonness)[away]
        for _ in range(wanted):
            weight = owed
            if len(here) and self.random.random() < 0.5:
                # What is often seen beside it, or easily taken for it: half of each where kin is known.
                near = self._companions if self._kin is None or self.random.random() < 0.5 else self._kin
                likely = owed * near[self.random.choice(here)][away]
                weight = likely if likely.any() else owed
            if not weight.any():
                weight = np.ones(len(away))
            if len(away):
                chosen.append((int(self.random.choice(away, p=weight / weight.sum())), False))
        chosen = list(dict(chosen).items())
        for name, there in chosen:
            self.asked[int(len(chosen) > 1), int(there), name] += 1
        self.random.shuffle(chosen)
        return [], chosen, all(there for _, there in chosen)

    def _some(self, names: np.ndarray, count: int) -> np.ndarray:
        weight = self.weights[names] / self.weights[names].sum()
        return self.random.choice(names, min(count, len(names)), replace=False, p=weight)

    def _pack(self, rows: list[tuple[list[int], list[tuple[int, bool]], bool]]) -> Prompts:
        ids, slots = [], []
        names = torch.full((len(rows), SLOTS), -1)
        present = torch.zeros(len(rows), SLOTS, dtype=torch.bool)
        matches = torch.tensor([match or bool(chosen) for _, chosen, match in rows])
        for i, (caption, chosen, _) in enumerate(rows):
            line, belongs = list(caption[:MAX_WORDS]), [-1] * len(caption[:MAX_WORDS])
            if chosen:
                usual = self.random.random() < 0.85
                other = self._other_prefixes
                line = list(prefix_ids() if usual else other[int(self.random.integers(len(other)))])
                belongs = [-1] * len(line)
                commas = self.random.random() < 0.15
                for slot, (name, there) in enumerate(chosen[:SLOTS]):
                    if slot and len(line) + len(self.pieces[name]) > MAX_WORDS:
                        break
                    names[i, slot], present[i, slot] = name, there
                    matches[i] = matches[i] and there
                    if slot and commas:
                        line += self._comma
                        belongs += [-1] * len(self._comma)
                    line += self.pieces[name]
                    belongs += [slot] * len(self.pieces[name])
            ids.append(enc_ids(line))
            slots.append([-1, *belongs, -1])
        packed, mask = pad(ids)
        slot_of = torch.full_like(packed, -1)
        for i, belongs in enumerate(slots):
            slot_of[i, : len(belongs)] = torch.tensor(belongs)
        return Prompts(packed, mask, slot_of, names, present, matches)
