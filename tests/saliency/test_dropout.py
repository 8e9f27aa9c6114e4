import torch
from torch import Tensor

from pnpovss.config import DropoutSettings
from pnpovss.saliency.dropout import blank_patches, drop_most_salient


def all_of(*shape: int) -> Tensor:
    return torch.ones(*shape, dtype=torch.bool)


def left(scene: Tensor, passes: int, **settings: object) -> list[Tensor]:
    """The patches kept before each further pass, the scene looking the same in all of them."""
    dropout = DropoutSettings.model_validate({"passes": passes, **settings})
    names = [[(token,) for token in range(len(scene))]]
    kept, seen = all_of(1, *scene.shape[1:]), []
    for _ in range(passes - 1):
        kept = drop_most_salient([scene], names, kept, dropout)  # also salient where blanked: that must not count
        seen.append(kept)
    return seen


def test_a_count_of_patches_is_dropped_each_pass() -> None:
    first, second = left(torch.tensor([[[4.0, 3.0], [2.0, 1.0]]]), 3, drop=1)
    assert first.tolist() == [[[False, True], [True, True]]]
    assert second.tolist() == [[[False, False], [True, True]]]


def test_half_of_the_remaining_patches_is_dropped_each_pass() -> None:
    seen = left(torch.arange(1.0, 17).view(1, 4, 4), 4, drop=0.5)
    assert [int(kept.sum()) for kept in seen] == [8, 4, 2]
    assert seen[0].flatten().tolist() == [True] * 8 + [False] * 8  # the most salient half is gone


def test_something_always_remains_to_be_seen() -> None:
    assert [int(kept.sum()) for kept in left(torch.ones(1, 2, 2), 3, drop=100)] == [1, 1]


def test_patches_are_ranked_by_names_or_by_tokens() -> None:
    """A name of two tokens counts once by names, twice by tokens."""
    maps = [torch.tensor([[[3.0, 0.0]], [[3.0, 0.0]], [[0.0, 4.0]]])]  # token 1 2
    names = [[(0, 1), (2,)]]
    by_names = drop_most_salient(maps, names, all_of(1, 1, 2), DropoutSettings(drop=1))
    by_tokens = drop_most_salient(maps, names, all_of(1, 1, 2), DropoutSettings(drop=1, ranking="tokens"))
    assert by_names.tolist() == [[[True, False]]]
    assert by_tokens.tolist() == [[[False, True]]]


def test_other_tokens_are_not_ranked() -> None:
    maps = [torch.tensor([[[9.0, 0.0]], [[1.0, 2.0]]])]  # the first token is of no name
    assert drop_most_salient(maps, [[(1,)]], all_of(1, 1, 2), DropoutSettings(drop=1)).tolist() == [[[True, False]]]


def test_images_of_a_batch_drop_their_own_patches() -> None:
    scenes = [torch.tensor([[[2.0, 1.0]]]), torch.tensor([[[1.0, 2.0]]])]
    kept = drop_most_salient(scenes, [[(0,)], [(0,)]], all_of(2, 1, 2), DropoutSettings(drop=1))
    assert kept.tolist() == [[[False, True]], [[True, False]]]


def test_blanked_patches_are_the_mean_colour_and_the_rest_is_untouched() -> None:
    pixels = torch.rand(2, 3, 4, 6) + 1
    kept = all_of(2, 2, 3)
    kept[1, 0, 2] = False
    blanked = blank_patches(pixels, kept)
    assert blanked[0].equal(pixels[0])
    assert blanked[1, :, :2, 4:].eq(0).all()
    assert blanked[1].ne(0).sum() == 3 * 20
