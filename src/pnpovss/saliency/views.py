"""More than one look at a photo: its mirror image, and parts of it seen nearer; what is found is averaged.

A model that was not made for segmentation draws the same thing a little differently each time it looks: errors that are
not shared cancel out. In a part, a small thing covers more patches. Every look costs what the first one does.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from pnpovss.config import ViewSettings

__all__ = ["CORNERS", "WHOLE", "View", "merge_views", "take_view", "views_of"]


@dataclass(frozen=True)
class View:
    """One look at a photo, or at a part of it.

    Attributes:
        share: part of each side that is seen.
        down: where a tile lies, from 0 at the top to 1 at the bottom.
        right: from 0 at the left to 1 at the right.
        mirrored: left and right are swapped before the model looks, and swapped back in its maps.
    """

    share: float = 1.0
    down: float = 0.0
    right: float = 0.0
    mirrored: bool = False


WHOLE = View()


def _tiles(share: float, across: int) -> tuple[View, ...]:
    """Tiles of a share of each side, evenly spaced, row by row."""
    places = [place / (across - 1) for place in range(across)]
    return tuple(View(share, down, right) for down in places for right in places)


CORNERS = _tiles(0.6, 2)
"""Four tiles, one in each corner, that overlap a little."""


def views_of(settings: ViewSettings | None) -> tuple[View, ...]:
    """The looks that are taken at every photo; the whole one, as it is, comes first."""
    if settings is None:
        return (WHOLE,)
    whole = (WHOLE, View(mirrored=True)) if settings.mirror else (WHOLE,)
    tiles = (_tiles(share, settings.tiles_across) for share in settings.tiles)
    return (*whole, *(tile for group in tiles for tile in group))


def take_view(image: Image.Image, view: View) -> Image.Image:
    """What the model is shown, at the size it has in the photo; at least one pixel wide and high."""
    if view.share < 1:
        width, height = (max(1, round(extent * view.share)) for extent in image.size)
        left, top = round((image.width - width) * view.right), round((image.height - height) * view.down)
        image = image.crop((left, top, left + width, top + height))
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if view.mirrored else image


def merge_views(
    maps: Sequence[Float[Tensor, "token gh gw"]], views: Sequence[View], settings: ViewSettings | None
) -> Float[Tensor, "token fh fw"]:
    """One map a token from those of all views.

    Whole views are averaged. Tiles of one share are put where they lie, on a grid as fine as theirs, and averaged where
    they overlap; those of several shares are averaged on the finest grid, and count `settings.tiles_weight` beside the
    whole. The patches of a tile are smaller: its values are divided by its share of the photo, so that what the model
    gives a thing weighs the same in both. No map is stretched to a range of its own, since a tile in which the name is
    not would then invent it.

    Args:
        maps: non-negative, one a view, all of one grid.
        views: as `views_of` gives them.
        settings: where the views come from.

    Returns:
        Maps on the grid of the views, or, with tiles, on one finer by the smallest tiles' share.
    """
    groups: dict[float, list[tuple[Tensor, View]]] = {}
    for own, view in zip(maps, views, strict=True):
        groups.setdefault(view.share, []).append((own.flip(-1) if view.mirrored else own, view))
    mean = torch.stack([own for own, _ in groups.pop(1.0)]).mean(0)
    if not groups:
        return mean
    assert settings is not None
    near = [_lay_out(tiles, share) for share, tiles in groups.items()]
    finest = max((each.shape[1:] for each in near), key=math.prod)
    tiled = torch.stack([_resized(each, finest) for each in near]).mean(0)
    return (1 - settings.tiles_weight) * _resized(mean, finest) + settings.tiles_weight * tiled


def _resized(maps: Float[Tensor, "token gh gw"], grid: Sequence[int]) -> Float[Tensor, "token fh fw"]:
    return F.interpolate(maps[None], tuple(grid), mode="bilinear", align_corners=False)[0]


def _lay_out(tiles: Sequence[tuple[Float[Tensor, "token gh gw"], View]], share: float) -> Float[Tensor, "token fh fw"]:
    """Tiles of one share where they lie in the photo, and their mean where they overlap; as dense as the tiles are."""
    grid = tiles[0][0].shape[1:]
    fine = [math.ceil(patches / share - 1e-6) for patches in grid]  # 21 / 0.7 is a little more than 30
    total = tiles[0][0].new_zeros(len(tiles[0][0]), *fine)
    count = total.new_zeros(*fine)
    for maps, view in tiles:
        down, right = (
            _placing(patches, cells, share, (1 - share) * place).to(maps)
            for patches, cells, place in zip(grid, fine, (view.down, view.right), strict=True)
        )
        total += down @ maps @ right.T
        count += down.sum(1)[:, None] * right.sum(1)
    return total / count.clamp_min(1) / share**2


def _placing(patches: int, cells: int, share: float, start: float) -> Float[Tensor, "cell patch"]:
    """How much each patch along a tile's side weighs in each cell along the photo's, by linear interpolation.

    Rows sum to 1 where a cell's middle lies in the tile, and are 0 elsewhere. Where patches fall on cells,
    each of these has its patch alone.

    Args:
        patches: along the tile's side.
        cells: along the photo's.
        share: of the photo's side that the tile covers.
        start: where in the photo's side it begins, in [0, 1 - share].
    """
    middles = (torch.arange(cells, dtype=torch.float64) + 0.5) / cells
    inside = (middles > start) & (middles < start + share)
    at = ((middles - start) / share * patches - 0.5).round(decimals=6).clamp(0, patches - 1)
    weights = (1 - (at[:, None] - torch.arange(patches)).abs()).clamp_min(0)
    return weights * inside[:, None]
