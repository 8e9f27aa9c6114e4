"""Edges of a reduced photo's labels, drawn at full size."""

import torch
from torch.nn import functional as F

from pnpovss.refine.edges import draw_edges


def a_slanted_edge(height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A photo of two colours, and which pixels have the second."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    right = x > width / 2 + (y - height / 2) / 3
    photo = torch.where(right[..., None], torch.tensor([200, 90, 40]), torch.tensor([40, 90, 160])).to(torch.uint8)
    return photo, right


def reduced(photo: torch.Tensor, factor: int) -> torch.Tensor:
    return (
        torch.nn.functional.avg_pool2d(photo.permute(2, 0, 1).float(), factor).permute(1, 2, 0).round().to(torch.uint8)
    )


def test_an_edge_lies_where_the_photo_has_it() -> None:
    photo, right = a_slanted_edge(120, 160)
    # Labels of the reduced photo: by the colour that most of a pixel's area has.
    small = reduced(photo, 4)
    second = (small[..., 0] > 120).float()
    q = torch.stack([1 - second, second]) * 0.9 + 0.05
    drawn = draw_edges(q, small, photo).argmax(0).bool()
    enlarged = F.interpolate(q[None], (120, 160), mode="bilinear")[0].argmax(0).bool()
    assert (drawn != right).sum() <= 0.1 * (enlarged != right).sum()
    assert (enlarged != right).sum() > 50


def test_probabilities_stay_probabilities_whatever_the_colours() -> None:
    generator = torch.Generator().manual_seed(0)
    photo = torch.randint(0, 256, (31, 47, 3), generator=generator).to(torch.uint8)
    small = torch.randint(0, 256, (10, 12, 3), generator=generator).to(torch.uint8)
    q = torch.rand(4, 10, 12, generator=generator).softmax(0)
    drawn = draw_edges(q, small, photo)
    assert drawn.shape == (4, 31, 47)
    torch.testing.assert_close(drawn.sum(0), torch.ones(31, 47), atol=1e-5, rtol=0)
    assert drawn.min() >= 0


def test_where_one_label_is_sure_nothing_is_asked() -> None:
    photo = torch.randint(0, 256, (40, 60, 3), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    q = torch.stack([torch.full((20, 30), 0.98), torch.full((20, 30), 0.02)])
    torch.testing.assert_close(draw_edges(q, photo[::2, ::2], photo)[0], torch.full((40, 60), 0.98))
