"""The parts of the recipe that are arithmetic, on inputs small enough to work out by hand."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from pnpovss.backbones.base import Reading, Recommended
from pnpovss.backbones.mini.lite2 import MID_CHANNELS, TOP_CHANNELS
from pnpovss.backbones.mini.model import Mini
from pnpovss.backbones.parts.text_side import PatchTokens, TextSide, match_prompts
from pnpovss.prompts import TextTokens
from training.batches import READ_HEAD, READ_LAYER, WHOLE, Batch, Batches, FitConfig, Near, seen_of
from training.export import export
from training.features import load_trunk
from training.fit import Heads, _schedule, fit, parameter_groups, to_device
from training.forward import Rows, from_middle, last_blocks, look
from training.handover import keep, take_up
from training.labels import class_labels
from training.losses import contrastive, extent, presence_by_attention, rising, spread, toward
from training.minilm import load_text
from training.prompts import PromptWriter, without
from training.pseudo import PseudoTargets, compete
from training.relations import kindred_names, kinship, rival_names
from training.stages import UNMAPPED, chances, mean_weights, newest
from training.vocabulary import Vocabulary, held_out
from training.wordnet import WordNet
from training.workspace import Workspace, familiarity

DATA = """\
  1 a licence line
00000001 03 n 01 animal 0 000 | a living thing
00000002 05 n 02 dog 0 domestic_dog 0 001 @ 00000001 n 0000 | a pet
00000003 05 n 01 beagle 0 001 @ 00000002 n 0000 | a hound
"""
INDEX = """\
  1 a licence line
animal n 1 1 ~ 1 1 00000001
beagle n 1 1 @ 1 0 00000003
dog n 1 2 @ ~ 1 1 00000002
"""


@pytest.fixture
def wordnet(tmp_path: Path) -> WordNet:
    (tmp_path / "data.noun").write_text(DATA)
    (tmp_path / "index.noun").write_text(INDEX)
    (tmp_path / "noun.exc").write_text("")
    return WordNet(tmp_path)


def test_wordnet_gives_ancestors_lemmas_and_singulars(wordnet: WordNet):
    assert wordnet.ancestors(3) == {1, 2, 3}
    assert wordnet.synsets[2].lemmas == ("dog", "domestic dog")
    assert wordnet.singular("beagles") == "beagle"
    assert wordnet.singular("walks") is None
    assert wordnet.familiar == {"animal", "dog"}


def test_wordnet_missing_says_where_to_get_it(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match="wordnet-base"):
        WordNet(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("text", "out"), [("a red helicopter", True), ("Butterflies.", True), ("a camera bag", True), ("a dog", False)]
)
def test_held_out_words_are_known_in_any_form(text: str, out: bool):
    assert held_out(text) is out


def test_probabilities_of_classes_sum_to_their_common_name():
    vocabulary = Vocabulary(["dog", "grass", "pug"], [(0, 1), (), (1,)], [frozenset()] * 3, [False] * 3)
    windows = np.zeros((1, 2, 1000), np.float32)
    windows[0, 1, :2] = 0.3  # neither breed is sure, the dog is
    labels, scores = class_labels(vocabulary, windows)
    np.testing.assert_allclose(scores[0], [0.6, 0, 0.3], rtol=1e-6)
    assert labels[0].tolist() == [1, 0, 0]


def test_a_name_of_many_classes_needs_more_than_one_of_few():
    vocabulary = Vocabulary(["dog", "bus"], [tuple(range(118)), (500,)], [frozenset()] * 2, [False] * 2)
    windows = np.zeros((3, 1, 1000), np.float32)
    windows[0, 0, [5, 500]] = 0.45  # half a dog is what noise adds up to; half a bus is a bus
    windows[1, 0, [5, 500]] = 0.2, 0.02
    windows[2, 0, [5, 500]] = 0.9, 0.001
    labels, _ = class_labels(vocabulary, windows)
    assert labels.tolist() == [[0, 1], [-1, 0], [1, -1]]


def test_words_that_people_say_are_drawn_most():
    weights = [
        familiarity("dog", 900, 118, known=True),
        familiarity("toaster", 0, 1, known=True),
        familiarity("dining table", 1, 1, known=False),
        familiarity("penal institution", 0, 2, known=False),
        familiarity("Canis rufus", 0, 1, known=False),
    ]
    assert weights == [1.0, 0.6, 0.3, 0.1, 0.1]


def test_the_last_blocks_give_the_features_that_the_whole_trunk_gives():
    model = Mini().eval()
    model.trunk.requires_grad_(False)
    with torch.no_grad():
        features = model.image_features(torch.rand(2, 3, 96, 96))
        torch.testing.assert_close(from_middle(model, features), features, rtol=1e-4, atol=1e-5)


def test_the_last_blocks_have_the_gradients_that_autograd_gives_them():
    model, features = Mini(), torch.randn(2, 36, 600)
    mine, plain = features.clone().requires_grad_(), features.clone().requires_grad_()
    blocks = last_blocks(model)
    weights = [block.project.weight for block in blocks] + [b.expand.weight for b in blocks if b.expand is not None]
    for block in blocks:
        block.depthwise.requires_grad_(False)
    top = plain[..., :MID_CHANNELS].mT.unflatten(2, (6, 6))
    for block in blocks:
        top = block(top)
    wanted = torch.autograd.grad(top.square().sum(), [plain, *weights])
    seen = from_middle(model, mine)[..., MID_CHANNELS : MID_CHANNELS + TOP_CHANNELS]
    for got, want in zip(torch.autograd.grad(seen.square().sum(), [mine, *weights]), wanted, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-3, atol=1e-6)


def test_only_what_is_asked_for_is_trained_in_the_trunk():
    model = Mini()
    parameter_groups(model, Heads(), FitConfig())
    assert not any(p.requires_grad for p in model.trunk.parameters())
    groups = parameter_groups(model, Heads(), FitConfig(rate_trunk=5e-5))
    trained = {name for name, p in model.trunk.named_parameters() if p.requires_grad}
    assert trained
    assert all("project" in name or "expand" in name for name in trained)
    (slow,) = [group for group in groups if group["peak"] == 5e-5]
    assert len(slow["params"]) == len(trained)


def writer(**kwargs: object) -> PromptWriter:
    labels = np.array([[1, 1, -1, -1, 0]], np.int8)
    return PromptWriter(["cat", "sofa", "dog", "bus", "tree"], labels, np.ones(5), {}, seed=0, **kwargs)  # type: ignore[arg-type]


@pytest.mark.extra("training")
def test_prompts_match_exactly_when_all_their_names_are_present():
    drawn = writer().draw([0] * 50)
    named = drawn.names >= 0
    assert named.any(1).all()
    assert (drawn.present[named] == (drawn.names[named] <= 1)).all()
    assert not (drawn.names == 4).any()  # nobody knows about the tree
    assert (drawn.matches == (drawn.present | ~named).all(1)).all()
    assert drawn.matches.any()
    assert not drawn.matches.all()


@pytest.mark.extra("training")
def test_every_name_of_a_prompt_has_its_tokens():
    drawn = writer().draw([0] * 20)
    for row in range(len(drawn.ids)):
        slots = set(drawn.slot_of[row].tolist()) - {-1}
        assert slots == set(range(int((drawn.names[row] >= 0).sum())))
    assert (drawn.slot_of[~drawn.mask] == -1).all()


@pytest.mark.extra("training")
def test_hidden_things_become_absent():
    drawn = writer().draw([0] * 4)
    gone = torch.zeros_like(drawn.present)
    gone[0, 0] = True
    after = without(drawn, gone)
    assert not after.present[0, 0]
    assert not after.matches[0]
    assert torch.equal(after.present[1:], drawn.present[1:])


def test_the_mean_of_a_name_is_over_its_tokens():
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]]).bool()  # two prompts of one image
    rows = Rows.of(mask, 1)
    values = torch.tensor([[[1.0], [3.0], [5.0], [9.0], [2.0], [4.0]]])
    slots = torch.tensor([[-1, 0, 0, 2], [1, 1, 1, 1]])
    assert rows.mean_of_slots(values, slots, 3).squeeze(-1).tolist() == [[4.0, 0.0, 9.0], [0.0, 3.0, 0.0]]


def test_an_image_has_its_prompts_in_one_row_without_what_padded_them():
    mask = torch.tensor([[1, 1, 1], [1, 0, 0], [1, 1, 0], [1, 1, 1]]).bool()  # two prompts of each of two images
    rows = Rows.of(mask, 2)
    tokens = torch.arange(12).view(4, 3)
    assert rows.put(tokens)[0, :4].tolist() == [0, 1, 2, 3]
    assert rows.put(tokens)[1].tolist() == [6, 7, 9, 10, 11]
    assert rows.prompt.tolist() == [[0, 0, 0, 1, -1], [0, 0, 1, 1, 1]]
    assert rows.first.tolist() == [[0, 3], [0, 2]]
    assert rows.same_prompt[0, 0, 3].tolist() == [False, False, False, True, False]


def test_presence_by_attention_is_low_when_looking_where_it_should():
    scores = torch.full((2, 1, 3), -5.0)
    scores[0, 0, 1] = 5.0  # looks at a patch
    scores[1, 0, 0] = 5.0  # looks at the global token
    named = torch.ones(2, 1, dtype=torch.bool)
    right = presence_by_attention(scores, named, torch.tensor([[True], [False]]))
    wrong = presence_by_attention(scores, named, torch.tensor([[False], [True]]))
    assert float(right) < 0.001 < 5 < float(wrong)


def test_a_map_equal_to_its_target_has_no_loss():
    target = torch.tensor([[1.0, 1.0, 0.0, 0.0]])
    assert float(toward(3 * target, target)) == pytest.approx(0, abs=1e-3)
    assert float(toward(torch.tensor([[1.0, 0, 0, 0]]), target)) > 1
    assert float(toward(torch.ones(1, 4), target)) == pytest.approx(np.log(2), abs=1e-3)


def test_falling_gradients_at_a_thing_cost():
    target = torch.tensor([[1.0, 1.0, 0.0]])
    assert float(rising(torch.tensor([[2.0, 3.0, -9.0]]), target)) == 0
    assert float(rising(torch.tensor([[2.0, -6.0, 0.0]]), target)) == pytest.approx(0.75)


def test_attention_on_one_patch_is_penalised_and_on_many_is_not():
    chosen = torch.ones(1, 1, dtype=torch.bool)
    one, many = torch.zeros(1, 1, 100), torch.zeros(1, 1, 100)
    one[..., 0], many[..., :20] = 1, 1 / 20
    assert float(spread(one, chosen)) == pytest.approx(np.log(15), rel=1e-3)
    assert float(spread(many, chosen)) == 0


def test_the_contrastive_loss_leaves_out_what_is_not_known():
    similarity, zero = torch.tensor([[1.0, -1.0, 1.0]]), torch.tensor(0.0)
    loss = contrastive(similarity, torch.tensor([[1.0, -1.0, 0.0]]), torch.tensor(10.0), zero)
    assert float(loss) < 1e-3


def test_a_stronger_rival_takes_what_is_not_shared():
    maps = torch.tensor([[1.0, 0.5, 0.2], [0.1, 1.0, 0.2]])
    taken = compete(maps, np.array([[False, True], [True, False]]))
    torch.testing.assert_close(taken, torch.tensor([[1.0, 0.125, 0.2], [0.001, 1.0, 0.2]]))
    torch.testing.assert_close(compete(maps, np.zeros((2, 2), bool)), maps)


class Arrays:
    maps = np.zeros((1, 4, 4), np.uint8)
    names = np.full((1, 4), -1, np.int16)


@pytest.mark.extra("training")
def test_targets_are_mirrored_with_their_photo_and_gone_when_hidden():
    arrays = Arrays()
    arrays.maps[0, 0] = [255, 0, 255, 0]  # the left half of 2 x 2 patches
    arrays.names[0, 0] = 1
    drawn = writer().draw([0])
    hidden = torch.zeros(1, 4, dtype=torch.bool)
    targets = PseudoTargets(arrays)  # type: ignore[arg-type]
    features, mirrored, whole = torch.zeros(1, 4, 600), np.array([True]), np.full((1, 2), WHOLE)
    target, exists, gone = targets.seen(Batch(np.array([0]), features, mirrored, hidden, whole)).targets(drawn)
    assert torch.equal(exists, drawn.names == 1)
    assert exists.any()
    assert target[exists].unique(dim=0).tolist() == [[0, 1, 0, 1]]
    assert not gone.any()
    hidden = torch.tensor([[False, True, False, True]])
    _, exists, gone = targets.seen(Batch(np.array([0]), features, mirrored, hidden, whole)).targets(drawn)
    assert not exists.any()
    assert torch.equal(gone, drawn.names == 1)


@pytest.mark.extra("training")
def test_a_part_seen_from_near_has_its_own_targets_and_things_outside_it_are_absent():
    arrays = Arrays()
    maps = np.zeros((1, 4, 16), np.uint8)  # 4 x 4 cells: a cat down on the right, a sofa up on the left
    maps[0, 0].reshape(4, 4)[2:, 2:] = 255
    maps[0, 1].reshape(4, 4)[:2, :2] = 255
    arrays.maps, arrays.names = maps, np.array([[0, 1, -1, -1]], np.int16)
    drawn = writer().draw([0])
    hidden = torch.zeros(1, 4, dtype=torch.bool)
    near = Batch(np.array([0]), torch.zeros(1, 4, 600), np.array([False]), hidden, np.array([[1, 2]]))
    target, exists, gone = PseudoTargets(arrays).seen(near).targets(drawn)  # type: ignore[arg-type]
    assert torch.equal(exists, drawn.names == 0)
    assert target[exists].unique(dim=0).tolist() == [[0, 0, 1, 1]]  # rows 1 and 2, columns 2 and 3
    assert torch.equal(gone, (drawn.names == 1) & drawn.present)
    # Of five names the cat is seen, the sofa lies outside the part, and nobody knows of the tree that has no map.
    labels = np.array([[1, 1, -1, 0, 1]], np.int8)
    assert PseudoTargets(arrays).seen(near).labels(labels).tolist() == [[1, -1, -1, 0, 0]]  # type: ignore[arg-type]
    assert PseudoTargets(arrays).seen(near).in_doubt() == [[]]  # type: ignore[arg-type]
    whole = replace(near, corners=np.full((1, 2), WHOLE))
    assert PseudoTargets(arrays).seen(whole).labels(labels).tolist() == labels.tolist()  # type: ignore[arg-type]


def test_a_thing_half_hidden_or_in_a_part_without_a_good_map_is_in_doubt():
    arrays, maps = Arrays(), np.zeros((1, 4, 16), np.uint8)
    maps[0, 0].reshape(4, 4)[:2, :3] = [[255, 255, 255], [255, 255, 0]]  # a patch, and a quarter of the next
    arrays.maps, arrays.names = maps, np.array([[0, 1, -1, -1]], np.int16)  # of the sofa the map is empty
    targets = PseudoTargets(arrays)  # type: ignore[arg-type]
    hidden = torch.tensor([[True, False, False, False]])
    whole = Batch(np.array([0]), torch.zeros(1, 4, 600), np.array([False]), hidden, np.full((1, 2), WHOLE))
    assert targets.seen(whole).in_doubt() == [[0]]
    assert targets.seen(replace(whole, hidden=~hidden & False)).in_doubt() == [[]]
    assert targets.seen(replace(whole, hidden=~hidden & False, corners=np.array([[0, 0]]))).in_doubt() == [[1]]


def test_a_look_at_the_whole_sees_means_of_cells():
    maps = torch.arange(16.0).view(1, 1, 16)
    assert seen_of(maps, np.full((1, 2), WHOLE), 2).tolist() == [[[2.5, 4.5, 10.5, 12.5]]]
    assert seen_of(maps, np.array([[0, 1]]), 2).tolist() == [[[1, 2, 5, 6]]]


def test_parts_are_taken_from_near_and_only_of_photos_that_are_there():
    small = np.zeros((2, 4, 472), np.float16), np.zeros((2, 4, 128), np.float16)
    place = np.arange(16, dtype=np.float16)[None, :, None]
    near = Near(np.tile(place, (1, 1, 472)), np.tile(place, (1, 1, 128)), np.array([-1, 0]))
    batches = Batches(*small, torch.zeros(4, 600), FitConfig(near=1.0, hide=0.0), near)
    for _ in range(5):
        batch = batches.load(np.array([0, 1]), maps=torch.ones(2, 1, 16))
        assert batch.corners[0].tolist() == [WHOLE, WHOLE]
        assert not batch.features[0].any()
        y, x = batch.corners[1]
        seen = np.array([4 * y + x, 4 * y + x + 1, 4 * y + x + 4, 4 * y + x + 5]).reshape(2, 2)
        wanted = seen[:, ::-1] if batch.mirrored[1] else seen
        np.testing.assert_array_equal(batch.features[1][:, 599], wanted.ravel())
    assert batches.load(np.array([1]), augment=False).corners.tolist() == [[WHOLE, WHOLE]]
    for nothing in (None, torch.zeros(1, 1, 16)):  # a part would teach no name but absent ones
        assert batches.load(np.array([1]), maps=nothing).corners.tolist() == [[WHOLE, WHOLE]]


def test_a_thing_is_hidden_with_its_edge_and_only_where_that_is_asked_for():
    small = np.ones((1, 25, 472), np.float16), np.ones((1, 25, 128), np.float16)
    maps = torch.zeros(1, 1, 25)
    maps[0, 0, 12] = 1  # the middle of 5 x 5 patches
    edge = torch.zeros(5, 5, dtype=torch.bool)
    edge[1:4, 1:4] = True
    for things in (True, False):
        batches = Batches(*small, torch.zeros(25, 600), FitConfig(near=0.0, hide=1.0, hide_things=things))
        hidden = [batches.load(np.array([0]), maps=maps).hidden.view(5, 5) for _ in range(40)]
        assert any((each & ~edge).sum() == 0 and each.sum() >= 6 for each in hidden) == things


def test_a_map_that_spills_overlaps_less():
    target = torch.tensor([[1.0, 1.0, 0.0, 0.0]])
    assert float(extent(5 * target, target)) == pytest.approx(0)
    assert float(extent(torch.ones(1, 4), target)) == pytest.approx(1 / 3)  # Dice: 2 * 2 / (4 + 2)
    assert float(extent(torch.tensor([[1.0, 1.0, 0.25, 0.25]]), target)) == pytest.approx(1 - 4 / 5)


@pytest.mark.extra("training")
def test_a_photo_seen_in_part_is_asked_for_nothing_without_a_map():
    mapped = np.array([[0, -1, -1, -1]])
    drawn = writer(mapped=mapped).draw([0] * 40, only_mapped=[True] * 40)
    assert set(drawn.names[drawn.present & (drawn.names >= 0)].tolist()) == {0}
    assert (writer(mapped=mapped).draw([0] * 40).names == 1).any()
    in_doubt = writer(mapped=mapped).draw([0] * 40, [True] * 40, [[0]] * 40)
    assert not in_doubt.present.any()
    for nothing in (None, np.full((1, 4), -1)):
        assert not writer(mapped=nothing).draw([0] * 40, only_mapped=[True] * 40).present.any()


@pytest.mark.extra("training")
def test_names_that_are_easily_taken_for_one_that_is_there_are_asked_for_most():
    names = ["cat", "dog", "bus"]
    labels = np.array([[1, -1, -1], [0, 1, 0], [0, 0, 1]], np.int8)
    kin = np.array([[1, 0.7, 0.2], [0.7, 1, 0.2], [0.2, 0.2, 1]])

    def dogs_asked_for(kin: np.ndarray | None) -> float:
        drawn = PromptWriter(names, labels, np.ones(3), {}, seed=0, kin=kin).draw([0] * 200)
        absent = drawn.names[~drawn.present & (drawn.names >= 0)]
        return float((absent == 1).float().mean())

    assert dogs_asked_for(None) == pytest.approx(0.5, abs=0.07)  # neither was ever seen beside a cat
    assert dogs_asked_for(kin) > 0.58


@pytest.mark.extra("training")
def test_each_name_is_asked_for_as_often_where_it_is_absent_as_the_others():
    # By how common names are, a cat would be asked for six times as often where it is as where it is not, a tree less.
    shown = np.repeat(range(4), [20, 10, 10, 4])
    labels = np.where(np.arange(4) == shown[:, None], 1, -1).astype(np.int8)
    writer = PromptWriter(["cat", "dog", "bus", "tree"], labels, np.ones(4), {}, seed=0)
    drawn = writer.draw(list(range(len(shown))) * 8)
    alone = (drawn.names >= 0).sum(1) == 1
    shares = [float(drawn.present[(drawn.names == name) & alone[:, None]].float().mean()) for name in range(4)]
    assert max(shares) - min(shares) < 0.1, shares


def test_stuff_takes_pixels_from_things_and_from_other_stuff(tmp_path: Path):
    noun = "0000000{} 03 n 01 {} 0 000 | a noun"
    words = ["clothing", "dog", "grass", "field", "sky", "tail", "person"]
    (tmp_path / "data.noun").write_text("".join(noun.format(i, word) + "\n" for i, word in enumerate(words, 1)))
    (tmp_path / "index.noun").write_text("".join(f"{w} n 1 0 1 0 0000000{i}\n" for i, w in enumerate(words, 1)))
    (tmp_path / "noun.exc").write_text("")
    offsets = [frozenset({i}) for i in range(2, 8)]
    vocabulary = Vocabulary(words[1:], [(0,), (), (), (), (), ()], offsets, [False] * 5 + [True])
    rival = rival_names(vocabulary, WordNet(tmp_path))
    wanted = np.zeros((6, 6), bool)  # a tail is part of a dog, a field may be the grass
    wanted[[0, 0, 0, 0, 1, 1, 2, 2, 3], [1, 2, 3, 5, 3, 5, 3, 5, 5]] = True
    np.testing.assert_array_equal(rival, wanted | wanted.T)


def test_names_for_the_same_things_are_kindred(wordnet: WordNet):
    names, leaves = ["animal", "dog", "beagle", "pug", "person", "boy"], [(), (3,), (), (3,), (), ()]
    offsets = [frozenset({1}), frozenset({2}), frozenset({3}), frozenset[int](), frozenset[int](), frozenset[int]()]
    kindred = kindred_names(Vocabulary(names, leaves, offsets, [False] * 4 + [True] * 2), wordnet)
    wanted = np.eye(6, dtype=bool)
    wanted[[0, 0, 1, 1, 4], [1, 2, 2, 3, 5]] = True
    np.testing.assert_array_equal(kindred, wanted | wanted.T)


def test_kin_share_most_of_what_lies_above_them(wordnet: WordNet):
    offsets = [frozenset({1}), frozenset({2}), frozenset({3}), frozenset[int]()]
    vocabulary = Vocabulary(["animal", "dog", "beagle", "xyz"], [()] * 4, offsets, [False] * 4)
    near = kinship(vocabulary, wordnet)
    np.testing.assert_allclose(near[2], [1 / 3, 2 / 3, 1, 0])
    np.testing.assert_allclose(near, near.T)


def test_weights_are_averaged_by_share():
    one, other = Mini(), Mini()
    wanted = 0.75 * one.itm_head.weight + 0.25 * other.itm_head.weight
    torch.testing.assert_close(mean_weights(one, other, 0.25).itm_head.weight, wanted)


def test_photos_without_a_map_go_on_teaching_names_however_few_have_one():
    weights = np.array([1.0, 3.0, 2.0, 6.0])
    mapped = np.array([True, True, False, False])
    assert np.allclose(
        chances(weights, mapped), [(1 - UNMAPPED) / 4, 3 * (1 - UNMAPPED) / 4, UNMAPPED / 4, 3 * UNMAPPED / 4]
    )
    for every in (np.ones(4, bool), np.zeros(4, bool)):
        assert np.allclose(chances(weights, every), weights / 12)


def test_the_rate_rises_then_falls():
    config = FitConfig(steps=100, warmup=10)
    rates = [_schedule(step, config) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == pytest.approx(1.0)
    assert rates[-1] < 0.03
    assert to_device((torch.ones(1), None), "cpu")[1] is None


def test_training_and_inference_see_the_same():
    torch.manual_seed(0)
    model = Mini().eval()
    tokens = torch.randn(2, 10, 384)
    ids = torch.tensor([[1, 2000, 3000, 102], [1, 4000, 102, 0], [1, 102, 0, 0], [1, 5000, 6000, 102]])
    ours = look(model.text, tokens, ids, ids != 0)
    logits = model.itm_head(ours.rows.first_of(ours.hidden))[:, 1]
    (gradient,) = torch.autograd.grad(logits.sum(), ours.probs[4])
    text = TextSide(
        embed=model.text.embeddings,
        layers=list(model.text.encoder.layer),
        head=model.itm_head,
        pad_id=0,
        max_tokens=128,
    )
    prompts = [tuple(row[row != 0].tolist()) for row in ids]
    texts = [TextTokens(prompt, ("x",) * len(prompt), ((0, 0),) * len(prompt)) for prompt in prompts]
    match = match_prompts(text, PatchTokens(tokens, (3, 3)), [texts[:2], texts[2:]], Reading((4,)))
    torch.testing.assert_close(torch.cat(match.logits), logits.detach(), atol=1e-5, rtol=1e-4)
    for image, maps in enumerate(match.maps):
        assert maps.gradient is not None
        for prompt, theirs in enumerate(maps.gradient):
            mine = gradient[image][:, ours.rows.prompt[image] == prompt, 1:].unflatten(-1, (3, 3))
            torch.testing.assert_close(theirs[:, : mine.shape[1]], mine, atol=1e-6, rtol=1e-4)


def test_nouns_are_counted_by_caption(wordnet: WordNet):
    from training.captions import photo_nouns

    counted = photo_nouns({"a.jpg": ["A beagle and two dogs .", "A dog runs ."]}, wordnet)
    assert counted == {"a.jpg": Counter({"dog": 2, "beagle": 1})}


@pytest.mark.extra("training")
def test_a_refused_export_leaves_the_model_that_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "model.safetensors").write_bytes(b"the former one")
    (tmp_path / ".export-killed").mkdir()
    (tmp_path / ".export-killed" / "model.safetensors").write_bytes(b"half")
    monkeypatch.setattr("training.export.MAX_MAP_ERROR", 0.0)
    model = Mini()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.03)
    with pytest.raises(RuntimeError, match="export refused"):
        export(model, tmp_path, Recommended(READ_LAYER, READ_HEAD, 320))
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("model.safetensors", b"the former one")]


def test_the_newest_stage_is_exported_and_each_round_goes_on_from_the_one_before(tmp_path: Path):
    work = Workspace(tmp_path, tmp_path, tmp_path)
    with pytest.raises(FileNotFoundError, match="run the stages"):
        newest(work)
    for stage in ("start", "distill-2", "views", "views-2"):
        (tmp_path / stage).mkdir()
        (tmp_path / stage / "last.pt").touch()
    assert newest(work) == "views-2"
    assert newest(work, before=5) == "views"
    assert newest(work, before=4) == "distill-2"


@pytest.mark.extra("training")
def test_another_machine_goes_on_from_the_weights_of_a_stage(tmp_path: Path):
    torch.manual_seed(0)
    work = Workspace(tmp_path, tmp_path / "cache", tmp_path)
    here, there, file = work.cache / "here", work.cache / "distill-2", tmp_path / "distill-2.safetensors"
    here.mkdir(parents=True)
    trained = Mini()
    trained.trunk, trained.text = load_trunk(torch.device("cpu")), load_text()
    trained.text.encoder.layer[5].apply(lambda part: [torch.nn.init.normal_(p, std=0.02) for p in part.parameters()])
    torch.save({"model": trained.state_dict(), "mean": {}}, here / "last.pt")
    keep(work.restore(here / "last.pt"), file)
    assert not any(name.startswith(("trunk.", "text.embeddings.", "text.encoder.layer.0.")) for name in load_file(file))
    take_up(file, there)
    assert newest(work) == "distill-2"
    theirs = work.restore(there / "last.pt").state_dict()
    for name, value in trained.state_dict().items():
        torch.testing.assert_close(theirs[name], value, rtol=1e-3, atol=1e-4)


@pytest.mark.extra("training")
def test_a_run_that_was_stopped_remembers_which_names_it_asked_for(tmp_path: Path):
    batches = Batches(np.zeros((1, 16, 472)), np.zeros((1, 16, 128)), torch.zeros(16, 600), FitConfig())
    config = FitConfig(steps=1, photos=1)
    first, again = writer(), writer()
    for each in (first, again):  # the second finds the first one's checkpoint, with no step left to do
        fit(Mini(), batches, each, lambda random, count: np.zeros(count, int), tmp_path, config)
    assert first.asked.sum() >= 5
    assert np.array_equal(again.asked, first.asked)
