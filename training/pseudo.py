"""Pseudo-maps: where the model of one stage, helped by colours and features, believes that named things are.

They teach the next stage where to look. No human mask is involved: a photo's names come from captions, labels and the
classifier; places come from the model's own attention, averaged over heads, spread to patches with like features
(a random walk), and drawn to the photo's edges (a Dense CRF of thing against rest).
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

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
_LOW, _HIGH = 0.10, 0.60
"""Parts of a map's height that count as probably not, and probably, the thing."""
_DOUBT = 0.12
"""What the Dense CRF is told never leaves this much doubt behind, so that colours may overrule it."""


Teacher = Callable[[Tensor, list[list[int]]], tuple[Tensor, Tensor]]
"""From features "b n 600" and the names of each photo: maps "b name n", largest value 1, and how sure, "b name"."""


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


def choose_names(writer: PromptWriter, photo: int, random: np.random.Generator) -> list[int]:
    """Some of the names that a photo shows; familiar ones rather than strange ones, however common."""
    here = np.flatnonzero(writer.labels[photo] > 0)
    weight = writer.weights[here] * writer.commonness[here] ** 0.25
    return list(random.choice(here, min(NAMES, len(here)), replace=False, p=weight / weight.sum())) if len(here) else []


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
) -> list[Float[np.ndarray, " cell"]]:
    """Maps of one photo's names after they competed for patches, drawn to the edges of its pixels.

    Each has as many `cells` along a side.
    """
    crf = DenseCRF(pixels, pairwise=TERMS)
    return [to_edges(coarse, crf, cells) for coarse in compete(maps, rivals).numpy()]


def compete(maps: Float[Tensor, "name n"], rivals: Bool[np.ndarray, "name name"]) -> Float[Tensor, "name n"]:
    """Take from each map what a rival name claims more strongly."""
    out = maps.clone()
    for i in range(len(maps)):
        others = np.flatnonzero(rivals[i])
        if len(others):
            strongest = maps[others].amax(0)
            out[i] = maps[i] * (maps[i] / strongest.clamp_min(1e-6)).clamp(max=1) ** 2
    return out


def to_edges(coarse: Float[np.ndarray, " n"], crf: DenseCRF, cells: int) -> Float[np.ndarray, " cell"]:
    """Draw a map to the photo's edges; what comes back is the share of each cell that is the thing."""
    side = round(len(coarse) ** 0.5)
    rise = torch.from_numpy((coarse - _LOW) / (_HIGH - _LOW)).clamp(_DOUBT, 1 - _DOUBT).view(1, 1, side, side)
    fine = F.interpolate(rise, (CRF_SIDE, CRF_SIDE), mode="bilinear")[0, 0].numpy()
    q = crf.infer(probabilities=np.stack([1 - fine, fine]).astype(np.float32), iterations=8).q[1]
    return F.adaptive_avg_pool2d(torch.from_numpy(np.ascontiguousarray(q))[None], cells).flatten().numpy()


@torch.no_grad()
def make_pseudo_maps(
    teacher: Teacher,
    batches: Batches,
    writer: PromptWriter,
    reader: PhotoReader,
    rival: Bool[np.ndarray, "name name"],
    photos: np.ndarray,
    folder: Path,
    *,
    cells: int,
    part: int,
    seed: int,
    batch: int = 8,
) -> None:
    """Fill the arrays for `photos`; picks up where it was interrupted.

    Args:
        teacher: gives maps.
        batches: features.
        writer: names of photos.
        reader: the photos.
        rival: pairs of names that cannot be the same pixels.
        photos: which ones.
        folder: for the arrays.
        cells: of the maps, along a side.
        part: number of this share of the work.
        seed: of the choice of names.
        batch: photos at once.
    """
    out = open_pseudo(folder, len(batches.trunk), cells**2, write=True)
    done_file = folder / f"{part}.done"
    start = int(done_file.read_text()) if done_file.exists() else 0
    for first in range(start, len(photos), batch):
        now = photos[first : first + batch]
        random = np.random.default_rng((seed, part, first))
        chosen = [choose_names(writer, photo, random) for photo in now]
        filled = [[*names, *[names[0] if names else 0] * (NAMES - len(names))] for names in chosen]
        features = batches.load(now, augment=False).features
        maps, sure = teacher(features, filled)
        maps = walk(maps, features)
        for row, photo in enumerate(now):
            names = chosen[row]
            out.names[photo] = [*names, *[-1] * (NAMES - len(names))]
            out.sure[photo] = sure[row].numpy()
            if not names:
                continue
            pixels = reader.square(int(photo), CRF_SIDE)
            for slot, mine in enumerate(cut_out(maps[row, : len(names)], rival[np.ix_(names, names)], pixels, cells)):
                out.maps[photo, slot] = (mine * 255).round()
        done_file.write_text(str(first + batch))
        if first % (50 * batch) < batch:
            log.info("pseudo-maps: %d of %d photos", first, len(photos))
    for array in (out.maps, out.names, out.sure):
        array.flush()


class PseudoTargets:
    """Pseudo-maps as the targets of a step."""

    def __init__(self, pseudo: PseudoMaps, least: float = 0.005, most: float = 0.8) -> None:
        """Read the arrays; maps that cover less than `least` or more than `most` of a photo are not used."""
        self.maps, self.names = np.asarray(pseudo.maps), np.asarray(pseudo.names)
        self.least, self.most = least, most

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
            good=(share > self.least) & (share < self.most) & (names >= 0),
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

    def __init__(self, model: Mini, pieces: list[list[int]], first: Teacher) -> None:
        self.model, self.pieces, self.first = model, pieces, first

    def __call__(self, features: Tensor, names: list[list[int]]) -> tuple[Tensor, Tensor]:
        """See :data:`Teacher`."""
        rows = [self.pieces[name][:8] for photo in names for name in photo]
        maps, sure = attention_of(self.model, features, rows)
        shape = (len(names), -1)
        first, _ = self.first(features, names)
        return (2 * maps.unflatten(0, shape) + first) / 3, sure.unflatten(0, shape)
