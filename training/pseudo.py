"""Pseudo-maps: where the model of one stage, helped by colours and features, believes that named things are.

They teach the next stage where to look. No human mask is involved: a photo's names come from captions, labels and the
classifier; places come from the model's own attention, averaged over heads, spread to patches with like features
(a random walk), and drawn to the photo's edges (a Dense CRF of thing against rest).
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Int8, UInt8
from torch import Tensor
from torch.nn import functional as F

from pnpovss.backbones.mini.lite2 import MID_CHANNELS, TOP_CHANNELS
from pnpovss.backbones.mini.model import Mini
from pnpovss.densecrf import Bilateral, DenseCRF, Gaussian
from training.batches import FROZEN_LAYERS, READ_HEAD, WHOLE, Batch, Batches, seen_of
from training.forward import look
from training.minilm import pad
from training.photos import PhotoReader
from training.prompts import Prompts, PromptWriter, enc_ids, prefix_ids

log = logging.getLogger(__name__)

NAMES = 4
"""Most names of a photo that get a map."""
CRF_SIDE = 99
TERMS = [Gaussian(sxy=1.5, compat=2), Bilateral(sxy=24, srgb=5, compat=8)]
"""Far-reaching and strict about colour: the trunk sees a small thing as a blot several times its size."""
_DOUBT = 0.12
"""What the Dense CRF is told never leaves this much doubt behind, so that colours may overrule it."""


class Teacher(Protocol):
    """What draws maps for the next stage.

    Attributes:
        cut: parts of a map's height that count as probably not, and probably, the thing. As boxes chose: maps of
            attention are more peaked than class activation maps, of which they would leave heads without bodies.
    """

    cut: tuple[float, float]

    def __call__(self, features: Tensor, names: list[list[int]]) -> tuple[Tensor, Tensor]:
        """From features "b n 600" and the names of each photo: maps "b name n", largest 1, and how sure, "b name"."""
        ...


@dataclass
class PseudoMaps:
    """Arrays on disk, one row a photo.

    Attributes:
        maps: uint8 `(photo, 4, cell)`, share of each cell that is the thing, of 255.
        names: int16 `(photo, 4)`, vocabulary index; -1 for none.
        sure: float16 `(photo, 4)`, the model's own probability that the thing is there.
    """

    maps: np.memmap
    names: np.memmap
    sure: np.memmap

    def filled(self, photos: int | np.ndarray) -> Bool[np.ndarray, "*photo"]:
        """Which photos have their maps."""
        return np.asarray(self.names[photos, 0] >= 0)

    def fill(
        self, photo: int, names: Sequence[int], maps: Float[np.ndarray, "name cell"], sure: float | np.ndarray
    ) -> None:
        """Write the maps of a photo, shares from 0 to 1, and how sure they are; its first name comes last.

        After a kill, at whatever moment, a row with a first name is therefore whole.
        """
        self.maps[photo, : len(names)] = (255 * maps).round()
        self.sure[photo] = sure
        self.names[photo, 1:] = [*names[1:], *[-1] * (NAMES - len(names))]
        self.names[photo, 0] = names[0]


def open_pseudo(folder: Path, count: int, cells: int, *, write: bool) -> PseudoMaps:
    """The arrays under `folder`."""
    folder.mkdir(parents=True, exist_ok=True)

    def array(name: str, dtype: type, *shape: int) -> np.memmap:
        path = folder / name
        mode = "r" if not write else "r+" if path.exists() else "w+"
        return np.memmap(path, dtype, mode, shape=(count, *shape))

    return PseudoMaps(
        array("maps.u8", np.uint8, NAMES, cells),
        array("names.i16", np.int16, NAMES),
        array("sure.f16", np.float16, NAMES),
    )


def choose_names(
    writer: PromptWriter,
    photo: int,
    told: Sequence[Sequence[int]],
    alike: Bool[np.ndarray, "name name"],
    random: np.random.Generator,
    guesses: Bool[np.ndarray, " name"] | None = None,
) -> list[int]:
    """Some of the names that a photo shows, no two of them alike; those that a table tells come first.

    Familiar names are drawn rather than strange ones, however common.

    Args:
        writer: knows the guessed labels, and how readily names are drawn.
        photo: which.
        told: for each label that a table gives the photo, the words for it: one of them is taken.
        alike: pairs of names of which a photo gets one, each name with itself included.
        random: draws.
        guesses: of which at most two are added to what is told; by default of all, as many as there is room for.
    """
    chosen = [int(random.choice(words)) for words in told if len(words)]
    random.shuffle(chosen)
    here = np.flatnonzero((writer.labels[photo] > 0) & (True if guesses is None else guesses))
    most = NAMES if guesses is None else min(NAMES, len(chosen) + 2)
    weight = writer.weights[here] * writer.commonness[here] ** 0.25
    for name in random.choice(here, min(12, len(here)), replace=False, p=weight / weight.sum()) if len(here) else []:
        if len(chosen) < most and not alike[name, chosen].any():
            chosen.append(int(name))
    return chosen[:NAMES]


@torch.no_grad()
def attention_of(
    model: Mini, features: Float[Tensor, "b n 600"], rows: list[list[int]]
) -> tuple[Float[Tensor, "p n"], Float[Tensor, " p"]]:
    """Where the head that is read looks for each name, mean over layers, largest value 1; and the name's presence.

    The other heads are left out: they start at random, and may well learn to tell a dog by the grass around it.

    Args:
        model: of a stage that left the trunk as it came.
        features: of the photos.
        rows: word pieces of each name, the same number of names for each photo.
    """
    side = round(features.shape[1] ** 0.5)
    ids, mask = pad([enc_ids([*prefix_ids(), *row]) for row in rows])
    slot_of = torch.full_like(ids, -1)
    for i, row in enumerate(rows):
        slot_of[i, 1 + len(prefix_ids()) : 1 + len(prefix_ids()) + len(row)] = 0
    seen = look(model.text, model.neck(features, (side, side)), ids, mask, frozen_layers=FROZEN_LAYERS)
    total = torch.zeros(len(rows), side * side)
    odds = []
    for scores in seen.scores.values():
        named = seen.rows.mean_of_slots(scores[:, READ_HEAD], slot_of, 1)
        patches = named[..., 1:]
        peak = patches.topk(5).values.mean(-1, keepdim=True)
        total += (patches - peak).clamp(max=0.5).exp().mean(1)
        odds.append(patches.logsumexp(-1) - named[..., 0])
    return total / total.amax(1, keepdim=True), torch.cat(odds, 1).mean(1).sigmoid()


def affinity(features: Float[Tensor, "b n 600"], reach: float = 5.0, sharpness: float = 12.0) -> Float[Tensor, "b n n"]:
    """Steps of a random walk: to near patches with like features."""
    side = round(features.shape[1] ** 0.5)
    mid, top = features[..., :MID_CHANNELS], features[..., MID_CHANNELS : MID_CHANNELS + TOP_CHANNELS]
    parts = [F.normalize(x - x.mean(1, keepdim=True), dim=-1) for x in (mid, top)]
    joint = torch.cat(parts, -1) * 0.5**0.5
    place = torch.stack(torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij"), -1).flatten(0, 1).float()
    far = torch.cdist(place, place) > reach
    steps = ((joint @ joint.mT - 1) * sharpness).exp().masked_fill(far, 0)
    return steps / steps.sum(-1, keepdim=True)


def walk(maps: Float[Tensor, "b name n"], features: Float[Tensor, "b n 600"]) -> Float[Tensor, "b name n"]:
    """Maps after two steps to like patches, largest value 1."""
    steps = affinity(features)
    maps = (steps @ (steps @ maps.mT)).mT
    return maps / maps.amax(-1, keepdim=True).clamp_min(1e-6)


def cut_out(
    maps: Float[Tensor, "name n"],
    rivals: Bool[np.ndarray, "name name"],
    pixels: UInt8[np.ndarray, "side side 3"],
    cells: int,
    cut: tuple[float, float],
) -> list[Float[np.ndarray, " cell"]]:
    """Maps of one photo's names after they competed for patches, drawn to the edges of its pixels.

    Each has as many `cells` along a side. `cut` is that of the teacher.
    """
    crf = DenseCRF(pixels, pairwise=TERMS)
    return [to_edges(coarse, crf, cells, cut) for coarse in compete(maps, rivals).numpy()]


def compete(maps: Float[Tensor, "name n"], rivals: Bool[np.ndarray, "name name"]) -> Float[Tensor, "name n"]:
    """Take from each map what a rival name claims more strongly."""
    out = maps.clone()
    for i in range(len(maps)):
        others = np.flatnonzero(rivals[i])
        if len(others):
            strongest = maps[others].amax(0)
            out[i] = maps[i] * (maps[i] / strongest.clamp_min(1e-6)).clamp(max=1) ** 2
    return out


def to_edges(
    coarse: Float[np.ndarray, " n"], crf: DenseCRF, cells: int, cut: tuple[float, float]
) -> Float[np.ndarray, " cell"]:
    """Draw a map to the photo's edges; what comes back is the share of each cell that is the thing."""
    side, (low, high) = round(len(coarse) ** 0.5), cut
    rise = torch.from_numpy((coarse - low) / (high - low)).clamp(_DOUBT, 1 - _DOUBT).view(1, 1, side, side)
    fine = F.interpolate(rise, (CRF_SIDE, CRF_SIDE), mode="bilinear")[0, 0].numpy()
    q = crf.infer(probabilities=np.stack([1 - fine, fine]).astype(np.float32), iterations=8).q[1]
    return F.adaptive_avg_pool2d(torch.from_numpy(np.ascontiguousarray(q))[None], cells).flatten().numpy()


@torch.no_grad()
def make_pseudo_maps(
    teacher: Teacher,
    batches: Batches,
    reader: PhotoReader,
    rival: Bool[np.ndarray, "name name"],
    chosen: dict[int, list[int]],
    folder: Path,
    *,
    cells: int,
    batch: int = 8,
) -> None:
    """Fill the arrays for the photos of `chosen`, in batches of which a filled one is not made again.

    Args:
        teacher: gives maps.
        batches: features.
        reader: the photos.
        rival: pairs of names that cannot be the same pixels.
        chosen: names of each photo.
        folder: for the arrays.
        cells: of the maps, along a side.
        batch: photos at once.
    """
    out = open_pseudo(folder, len(batches.trunk), cells**2, write=True)
    photos = np.array([photo for photo, names in chosen.items() if names], int)
    for first in range(0, len(photos), batch):
        now = photos[first : first + batch]
        if out.filled(now).all():
            continue
        filled = [[*chosen[photo], *[chosen[photo][0]] * (NAMES - len(chosen[photo]))] for photo in now]
        features = batches.load(now, augment=False).features
        maps, sure = teacher(features, filled)
        maps = walk(maps, features)
        for row, photo in enumerate(now):
            names = chosen[photo]
            pixels, rivals = reader.square(int(photo), CRF_SIDE), rival[np.ix_(names, names)]
            cut = cut_out(maps[row, : len(names)], rivals, pixels, cells, teacher.cut)
            out.fill(int(photo), names, np.stack(cut), sure[row].numpy())
        if first % (50 * batch) < batch:
            log.info("pseudo-maps: %d of %d photos", first, len(photos))
    for array in (out.maps, out.names, out.sure):
        array.flush()


class PseudoTargets:
    """Pseudo-maps as the targets of a step."""

    LEAST, MOST = 0.005, 0.8
    """Maps that cover less or more of a photo are not used."""

    def __init__(self, pseudo: PseudoMaps) -> None:
        """Read the arrays."""
        self.maps, self.names = np.asarray(pseudo.maps), np.asarray(pseudo.names)

    def of(self, photos: np.ndarray) -> Float[Tensor, "b slot cell"]:
        """See :class:`training.fit.Targets`."""
        return torch.from_numpy(self.maps[photos].astype(np.float32) / 255)

    def seen(self, batch: Batch) -> "SeenThings":
        """What the looks of a step show of the photos' things, mirrored as they are, empty where patches are hidden."""
        side = round(batch.features.shape[1] ** 0.5)
        whole = self.of(batch.photos)
        share = whole.mean(-1)
        maps = seen_of(whole, batch.corners, side)  # b 4 n
        maps[batch.mirrored] = maps[batch.mirrored].unflatten(-1, (side, side)).flip(-1).flatten(-2)
        part = batch.corners[:, 0] != WHOLE
        extent = torch.from_numpy(np.where(part, maps.shape[-1] / whole.shape[-1], 1.0)).float()  # of the photo
        names = torch.from_numpy(self.names[batch.photos].astype(np.int64))
        visible = maps * ~batch.hidden[:, None]
        shown = visible.mean(-1)
        left = extent[:, None] * shown / share.clamp_min(1e-6)
        return SeenThings(
            part=part,
            names=names,
            maps=visible,
            good=(share > self.LEAST) & (share < self.MOST) & (names >= 0),
            enough=(left > 0.3) | (shown > 0.1),
            # A map may miss the second of two dogs, of which a part may show more than nothing.
            gone=left < torch.from_numpy(np.where(part, 0.02, 0.12))[:, None],
        )


@dataclass(frozen=True)
class SeenThings:
    """What looks show of the things that have a map.

    Attributes:
        part: which looks are at a part of a photo from near, "b".
        names: vocabulary index, "b 4"; -1 for none.
        maps: shares of each patch that are the thing, "b 4 n"; none where it is hidden.
        good: which maps are used, "b 4".
        enough: of which things enough can be seen, "b 4".
        gone: of which next to nothing can be seen, "b 4".
    """

    part: Bool[np.ndarray, " b"]
    names: Int[Tensor, "b 4"]
    maps: Float[Tensor, "b 4 n"]
    good: Bool[Tensor, "b 4"]
    enough: Bool[Tensor, "b 4"]
    gone: Bool[Tensor, "b 4"]

    def targets(
        self, prompts: Prompts
    ) -> tuple[Float[Tensor, "p slot n"], Bool[Tensor, "p slot"], Bool[Tensor, "p slot"]]:
        """See :class:`training.fit.Seen`."""
        each = len(prompts.ids) // len(self.names)
        names = self.names.repeat_interleave(each, 0)  # p 4
        same = (prompts.names[:, :, None] == names[:, None]) & self.good.repeat_interleave(each, 0)[:, None]
        same &= (prompts.names >= 0)[..., None] & prompts.present[..., None]
        which = same.to(torch.int64).argmax(-1)  # p slot
        maps = self.maps.repeat_interleave(each, 0)
        target = maps.gather(1, which[..., None].expand(-1, -1, maps.shape[-1]))
        mapped = same.any(-1)
        return (
            target,
            mapped & self.enough.repeat_interleave(each, 0).gather(1, which),
            mapped & self.gone.repeat_interleave(each, 0).gather(1, which),
        )

    def in_doubt(self) -> list[list[int]]:
        """Of each look, the names that may or may not be in it: half of the thing is hidden, or its map is no good."""
        half = self.good & ~self.enough & ~self.gone
        nowhere = ~self.good & (self.names >= 0) & torch.from_numpy(self.part)[:, None]
        return [names[doubt].tolist() for names, doubt in zip(self.names, half | nowhere, strict=True)]

    def labels(self, labels: Int8[np.ndarray, "b name"]) -> Int8[np.ndarray, "b name"]:
        """See :class:`training.fit.Seen`."""
        shown = labels.copy()
        shown[self.part] = np.minimum(shown[self.part], 0)
        for photo, slot in self.good.nonzero().tolist():
            name = int(self.names[photo, slot])
            if labels[photo, name] > 0 and (self.gone[photo, slot] or self.part[photo]):
                shown[photo, name] = -1 if self.gone[photo, slot] else int(self.enough[photo, slot])
        return shown


class StudentTeacher:
    """The model of the stage before and the first teacher together: their maps' mean."""

    cut = (0.05, 0.40)

    def __init__(self, model: Mini, pieces: list[list[int]], first: Teacher) -> None:
        self.model, self.pieces, self.first = model, pieces, first

    def __call__(self, features: Tensor, names: list[list[int]]) -> tuple[Tensor, Tensor]:
        """See :data:`Teacher`."""
        rows = [self.pieces[name][:8] for photo in names for name in photo]
        maps, sure = attention_of(self.model, features, rows)
        shape = (len(names), -1)
        first, _ = self.first(features, names)
        return (2 * maps.unflatten(0, shape) + first) / 3, sure.unflatten(0, shape)
