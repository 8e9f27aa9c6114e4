from collections.abc import Callable

import torch
from torch import Tensor

from pnpovss.config import DropoutSettings
from pnpovss.saliency.dropout import salience_dropout


def look_at(scene: Tensor, seen: list[Tensor]) -> Callable[[Tensor], list[Tensor]]:
    """A model that finds every patch it may see as salient as the scene says ("token gh gw")."""

    def look(kept: Tensor) -> list[Tensor]:
        seen.append(kept.clone())
        return [scene.clone() for _ in kept]  # also at blanked patches: the method must not count those

    return look


def all_of(*shape: int) -> Tensor:
    return torch.ones(*shape, dtype=torch.bool)


def total(i: int, maps: Tensor) -> Tensor:
    return maps.sum(0)


def test_a_count_of_patches_is_dropped_each_pass() -> None:
    scene, seen = torch.tensor([[[4.0, 3.0], [2.0, 1.0]]]), []
    [maps] = salience_dropout(look_at(scene, seen), total, all_of(1, 2, 2), DropoutSettings(passes=3, drop=1))
    assert [int(kept.sum()) for kept in seen] == [4, 3, 2]
    assert maps.tolist() == [[[4.0, 6.0], [6.0, 3.0]]]  # a patch is counted in the passes that it was seen in


def test_half_of_the_remaining_patches_is_dropped_each_pass() -> None:
    scene, seen = torch.arange(1.0, 17).view(1, 4, 4), []
    salience_dropout(look_at(scene, seen), total, all_of(1, 4, 4), DropoutSettings(passes=4, drop=0.5))
    assert [int(kept.sum()) for kept in seen] == [16, 8, 4, 2]
    assert seen[1].flatten().tolist() == [True] * 8 + [False] * 8  # the most salient half is gone


def test_something_always_remains_to_be_seen() -> None:
    scene, seen = torch.ones(1, 2, 2), []
    salience_dropout(look_at(scene, seen), total, all_of(1, 2, 2), DropoutSettings(passes=3, drop=100))
    assert [int(kept.sum()) for kept in seen] == [4, 1, 1]


def test_pass_weights_weigh_the_sum() -> None:
    scene, seen = torch.tensor([[[2.0, 1.0]]]), []
    settings = DropoutSettings(passes=2, drop=1, weights=(2.0, 1.0))
    [maps] = salience_dropout(look_at(scene, seen), total, all_of(1, 1, 2), settings)
    assert maps.tolist() == [[[4.0, 3.0]]]


def test_one_pass_is_plain_gradcam() -> None:
    scene, seen = torch.tensor([[[2.0, 1.0]]]), []
    [maps] = salience_dropout(look_at(scene, seen), total, all_of(1, 1, 2), DropoutSettings(passes=1))
    assert maps.equal(scene)
    assert len(seen) == 1


def test_images_of_a_batch_drop_their_own_patches() -> None:
    scenes = [torch.tensor([[[2.0, 1.0]]]), torch.tensor([[[1.0, 2.0]]])]
    seen: list[Tensor] = []

    def look(kept: Tensor) -> list[Tensor]:
        seen.append(kept.clone())
        return scenes

    salience_dropout(look, total, all_of(2, 1, 2), DropoutSettings(passes=2, drop=1))
    assert seen[1].tolist() == [[[False, True]], [[True, False]]]
