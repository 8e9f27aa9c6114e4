"""Compare heads and thresholds, by the judge or by a measure, and say how sure the choice is."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from pnpovss.config import Heads
from pnpovss.segmenter import Segmenter
from pnpovss.tuning.annealing import anneal
from pnpovss.tuning.cells import Cell, cells_of
from pnpovss.tuning.certainty import certainty
from pnpovss.tuning.collect import Collected
from pnpovss.tuning.halving import rounds
from pnpovss.tuning.judges import Judge
from pnpovss.tuning.measures import MEASURES
from pnpovss.tuning.outcome import Outcome
from pnpovss.tuning.photos import OnPhoto, TuningPhotos
from pnpovss.tuning.plan import TuningPlan
from pnpovss.tuning.rewards import reward_named
from pnpovss.tuning.scores import Scores, score

__all__ = ["choose"]


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
    path = _annealed(all_cells, table, plan.seed) if "paper" in plan.search else ()
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


def _annealed(cells: Sequence[Cell], rewards: Float[np.ndarray, "photo cell"], seed: int) -> tuple[int, ...]:
    """The columns that the authors' optimiser tries, in order: single heads, whatever the tuning started from."""
    columns = [i for i, cell in enumerate(cells) if len(cell.heads) == 1]
    path = anneal([cells[i] for i in columns], rewards[:, columns].mean(0), seed=seed)
    return tuple(columns[i] for i in path)


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
