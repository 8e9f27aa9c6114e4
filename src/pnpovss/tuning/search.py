"""Search what needs the whole method anew for every trial: blur, passes, what is dropped, input size, with Optuna.

A trial segments the photos with its settings, without the Dense CRF, and is judged by the regions that it gives. It is
given up as soon as a paired test over the photos so far says that it is worse than the best one.
"""

import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor

from pnpovss.config import Settings
from pnpovss.images import load_image
from pnpovss.inputs import prepare
from pnpovss.refine.pipeline import refine
from pnpovss.segmenter import Segmenter
from pnpovss.tuning.certainty import Certainty, certainty
from pnpovss.tuning.judges import Judge
from pnpovss.tuning.photos import OnPhoto, TuningPhoto, TuningPhotos
from pnpovss.tuning.similarities import Similarities, judged
from pnpovss.tuning.space import Parameter, changes
from pnpovss.tuning.study import SLOT, SlotStudy, joined, require_optuna, slots

__all__ = ["Found", "region_masks", "search_method"]

_WAIT = 0.5  # seconds between looks at what other processes are at


@dataclass(frozen=True, eq=False)
class Found:
    """What a search found.

    Attributes:
        settings: that the best trial changes, by dotted name.
        sure: how sure that is, over the trials that saw all photos; those of the same settings are one choice.
        undecided: what those trials chose, by parameter, whose difference from the best may be chance, best first.
        start: difference of the mean reward from the settings that it started from, with its 95% interval.
        rows: a row for each slot: its number, state, value and choices.
        importance: of each parameter for the reward, by PED-ANOVA; empty with too few trials.
    """

    settings: dict[str, Any]
    sure: Certainty
    undecided: tuple[dict[str, Any], ...]
    start: tuple[float, float, float]
    rows: list[dict[str, Any]]
    importance: dict[str, float]

    @property
    def on_all(self) -> int:
        """How many trials saw all photos."""
        return sum(row["state"] == "complete" for row in self.rows)

    @property
    def compared(self) -> str:
        """Among what the chosen settings win, in words."""
        return f"{self.on_all} trials of the whole method"

    @property
    def importance_rows(self) -> list[list[str]]:
        """As a table, the most important first."""
        return [[name, f"{value:.2f}"] for name, value in sorted(self.importance.items(), key=lambda each: -each[1])]

    @property
    def in_words(self) -> str:
        """How many trials, and what they brought."""
        pruned = sum(row["state"] == "pruned" for row in self.rows)
        value, low, high = self.start
        return (
            f"{len(self.rows)} trials of the whole method, {pruned} of them given up early: "
            f"{value:+.3g} ({low:+.3g} to {high:+.3g}) against the settings before"
        )


def search_method(
    segmenter: Segmenter,
    photos: TuningPhotos,
    judge: Judge,
    reward: Callable[[Similarities], Float[np.ndarray, " cell"]],
    parameters: Sequence[Parameter],
    folder: Path,
    *,
    name: str = "pnpovss",
    storage: str = "sqlite",
    trials: int = 40,
    seed: int = 0,
    on_photo: OnPhoto | None = None,
) -> Found:
    """Run the slots of a study that nobody else runs, until all are finished; see `joined` for name and storage.

    Args:
        segmenter: the model, and the settings to start from.
        photos: in order.
        judge: who looks at the regions.
        reward: of what it says.
        parameters: what is searched.
        folder: of the tuning.
        name: of the study.
        storage: of the study.
        trials: how many slots.
        seed: of the sampler and the bootstrap.
        on_photo: told how many trials are finished.

    Raises:
        MissingExtraError: Optuna is not installed.
    """
    optuna = require_optuna()
    base = segmenter.replace(config=segmenter.config.without("presence", "crf"))
    start = {parameter.name: parameter.values[parameter.own] for parameter in parameters}
    planned = slots(parameters, start, trials)
    with joined(folder, storage, planned, name, seed) as shared:
        while True:
            while (trial := shared.next_trial()) is not None:
                _run(optuna, shared.study, trial, parameters, start, base, photos, judge, reward)
                if on_photo:
                    on_photo("trials", len(shared.finished), len(planned))
            if shared.is_finished:
                return _found(optuna, shared, start, seed)
            time.sleep(_WAIT)


def _run(
    optuna: Any,
    study: Any,
    trial: Any,
    parameters: Sequence[Parameter],
    start: Mapping[str, Any],
    base: Segmenter,
    photos: TuningPhotos,
    judge: Judge,
    reward: Callable[[Similarities], Float[np.ndarray, " cell"]],
) -> None:
    """One trial, photo by photo; given up where others held this process for dead and took its slot over."""
    chosen = {each.name: trial.suggest_categorical(each.name, list(each.values)) for each in parameters}
    segmenter = base.replace(config=base.config.replace(changes(chosen, start)))
    values = []
    try:
        for step, value in enumerate(_values(segmenter, photos, judge, reward)):
            values.append(value)
            trial.report(value, step)
            if trial.user_attrs[SLOT] and trial.should_prune():  # slot 0 is what the others are compared with
                study.tell(trial, state=optuna.trial.TrialState.PRUNED, skip_if_finished=True)
                return
    except optuna.exceptions.UpdateFinishedTrialError:
        return
    study.tell(trial, float(np.mean(values)), skip_if_finished=True)


def _values(
    segmenter: Segmenter,
    photos: TuningPhotos,
    judge: Judge,
    reward: Callable[[Similarities], Float[np.ndarray, " cell"]],
) -> Iterator[float]:
    """The reward of each photo, segmented with these settings."""
    for photo in photos.photos:
        masks = region_masks(segmenter, photo, segmenter.config)
        pixels = judge.pixels(load_image(photo.image))
        own = [_resized(mask, (pixels.shape[1], pixels.shape[2])) for mask in masks]
        seen = judged(judge, pixels, photos.asked(photo), [own], photos.vocabulary)
        yield float(reward(seen)[0])


def region_masks(segmenter: Segmenter, photo: TuningPhoto, settings: Settings) -> list[Bool[np.ndarray, "h w"]]:
    """The region of each of a photo's names, at the photo's size."""
    present = range(len(photo.names))
    inputs = prepare(photo.image, photo.names, segmenter.backbone.card, settings, present)
    [explained] = segmenter.explain([inputs])
    labels: Integer[np.ndarray, "h w"] = refine(explained.names, np.asarray(inputs.image), settings).labels
    return [labels == i + 1 for i in present]


def _resized(mask: Bool[np.ndarray, "h w"], size: tuple[int, int]) -> Bool[Tensor, "oh ow"]:
    small = cv2.resize(mask.astype(np.uint8), (size[1], size[0]), interpolation=cv2.INTER_NEAREST)
    return torch.from_numpy(small.astype(bool))


def _found(optuna: Any, shared: SlotStudy, start: Mapping[str, Any], seed: int) -> Found:
    """The best of the trials that saw all photos, and how sure that is."""
    by_slot = shared.finished
    whole = {slot: each for slot, each in by_slot.items() if each.state == optuna.trial.TrialState.COMPLETE}
    table = np.array(
        [[each.intermediate_values[i] for i in sorted(each.intermediate_values)] for each in whole.values()]
    )
    trials = list(whole.values())
    sure = certainty(table.T, [repr(sorted(changes(each.params, start).items())) for each in trials], seed=seed)
    best = trials[sure.winner]
    first = certainty(table.T[:, [sure.winner, 0]], [0, 1], 0, seed=seed).lead  # slot 0 is never given up
    rows = [
        {
            "slot": slot,
            "state": each.state.name.lower(),
            "photos": len(each.intermediate_values),
            "reward": each.value if slot in whole else float(np.mean(list(each.intermediate_values.values()))),
            **each.params,
        }
        for slot, each in by_slot.items()
    ]
    importance = _importance(optuna, shared.study, best.params)
    undecided = tuple(trials[i].params for i in sure.undecided)
    return Found(changes(best.params, start), sure, undecided, first or (0.0, 0.0, 0.0), rows, importance)


def _importance(optuna: Any, study: Any, params: Any) -> dict[str, float]:
    """Of each parameter; nothing where the trials are too few to tell."""
    if len(params) < 2 or len(study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))) < 4:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
    found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {name: float(value) for name, value in found.items()}
