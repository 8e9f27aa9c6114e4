"""`pnpovss tune`: choose layer, head, threshold and more without pixel labels."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from pnpovss.batch.model import ModelChoice
from pnpovss.cli import options
from pnpovss.cli.listed import listed, numbers
from pnpovss.cli.settings import parse_settings
from pnpovss.cli.terminal import consoles, logged_to, readable_errors, say
from pnpovss.errors import ConfigError

if TYPE_CHECKING:
    from pnpovss.presets import Tuned

__all__ = ["tune"]


def tune(
    photos: Annotated[Path, typer.Argument(metavar="PHOTOS", help="A folder of photos; with --dataset, its root.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the tuning; resumes an unfinished one.")],
    labels: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="What is in each photo: CSV (photo, and names with ; between them, or caption) or JSON. Without this, "
            "--dataset and --names-file, the photos' folders are called what they show.",
        ),
    ] = None,
    names_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Names to look for, one per line, synonyms after commas: in captions, or, without --labels, by the "
            "model itself (--presence).",
        ),
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(metavar="KEY", help="A data set with masks; only its image-level names are used.")
    ] = None,
    presence: Annotated[
        str, typer.Option(metavar="FILTER", help="Who decides which names of --names-file are in a photo.")
    ] = "itm",
    judge: Annotated[
        str,
        typer.Option(
            help="Who looks at the masked photos: itc (the model itself), clip:MODEL, siglip:MODEL, tipsv2:MODEL or "
            "none."
        ),
    ] = "itc",
    reward: Annotated[
        str | None,
        typer.Option(
            help="keep-delete (the default), vocabulary, margin or paper; with --judge none, a measure, such as "
            "spatial-entropy (the default then)."
        ),
    ] = None,
    search: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WHAT,...",
            help="Any of heads, threshold (the default: these two), blur, dropout, size (with Optuna), or paper alone.",
        ),
    ] = None,
    thresholds: Annotated[
        list[str] | None, typer.Option(metavar="T,T,...", help="Thresholds to try, instead of the authors'.")
    ] = None,
    means: Annotated[
        list[str] | None, typer.Option(metavar="K,K...", help="Try the mean of so many of the best heads, too, as 2,3.")
    ] = None,
    exhaustive: Annotated[
        bool, typer.Option("--exhaustive", help="Try everything on all photos, instead of the best third on more.")
    ] = False,
    trials: Annotated[int, typer.Option(min=2, help="Of the search over blur, dropout and size.")] = 40,
    storage: Annotated[
        str, typer.Option(help="Of that search: sqlite, journal (many processes), or a database's URL (many hosts).")
    ] = "sqlite",
    truth: Annotated[
        bool, typer.Option("--truth", help="With --dataset: analyse the rewards by its masks, too; chooses nothing.")
    ] = False,
    keep_out: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR", help="Photos that you will report on: a likeness of one is refused."),
    ] = None,
    evaluation_photos: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY", help="Tune on photos that this benchmark evaluates; the result then says so."),
    ] = None,
    protocol: options.ProtocolName = "field",
    exif: options.Exif = None,
    limit: options.Limit = None,
    seed: Annotated[int, typer.Option(help="Of the order of the photos, and of all draws.")] = 0,
    model: options.Model = "mini",
    preset: options.Preset = "default",
    without: options.Without = None,
    set_: options.Set = None,
    device: options.Device = "auto",
    dtype: options.Dtype = "float32",
    debug: options.Debug = False,
) -> None:
    """Choose layer, head and threshold for a model, without pixel labels.

    Writes tuned.json, which --preset takes, and a page that shows what each head sees. The model looks at each photo
    once, and again for each trial of blur, dropout and size.
    """
    results, notes = consoles(machine_readable=False)
    with readable_errors(notes, debug=debug), logged_to(notes):
        levels, counts = _thresholds(thresholds), _counts(means)
        words = listed(search) or None
        chosen, steps = parse_settings(set_ or []), tuple(listed(without))
        choice = ModelChoice(model, device, dtype, preset, chosen, steps)
        from pnpovss.backbones.base import LoadOptions
        from pnpovss.datasets import open_dataset
        from pnpovss.names import read_names_file
        from pnpovss.presence import make_presence
        from pnpovss.tuning.cells import THRESHOLDS
        from pnpovss.tuning.gather import gather
        from pnpovss.tuning.tune import TUNED
        from pnpovss.tuning.tune import tune as choose

        if truth and dataset is None:
            raise ConfigError("--truth analyses by the masks of a data set; name it with --dataset")
        if dataset is None and (exif is not None or protocol != "field"):
            raise ConfigError("--exif and --protocol say how masks of a data set are read; name it with --dataset")
        vocabulary = () if names_file is None else read_names_file(names_file).names
        counting: Any = protocol  # both are checked where they are opened
        lie: Any = exif
        data = None if dataset is None else open_dataset(dataset, photos, protocol=counting, exif=lie)
        with notes.status(f"Loading {model}"):
            segmenter = choice.load()
            names = None
            if vocabulary and labels is None and data is None:
                load = LoadOptions.parse(device)  # where a filter of its own model computes
                names = make_presence(presence, backbone=segmenter.backbone, config=segmenter.config, load=load)
        with _bar(notes) as shown:
            found = gather(
                photos,
                dataset=data,
                labels=labels,
                vocabulary=vocabulary,
                presence=names,
                evaluation_photos=evaluation_photos or (),
                keep_out=keep_out or (),
                limit=limit,
                seed=seed,
                on_photo=shown,
            )
            tuned = choose(
                segmenter,
                found,
                out,
                judge=judge,
                reward=reward,
                search=words,
                thresholds=levels or THRESHOLDS,
                means=counts,
                exhaustive=exhaustive,
                trials=trials,
                storage=storage,
                truth=data if truth else None,
                seed=seed,
                on_photo=shown,
            )
        say(results, _told(tuned))
        use = f'pnpovss segment PHOTO --names "..." --model {model} --preset {out / TUNED}'
        say(results, f"{out / TUNED}; use it: {use}")


def _told(tuned: "Tuned") -> str:
    """The choice and how sure it is, in a few lines."""
    chosen = ", ".join(f"{name} {value}" for name, value in tuned.settings.items())
    lines = [chosen, tuned.source]
    if tuned.lead is not None:
        lead = tuned.lead
        lines.append(f"ahead of the next best by {lead.value:.3g} ({lead.low:.3g} to {lead.high:.3g}, 95%)")
    return "\n".join(lines)


@contextmanager
def _bar(notes: Console) -> Iterator[Any]:
    """What is done, how far it is, and the time left; on a terminal only, else a line for each tenth."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=notes, transient=True, disable=not notes.is_terminal) as bar:
        tasks: dict[str, Any] = {}

        def show(what: str, done: int, of: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=of)
            bar.update(tasks[what], completed=done)
            if not notes.is_terminal and (done == of or done % -(-of // 10) == 0):
                say(notes, f"{what} {done} of {of}")

        yield show


def _thresholds(given: list[str] | None) -> list[float]:
    levels = numbers(given, "--thresholds", float)
    if wrong := [level for level in levels if not 0 <= level < 1]:
        raise ConfigError(f"a threshold is a part of a map's range, from 0 to below 1, got {wrong[0]:g}")
    return levels


def _counts(given: list[str] | None) -> tuple[int, ...]:
    counts = numbers(given, "--means", int)
    if wrong := [count for count in counts if count < 2]:
        raise ConfigError(f"a mean is that of two heads or more, got {wrong[0]}")
    return tuple(counts)
