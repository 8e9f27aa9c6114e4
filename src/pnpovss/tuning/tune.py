"""Choose layer, head, threshold and more without pixel labels (paper section 3.4)."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from pnpovss.backbones.base import LoadOptions
from pnpovss.datasets.base import Dataset
from pnpovss.errors import InvalidInputError
from pnpovss.evaluation.runs.sweeps import table_csv
from pnpovss.files.writing import write_all
from pnpovss.images import ImageSource
from pnpovss.names import NameLike
from pnpovss.presets import Tuned
from pnpovss.segmenter import Segmenter
from pnpovss.tuning.cells import THRESHOLDS, Cell
from pnpovss.tuning.choose import choose
from pnpovss.tuning.collect import collect, one_look
from pnpovss.tuning.judges import BARE, Judge, make_judge
from pnpovss.tuning.outcome import Outcome, tuned_of
from pnpovss.tuning.photos import OnPhoto, TuningPhotos
from pnpovss.tuning.plan import PIPELINE, TuningPlan, check_search, open_folder
from pnpovss.tuning.report.page import report_files
from pnpovss.tuning.report.plots import require_matplotlib
from pnpovss.tuning.rewards import OF_OWN_NAMES, REWARDS, reward_named
from pnpovss.tuning.search import Found, search_method
from pnpovss.tuning.space import parameters_of
from pnpovss.tuning.storage import check_storage
from pnpovss.tuning.study import require_optuna
from pnpovss.tuning.tables import cell_rows, head_rows
from pnpovss.tuning.truth import AgainstMasks, Agreement, agreement, cell_counts, refuse_other_photos

__all__ = ["CANDIDATES", "TUNED", "tune"]

TUNED = "tuned.json"
_logger = logging.getLogger(__name__)
_TO_COMPARE = "Search heads, and try all on all photos (--search heads,threshold --exhaustive), to have them compared"
CANDIDATES = 3  # heads that the search over the whole method chooses between


def tune(
    segmenter: Segmenter,
    photos: TuningPhotos | Iterable[tuple[ImageSource, Sequence[NameLike]]],
    out: str | Path,
    *,
    judge: str | Judge = "itc",
    reward: str | None = None,
    search: Sequence[str] | None = None,
    thresholds: Sequence[float] = THRESHOLDS,
    means: Sequence[int] = (),
    exhaustive: bool = False,
    trials: int = 40,
    storage: str = "sqlite",
    truth: Dataset | None = None,
    report: bool = True,
    seed: int = 0,
    on_photo: OnPhoto | None = None,
) -> Tuned:
    """Choose settings by what a judge says of photos seen through the masks that they give; resumable.

    The model looks at every photo once; all heads are read from that. What was chosen stands in OUT/tuned.json, which
    `Segmenter.from_pretrained(..., preset=...)` takes.

    Args:
        segmenter: the model, and the settings to start from.
        photos: with the names of what is in them, as (image, names) pairs or `TuningPhotos`.
        out: folder of the tuning; a killed one goes on there.
        judge: "itc" (the model's own contrastive heads), "clip:MODEL", "siglip:MODEL", "tipsv2:MODEL" (loaded to
            the device of the model), a `Judge`, or "none".
        reward: "keep-delete" (the default), "vocabulary", "margin" or "paper"; without a judge a measure, such as
            "spatial-entropy" (the default then).
        search: any of "heads", "threshold", "blur", "dropout", "size"; or "paper" alone. Heads and, with a judge,
            thresholds if not given. The last three need the whole method for every trial, and Optuna.
        thresholds: that are tried.
        means: of how many of the best heads the mean is tried, too, such as (2, 3); judges like it better than it is,
            since what several heads see is larger.
        exhaustive: try all cells on all photos, instead of the best third on thrice as many photos, and so on.
        trials: of the search over what needs the whole method.
        storage: of that search: "sqlite" or "journal" (for many processes), in the folder, or the URL of a database
            that several hosts share. Processes that are given the same command work on it together.
        truth: the data set with masks that the photos are of: analysis of the rewards in the report, nothing else.
        report: write report.html with its pictures, which needs matplotlib.
        seed: of the order of photos, the draws and the sampler.
        on_photo: told what is done, how many photos are, and of how many.

    Returns:
        What OUT/tuned.json holds.

    Raises:
        ConfigError: choices that do not fit, photos that `truth` does not have, or a folder of another tuning.
        InvalidInputError: photos without names, one name in all of them, or, for the rewards "margin" and "paper", no
            photo with two.
        OutputError: the folder cannot be written, or another process works on it.
        MissingExtraError: Optuna or matplotlib is needed, and not installed.
    """
    given = photos if isinstance(photos, TuningPhotos) else TuningPhotos.of(photos)
    photos, folder = given.drawn(None, seed), Path(out)
    if truth is not None:
        refuse_other_photos(photos, truth)
    has_judge = judge != "none"
    reward = reward or ("keep-delete" if has_judge else "spatial-entropy")
    chosen = tuple(search or (("heads", "threshold") if has_judge else ("heads",)))
    check_search(chosen, reward, has_judge=has_judge)
    _refuse_single_names(photos, reward)
    if set(PIPELINE) & set(chosen):
        require_optuna()
        check_storage(storage)
    if report:
        require_matplotlib()
    template = BARE if reward == "paper" else None
    card = segmenter.backbone.card
    load = LoadOptions(device=card.device)  # a judge looks far more often than the model that is tuned
    looks = make_judge(judge, segmenter.backbone, segmenter.config, template, load) if isinstance(judge, str) else judge
    plan = TuningPlan(
        model=card.name,
        revision=card.revision,
        dtype=str(card.dtype).removeprefix("torch."),
        config=segmenter.config,
        photos=len(photos.photos),
        photos_digest=photos.digest,
        judge="none" if looks is None else looks.key,
        reward=reward,
        masking="authors" if reward == "paper" else "level",
        search=chosen,  # type: ignore[arg-type]  # checked above
        thresholds=_thresholds(segmenter, chosen, thresholds),
        means=() if "paper" in chosen or "heads" not in chosen else tuple(means),
        exhaustive=exhaustive or "paper" in chosen,
        trials=trials,
        seed=seed,
    )
    open_folder(folder, plan)
    collected = collect(segmenter, photos, folder, on_photo)
    outcome = choose(plan, segmenter, photos, collected, looks, on_photo)
    config = segmenter.config.replace(outcome.winner.settings).resolve(card)
    found = None
    if looks is not None and set(PIPELINE) & set(chosen):
        found = _search(plan, segmenter.replace(config=config), outcome, looks, storage, on_photo)
        config = config.replace(found.settings).resolve(card)
    words = _in_words(plan, outcome) + ("" if found is None else f"; {found.in_words}")
    itself = looks is not None and looks.is_the_model_itself
    tuned = tuned_of(outcome, found, segmenter, config, words, judged_itself=itself)
    against = None if truth is None else _against(truth, outcome, one_look(segmenter), on_photo)
    for left_out in () if against is None else against.left_out:
        _logger.warning("%s", left_out)
    files = {
        folder / "cells.csv": table_csv(cell_rows(outcome)).encode(),
        folder / "heads.csv": table_csv(head_rows(outcome)).encode(),
        **(report_files(outcome, tuned, Cell.of(config), found, against, folder) if report else {}),
        folder / TUNED: tuned.as_json,
    }
    write_all(files)
    return tuned


def _refuse_single_names(photos: TuningPhotos, reward: str) -> None:
    """Before hours are spent on it: where every cell scores 0, the first one would be written as the best."""
    if reward in OF_OWN_NAMES and all(len(photo.names) == 1 for photo in photos.photos):
        raise InvalidInputError(
            f"the reward {reward!r} tells the names of one photo from one another, and none of the "
            f"{len(photos.photos)} photos has two, so that nothing can score; give photos with two names or more, or "
            "take the reward keep-delete or vocabulary"
        )


def _search(
    plan: TuningPlan,
    segmenter: Segmenter,
    outcome: Outcome,
    judge: Judge,
    storage: str,
    on_photo: OnPhoto | None,
) -> Found:
    """The whole method, over what it alone can tell; heads among those that could not be told apart."""
    groups = [outcome.winner.heads, *(outcome.cells[i].heads for i in outcome.sure.undecided)][:CANDIDATES]
    candidates = ["+".join(f"{layer}.{head}" for layer, head in heads) for heads in groups]
    parameters = parameters_of(plan.search, segmenter.config, segmenter.backbone.card, candidates, plan.thresholds)
    return search_method(
        segmenter,
        outcome.photos,
        judge,
        reward_named(plan.reward),
        parameters,
        outcome.collected.folder,
        name=f"pnpovss {plan.digest}",
        storage=storage,
        trials=plan.trials,
        seed=plan.seed,
        on_photo=on_photo,
    )


def _against(truth: Dataset, outcome: Outcome, looker: Segmenter, on_photo: OnPhoto | None) -> AgainstMasks:
    """Every reward against the masks over the cells that were tried on all photos, and every measure over the heads.

    Where there are not two of them to order, that is said instead: a rank among one means nothing.
    """
    counts = cell_counts(looker, outcome.collected, outcome.photos, outcome.cells, truth, on_photo)
    miou = [float(each.miou(np.ones((1, len(each))))[0]) for each in counts]
    tried = [(stage, column) for stage in outcome.stages.values() for column in stage.tried_on_all]
    rows: list[Agreement] = []
    left_out: list[str] = []
    if len(tried) > 1:
        rewards = {name: np.stack([stage.rewards[name][:, column] for stage, column in tried], 1) for name in REWARDS}
        _compare("reward", rewards, miou, outcome.cells, rows, left_out)
    elif tried:
        left_out.append(f"Rewards are not compared: {outcome.winner} is all that was tried. {_TO_COMPARE}")
    level = outcome.winner.threshold
    alone = [i for i, cell in enumerate(outcome.cells) if len(cell.heads) == 1 and cell.threshold == level]
    if len(alone) > 1:
        columns = [outcome.collected.heads.index(outcome.cells[i].heads[0]) for i in alone]
        measures = {name: values[:, columns] for name, values in outcome.collected.measures().items()}
        _compare("measure", measures, [miou[i] for i in alone], [outcome.cells[i] for i in alone], rows, left_out)
    else:
        left_out.append(
            f"Measures of heads are not compared: single heads that were tried on all photos at the threshold "
            f"{level:g}: {len(alone)}, expected two or more. {_TO_COMPARE}"
        )
    best = max(miou)
    return AgainstMasks(tuple(replace(row, lost=best - row.miou) for row in rows), tuple(left_out))


def _compare(
    kind: str,
    tables: Mapping[str, Float[np.ndarray, "photo cell"]],
    miou: Sequence[float],
    cells: Sequence[Cell],
    rows: list[Agreement],
    left_out: list[str],
) -> None:
    """Add what each table says of the cells; one that says the same of all of them orders and chooses nothing."""
    for name, table in tables.items():
        if np.ptp(table.mean(0)):
            rows.append(agreement(name, table, miou, cells))
        else:
            left_out.append(f"The {kind} {name} is the same for all that was tried, and chooses nothing")


def _thresholds(segmenter: Segmenter, search: Sequence[str], given: Sequence[float]) -> tuple[float, ...]:
    """In ascending order; the segmenter's own where none is searched."""
    if {"threshold", "paper"} & set(search):
        return tuple(sorted({float(level) for level in given}))
    return (segmenter.config.threshold or 0.0,)


def _in_words(plan: TuningPlan, outcome: Outcome) -> str:
    if outcome.path:
        return f"the authors' space by annealing, {len(outcome.path)} trials"
    heads, levels = len(outcome.collected.heads), len(plan.thresholds)
    how = "all on all photos" if plan.exhaustive or not outcome.stages else "by successive halving"
    means = f", means of the best {' and '.join(map(str, plan.means))}" if "means" in outcome.stages else ""
    return f"{heads} heads x {levels} thresholds {how}{means}"
