"""The steps of the recipe, each from the files of the steps before to its own; each can be run again after a kill."""

import logging
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float

from pnpovss.backbones.base import LoadOptions, Recommended
from pnpovss.backbones.mini.backbone import load_mini
from pnpovss.backbones.mini.checkpoint import read_checkpoint
from pnpovss.backbones.mini.lite2 import STRIDE
from pnpovss.backbones.mini.model import Mini
from pnpovss.files.writing import write_all
from training.batches import FitConfig
from training.cam import CamTeacher, train_cam
from training.drawn import FEW_LOOKS, MANY_LOOKS, draw_pseudo_maps
from training.export import export
from training.features import cache_features, load_trunk, open_features
from training.fit import fit
from training.labels import build_labels
from training.made_with import OtherCacheError
from training.parts import in_parts
from training.photos import SHARP
from training.plot import plot_history
from training.pseudo import PseudoTargets, StudentTeacher, Teacher, choose_names, make_pseudo_maps, open_pseudo
from training.relations import kindred_names, rival_names, stuff_kinds
from training.semantics import cache_semantics, class_embeddings, open_semantics
from training.start import initial_model
from training.whole import whole
from training.workspace import Workspace

log = logging.getLogger(__name__)

UNMAPPED = 0.35
"""Share of a step's photos that have no pseudo-map, however few of all have one: they go on teaching names."""
SHARPER, SURROUNDED = 4.0, 2.0
"""How much more readily a photo gets a pseudo-map that is sharp (small ones show one large thing each, and teach no
extents), and one of which it is known what surrounds its things."""
STAGES = ("start", "distill-1", "distill-2", "distill-3", "views", "views-2", "views-3")
TEACHER = "teacher.txt"
"""Beside the pseudo-maps of a round: the folder of the model that drew them."""
LOOKS = {4: FEW_LOOKS, 5: MANY_LOOKS, 6: MANY_LOOKS}
"""The rounds whose teacher is the whole method, and the looks that it takes at a photo."""


def prepare(work: Workspace) -> None:
    """Index the photos, build the vocabulary, embed the names of the classifier's classes."""
    log.info("%d photos, %d names", len(work.photos), len(work.vocabulary.names))
    path = work.cache / "class-embeddings.npz"
    if not path.exists():
        table, basis = class_embeddings(work.wordnet, work.classes)
        with whole(path) as part, part.open("wb") as file:
            np.savez(file, table=table, basis=basis)


def features(work: Workspace, workers: int) -> None:
    """Run the trunk and its classifier's head over all photos; then label them and fit the first teacher."""
    open_features(work.cache, len(work.photos), work.side, write=True)
    open_semantics(work.cache, len(work.photos), work.tokens, write=True)
    work.near_folder.mkdir(exist_ok=True)
    open_features(work.near_folder, len(work.sharp), work.near, write=True)
    open_semantics(work.near_folder, len(work.sharp), work.near // STRIDE, write=True)
    in_parts(_features_part, work, workers)
    labels = build_labels(
        work.photos,
        work.vocabulary,
        work.wordnet,
        work.captions,
        work.nouns,
        work.semantics.windows,
        work.semantics.pooled,
        work.listed,
        work.told,
        seed=0,
    )
    with whole(work.cache / "labels.npz") as part, part.open("wb") as file:
        np.savez_compressed(file, labels=labels)
    rows = np.flatnonzero(~work.validation)
    weights, _ = train_cam(work.semantics.pooled[:, 0], labels, rows, seed=0)
    with whole(work.cache / "cam.npy") as part, part.open("wb") as file:
        np.save(file, weights)


def _features_part(work: Workspace, part: int, parts: int) -> None:
    device = torch.device(work.device)
    trunk, every = load_trunk(device), np.arange(len(work.photos))
    for photos, folder, side in ((every, work.cache, work.side), (work.sharp, work.near_folder, work.near)):
        rows = range(len(photos) * part // parts, len(photos) * (part + 1) // parts)
        cache_features(work.reader, photos, folder, side, rows, device=device, dtype=work.dtype)
        seen = open_features(folder, len(photos), side, write=False)
        cache_semantics(trunk, seen, work.embeddings[0], folder, rows, device=device, dtype=work.dtype)


def start(work: Workspace, config: FitConfig) -> None:
    """Stage 1: presence alone teaches the model where to look."""
    torch.manual_seed(config.seed)  # of the weights that begin at random
    model = initial_model(work.vocabulary.names, *work.embeddings, work.moments).train()
    rows, weights = work.trainable
    chance = weights / weights.sum()
    folder = work.cache / STAGES[0]
    fit(
        model,
        work.batches(config),
        work.writer(seed=config.seed),
        lambda random, count: random.choice(rows, count, replace=False, p=chance),
        folder,
        config,
    )
    plot_history(folder / "log.csv")


def distill(work: Workspace, config: FitConfig, round_: int, mapped: int, workers: int) -> None:
    """Stages 2 to 4: pseudo-maps of the stage before teach attention and GradCAM where things end.

    `mapped` photos get them, those most readily drawn first.
    """
    rows, weights = work.trainable
    maps = begun_maps(work, round_, mapped)
    in_parts(_pseudo_part, work, workers, round_, mapped)
    pseudo = open_pseudo(maps, len(work.photos), work.cells**2, write=False)
    chance = chances(weights, np.asarray((pseudo.names[rows] >= 0).any(1)))
    folder = work.cache / STAGES[round_]
    fit(
        work.restore(work.cache / STAGES[round_ - 1] / "last.pt").train(),
        work.batches(config),
        work.writer(seed=config.seed + round_, mapped=np.asarray(pseudo.names)),
        lambda random, count: random.choice(rows, count, replace=False, p=chance),
        folder,
        config,
        PseudoTargets(pseudo),
    )
    plot_history(folder / "log.csv")


def views(work: Workspace, config: FitConfig, round_: int, teacher: Path, mapped: int, workers: int) -> None:
    """Stages 5 to 7: what a trained model finds in several looks, the whole method's steps included, teaches one look.

    It goes on from that model. Sharp photos are also seen in parts, from near: a thing of the photo that is not in the
    part is a name that is absent.
    """
    maps = begun_maps(work, round_, mapped)
    write_all({maps / TEACHER: str(teacher.resolve()).encode()})
    in_parts(_views_part, work, workers, round_, mapped)
    pseudo = open_pseudo(maps, len(work.photos), work.cells**2, write=False)
    rows, weights = work.trainable
    chance = chances(weights, np.asarray((pseudo.names[rows] >= 0).any(1)))
    folder = work.cache / STAGES[round_]
    fit(
        read_checkpoint(teacher).model.train(),
        work.batches(config),
        work.writer(seed=config.seed + round_, mapped=np.asarray(pseudo.names), kin=work.kin),
        lambda random, count: random.choice(rows, count, replace=False, p=chance),
        folder,
        config,
        PseudoTargets(pseudo),
    )
    plot_history(folder / "log.csv")


def chances(weights: Float[np.ndarray, " row"], mapped: Bool[np.ndarray, " row"]) -> Float[np.ndarray, " row"]:
    """How likely each photo is drawn, of those with a pseudo-map and of the others as `weights` say."""
    shares = np.zeros(len(weights))
    for kind, share in ((mapped, 1 - UNMAPPED), (~mapped, UNMAPPED)):
        if kind.any():
            shares[kind] = share * weights[kind] / weights[kind].sum()
    return shares / shares.sum()


def begun_maps(work: Workspace, round_: int, mapped: int) -> Path:
    """The folder of a round's pseudo-maps, without any at first, and what their makers need to know.

    Raises:
        OtherCacheError: the round was begun with another number of photos to map. Those are other photos, of which some
            have other names: what was mapped would be neither the one choice nor the other.
    """
    maps = work.cache / f"pseudo-{round_}"
    pseudo = open_pseudo(maps, len(work.photos), work.cells**2, write=True)
    begun = maps / "begun"
    if not begun.exists():
        pseudo.names[:] = -1
        pseudo.names.flush()
    elif (before := begun.read_text()) not in ("", str(mapped)):  # of runs before this was noted, it is empty
        raise OtherCacheError(f"{maps} was begun with --mapped {before}, not {mapped}: give that, or delete the folder")
    write_all({begun: str(mapped).encode()})
    rival, kindred = rival_names(work.vocabulary, work.wordnet), kindred_names(work.vocabulary, work.wordnet)
    np.savez(work.cache / "related.npz", rival=rival, kindred=kindred)
    return maps


def _names_to_map(work: Workspace, part: int, parts: int, round_: int, mapped: int) -> dict[int, list[int]]:
    """The photos of this share of the work, each with its names to be mapped.

    All rounds map the same photos: none goes on with what the teacher of a round before drew.
    """
    rows, weights = work.trainable
    stuff = np.zeros(len(work.vocabulary.names), bool)
    stuff[[name for names in stuff_kinds(work.vocabulary) for name in names]] = True
    surrounded = (work.labels[rows][:, stuff] > 0).any(1)
    weights = weights * np.where(work.source[rows] == SHARP, SHARPER, 1) * np.where(surrounded, SURROUNDED, 1)
    photos = np.random.default_rng(0).choice(rows, min(mapped, len(rows)), replace=False, p=weights / weights.sum())
    related = np.load(work.cache / "related.npz")
    writer, random = work.writer(seed=round_), np.random.default_rng(round_)
    chosen: dict[int, list[int]] = {}
    for photo in map(int, photos):
        told = work.told.get(photo, [])
        if round_ not in LOOKS:
            chosen[photo] = choose_names(writer, photo, told, related["kindred"], random)
        elif told:  # the method gives each pixel to one name: to what surrounds these things, too
            chosen[photo] = choose_names(writer, photo, told, ~related["rival"], random, guesses=stuff)
        else:
            chosen[photo] = choose_names(writer, photo, told, ~related["rival"], random)
    return {photo: chosen[photo] for photo in list(chosen)[part::parts]}


def _views_part(work: Workspace, part: int, parts: int, round_: int, mapped: int) -> None:
    folder = work.cache / f"pseudo-{round_}"
    draw_pseudo_maps(
        load_mini((folder / TEACHER).read_text(), LoadOptions(dtype=work.dtype)),
        work.vocabulary.names,
        _names_to_map(work, part, parts, round_, mapped),
        work.source == SHARP,
        work.reader,
        folder,
        looks=LOOKS[round_],
        cells=work.cells,
    )


def _pseudo_part(work: Workspace, part: int, parts: int, round_: int, mapped: int) -> None:
    teacher: Teacher = CamTeacher(
        load_trunk(torch.device("cpu")), np.load(work.cache / "cam.npy"), work.vocabulary.leaves
    )
    if round_ > 1:
        model = work.restore(work.cache / STAGES[round_ - 1] / "last.pt").eval()
        teacher = StudentTeacher(model, work.writer(seed=round_).pieces, teacher)
    make_pseudo_maps(
        teacher,
        work.batches(FitConfig()),
        work.reader,
        np.load(work.cache / "related.npz")["rival"],
        _names_to_map(work, part, parts, round_, mapped),
        work.cache / f"pseudo-{round_}",
        cells=work.cells,
    )


def newest(work: Workspace, before: int = len(STAGES)) -> str:
    """The last stage, of those before a round, that has a checkpoint.

    Raises:
        FileNotFoundError: none has.
    """
    done = [stage for stage in STAGES[:before] if (work.cache / stage / "last.pt").exists()]
    if not done:
        raise FileNotFoundError(f"no checkpoint of any stage in {work.cache}; run the stages that make them first")
    return done[-1]


def write(work: Workspace, out: Path, stage: str, recommended: Recommended, share: float) -> Path:
    """Export what came of a stage; see `finished`.

    Returns:
        The folder.
    """
    export(finished(work, stage, share), out, recommended)
    return out


def finished(work: Workspace, stage: str, share: float) -> Mini:
    """The model of a stage, its weights averaged with a share of its teacher's, if it had one."""
    model = work.restore(work.cache / stage / "last.pt")
    told = work.cache / f"pseudo-{STAGES.index(stage)}" / TEACHER
    if told.exists():
        model = mean_weights(model, read_checkpoint(Path(told.read_text())).model, share)
    return model


def mean_weights(model: Mini, other: Mini, share: float) -> Mini:
    """`model`, changed in place to the mean of both weights, of which the other's count so much."""
    with torch.no_grad():
        for mine, its in zip(model.state_dict().values(), other.state_dict().values(), strict=True):
            mine.lerp_(its, share)
    return model
