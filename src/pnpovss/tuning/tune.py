"""Choose layer, head, threshold and more without pixel labels (paper section 3.4)."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from pnpovss.config import Heads
from pnpovss.evaluation.runs.sweeps import table_csv
from pnpovss.files.writing import write_all
from pnpovss.images import ImageSource
from pnpovss.names import NameLike
from pnpovss.presets import Tuned
from pnpovss.segmenter import Segmenter
from pnpovss.tuning.annealing import anneal
from pnpovss.tuning.cells import THRESHOLDS, Cell, cells_of
from pnpovss.tuning.certainty import certainty
from pnpovss.tuning.collect import Collected, collect
from pnpovss.tuning.halving import rounds
from pnpovss.tuning.judges import BARE, Judge, make_judge
from pnpovss.tuning.measures import MEASURES
from pnpovss.tuning.outcome import Outcome, tuned_of
from pnpovss.tuning.photos import OnPhoto, TuningPhotos
from pnpovss.tuning.plan import TuningPlan, check_search, open_folder
from pnpovss.tuning.rewards import reward_named
from pnpovss.tuning.scores import Scores, score
from pnpovss.tuning.tables import cell_rows, head_rows

__all__ = ["MEANS", "TUNED", "choose", "tune"]

TUNED = "tuned.json"
MEANS = (2, 3)  # of so many of the best heads the mean is tried, too


def tune(
    segmenter: Segmenter,
    photos: TuningPhotos | Iterable[tuple[ImageSource, Sequence[NameLike]]],
    out: str | Path,
    *,
    judge: str | Judge = "itc",
    reward: str | None = None,
    search: Sequence[str] | None = None,
    thresholds: Sequence[float] = THRESHOLDS,
    means: Sequence[int] = MEANS,
    exhaustive: bool = False,
    trials: int = 40,
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
        judge: "itc" (the model's own contrastive heads), "clip:MODEL", "siglip:MODEL", a `Judge`, or "none".
        reward: "keep-delete" (the default), "vocabulary", "margin" or "paper"; without a judge a measure, such as
            "spatial-entropy" (the default then).
        search: any of "heads", "threshold"; or "paper" alone. Heads and, with a judge, thresholds if not given.
        thresholds: that are tried.
        means: of how many of the best heads the mean is tried; empty for single heads only.
        exhaustive: try all cells on all photos, instead of the best third on thrice as many photos, and so on.
        trials: of the search over what needs the whole method.
        seed: of the order of photos, the draws and the sampler.
        on_photo: told what is done, how many photos are, and of how many.

    Returns:
        What OUT/tuned.json holds.

    Raises:
        ConfigError: choices that do not fit, or a folder of another tuning.
        InvalidInputError: photos without names, or of one name only.
        OutputError: the folder cannot be written, or another process works on it.
    """
    given = photos if isinstance(photos, TuningPhotos) else TuningPhotos.of(photos)
    photos, folder = given.drawn(None, seed), Path(out)
    has_judge = judge != "none"
    reward = reward or ("keep-delete" if has_judge else "spatial-entropy")
    chosen = tuple(search or (("heads", "threshold") if has_judge else ("heads",)))
    check_search(chosen, reward, has_judge=has_judge)
    template = BARE if reward == "paper" else None
    looks = make_judge(judge, segmenter.backbone, segmenter.config, template) if isinstance(judge, str) else judge
    card = segmenter.backbone.card
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
    tuned = tuned_of(
        outcome,
        segmenter,
        config,
        _in_words(plan, outcome),
        judged_itself=looks is not None and looks.is_the_model_itself,
    )
    write_all(
        {
            folder / "cells.csv": table_csv(cell_rows(outcome)).encode(),
            folder / "heads.csv": table_csv(head_rows(outcome)).encode(),
            folder / TUNED: tuned.as_json,
        }
    )
    return tuned


def choose(
    plan: TuningPlan,
    segmenter: Segmenter,
    photos: TuningPhotos,
    collected: Collected,
    judge: Judge | None,
    on_photo: OnPhoto | None = None,
) -> Outcome:
    """Compare heads and thresholds, by the judge or by a measure; see `tune` for the arguments."""
    own = segmenter.config.all_heads
    if judge is None:
        return _by_measure(plan, photos, collected, own, segmenter.config.threshold or 0.0)
    heads: list[Heads] = [(head,) for head in collected.heads] if {"heads", "paper"} & set(plan.search) else [own]
    if own not in heads:
        heads.append(own)
    cells = cells_of(heads, plan.thresholds)
    near = min(plan.thresholds, key=lambda level: abs(level - (segmenter.config.threshold or 0)))
    reference = cells.index(Cell(own, near))
    reward = reward_named(plan.reward)
    count = len(photos.photos)
    steps = rounds(count, len(cells), first=count) if plan.exhaustive else rounds(count, len(cells))
    first = score(
        "scored",
        collected,
        photos,
        cells,
        judge,
        reward,
        steps,
        masking=plan.masking,
        always=(reference,),
        on_photo=on_photo,
    )
    stages, several = {"scored": first}, _means(plan, first)
    if several:
        steps = rounds(count, len(several), first=count)
        stages["means"] = score(
            "means", collected, photos, several, judge, reward, steps, masking=plan.masking, on_photo=on_photo
        )
    tried = [(stage, column) for stage in stages.values() for column in stage.tried_on_all]
    table = np.stack([stage.rewards[plan.reward][:, column] for stage, column in tried], 1)
    all_cells = tuple(stage.cells[column] for stage, column in tried)
    path = tuple(anneal(all_cells, table.mean(0), seed=plan.seed)) if "paper" in plan.search else ()
    winner = max(path, key=lambda column: table[:, column].mean()) if path else None
    return Outcome(
        plan=plan,
        photos=photos,
        collected=collected,
        stages=stages,
        cells=all_cells,
        rewards=table,
        sure=certainty(table, [cell.heads for cell in all_cells], winner, seed=plan.seed),
        reference=all_cells.index(cells[reference]),
        path=path,
    )


def _by_measure(plan: TuningPlan, photos: TuningPhotos, collected: Collected, own: Heads, threshold: float) -> Outcome:
    """Heads by a measure that needs no judge; the threshold stays as it was."""
    assert plan.reward in MEASURES
    cells = cells_of([(head,) for head in collected.heads], [threshold])
    table = collected.measures()[plan.reward]
    sure = certainty(table, [cell.heads for cell in cells], seed=plan.seed)
    known = [cell.heads for cell in cells]
    return Outcome(plan, photos, collected, {}, cells, table, sure, known.index(own) if own in known else None)


def _means(plan: TuningPlan, scores: Scores) -> tuple[Cell, ...]:
    """The mean of the best two heads, and of so many more, at every threshold."""
    columns = scores.tried_on_all
    means = scores.rewards[plan.reward][:, columns].mean(0)
    best: list[tuple[int, int]] = []
    for i in np.argsort(-means, kind="stable"):
        heads = scores.cells[columns[i]].heads
        if len(heads) == 1 and heads[0] not in best:
            best.append(heads[0])
    groups = [tuple(best[:count]) for count in plan.means if 2 <= count <= len(best)]
    return cells_of(dict.fromkeys(groups), plan.thresholds)


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
