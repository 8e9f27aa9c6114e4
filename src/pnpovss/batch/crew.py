"""Who runs a job: this process alone, or several beside it."""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from pnpovss.batch.events import Outcome, Task
from pnpovss.batch.job import Job
from pnpovss.batch.pipeline import overlapped
from pnpovss.batch.recipe import Recipe
from pnpovss.batch.workers import Workers, can_share, threads_for

if TYPE_CHECKING:
    from pnpovss.presence.base import PresenceFilter

__all__ = ["Alone", "Crew", "crew_for"]


@runtime_checkable
class Crew(Protocol):
    """Runs a job over photos; a context manager."""

    @property
    def report(self) -> dict[str, Any]:
        """What the filter of names did; complete after `run_all`."""
        ...

    def run_all(self, tasks: Iterable[Task]) -> Iterator[Outcome]:
        """Every photo; what is wrong with one does not end the others.

        Raises:
            NamesError: the model cannot read the job's names.
        """
        ...

    def __enter__(self) -> "Crew": ...
    def __exit__(self, *exception: object) -> None: ...


class Alone:
    """This process, one photo after the other."""

    def __init__(self, job: Job) -> None:
        self.job = job

    @property
    def report(self) -> dict[str, Any]:
        """What the filter of names did so far."""
        return self.job.presence.report() if self.job.presence else {}

    def run_all(self, tasks: Iterable[Task]) -> Iterator[Outcome]:
        """Every photo in turn; see `Crew`."""
        return overlapped(self.job, tasks)

    def __enter__(self) -> "Alone":
        return self

    def __exit__(self, *exception: object) -> None:
        pass


def crew_for(
    recipe: Recipe, made: "PresenceFilter | None" = None, *, photos: int, workers: int = 1, devices: Sequence[str] = ()
) -> Crew:
    """Load what is needed, and start the processes if there are to be several.

    Args:
        recipe: of the job.
        made: its filter of names, where it is made already.
        photos: how many there are; more processes would have nothing to do.
        workers: processes; at least as many as devices.
        devices: that workers take in turn, instead of the recipe's.

    Raises:
        ConfigError: an unknown device.
        ModelError: a model that cannot be had.
    """
    from pnpovss.backbones.base import LoadOptions

    kinds = [str(LoadOptions.parse(device).device) for device in devices or (recipe.choice.device,)]
    workers = max(1, min(max(workers, len(kinds)), photos))
    if workers == 1:
        return Alone(recipe.on(kinds[0]).open(made))
    threads = threads_for(workers)
    if all(map(can_share, kinds)):
        import torch

        torch.set_num_threads(1)  # threads that wait for work do not survive the fork, and those that need them hang
        job = recipe.on(kinds[0]).open(made)
        return Workers([lambda: job] * workers, threads, share=True)
    makers = [partial(recipe.on(kinds[i % len(kinds)]).open) for i in range(workers)]
    return Workers(makers, threads, share=False)
