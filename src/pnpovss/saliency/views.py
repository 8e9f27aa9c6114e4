"""More than one look at a photo: its mirror image, and parts of it seen nearer; what is found is averaged.

A model that was not made for segmentation draws the same thing a little differently each time it looks: errors that are
not shared cancel out. In a part, a small thing covers more patches.
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

__all__ = ["View", "merge_views", "take_view", "views_of"]

CORNERS = ((0, 0), (0, 1), (1, 0), (1, 1))


@dataclass(frozen=True)
class View:
    """One look at a photo.

    Attributes:
        corner: of a tile: whether it lies at the bottom, and whether at the right; None for the whole photo.
        mirrored: left and right are swapped before the model looks, and swapped back in its maps.
    """

    corner: tuple[int, int] | None = None
    mirrored: bool = False


def views_of(settings: ViewSettings | None) -> tuple[View, ...]:
    """The looks that are taken at every photo; the whole one, as it is, comes first."""
    if settings is None:
        return (View(),)
    whole = [View(), View(mirrored=True)] if settings.mirror else [View()]
    return (*whole, *(View(corner) for corner in CORNERS if settings.tiles is not None))


def take_view(image: Image.Image, view: View, settings: ViewSettings | None) -> Image.Image:
    """What the model is shown, at the size it has in the photo."""
    if view.corner is not None:
        assert settings is not None
        assert settings.tiles is not None
        image = image.crop(_box(image.size, view.corner, settings.tiles))
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if view.mirrored else image


def _box(size: tuple[int, int], corner: tuple[int, int], share: float) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of a tile in pixels; at least one pixel wide and high."""
    width, height = (max(1, round(extent * share)) for extent in size)
    left, top = (size[0] - width) * corner[1], (size[1] - height) * corner[0]
    return left, top, left + width, top + height


def merge_views(
    maps: Sequence[Float[Tensor, "token gh gw"]], views: Sequence[View], settings: ViewSettings | None
) -> Float[Tensor, "token fh fw"]:
    """One map a token from those of all views.

    Whole views are averaged. Tiles are put where they lie, on a grid as fine as theirs, averaged where they overlap,
    and count `settings.tiles_weight` beside the whole. The patches of a tile are smaller: its values are divided by its
    share of the photo, so that what the model gives a thing weighs the same in both. No map is stretched to a range of
    its own, since a tile in which the name is not would then invent it.

    Args:
        maps: non-negative, one a view, all of one grid.
        views: as `views_of` gives them.
        settings: where the views come from.

    Returns:
        Maps on the grid of the views, or, with tiles, on one finer by the tiles' share.
    """
    upright = [each.flip(-1) if view.mirrored else each for each, view in zip(maps, views, strict=True)]
    whole = [each for each, view in zip(upright, views, strict=True) if view.corner is None]
    mean = torch.stack(whole).mean(0)
    tiles = [(each, view.corner) for each, view in zip(upright, views, strict=True) if view.corner is not None]
    if not tiles:
        return mean
    assert settings is not None
    assert settings.tiles is not None
    fine = [math.ceil(extent / settings.tiles) for extent in mean.shape[1:]]
    resized = F.interpolate(mean[None], fine, mode="bilinear", align_corners=False)[0]
    near = _lay_out(tiles, fine) / settings.tiles**2
    return (1 - settings.tiles_weight) * resized + settings.tiles_weight * near


def _lay_out(
    tiles: Sequence[tuple[Float[Tensor, "token gh gw"], tuple[int, int]]], fine: Sequence[int]
) -> Float[Tensor, "token fh fw"]:
    """Tiles side by side, their mean where they overlap; 0 where none lies."""
    total = tiles[0][0].new_zeros(len(tiles[0][0]), *fine)
    count = total.new_zeros(*fine)
    for maps, (bottom, right) in tiles:
        height, width = maps.shape[1:]
        rows = slice((fine[0] - height) * bottom, (fine[0] - height) * bottom + height)
        columns = slice((fine[1] - width) * right, (fine[1] - width) * right + width)
        total[:, rows, columns] += maps
        count[rows, columns] += 1
    return total / count.clamp_min(1)
