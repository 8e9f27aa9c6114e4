"""Options that several subcommands share, each written once, and groups of them."""

import inspect
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from pnpovss.config import PRESETS, STEPS

__all__ = [
    "DatasetKey",
    "Debug",
    "Device",
    "Dtype",
    "Exif",
    "Limit",
    "Llm",
    "LocalFilesOnly",
    "Model",
    "Names",
    "NamesFile",
    "NamesFrom",
    "Preset",
    "ProtocolName",
    "Root",
    "RunFolder",
    "Seed",
    "Set",
    "Without",
    "grouped",
]

# The model and its settings.
Model = Annotated[str, typer.Option(help="A bundled name, a hub id or a folder; see `pnpovss models`.")]
Preset = Annotated[str, typer.Option(help=f"Settings to start from: {', '.join(PRESETS)}, or a tuned.json.")]
Without = Annotated[list[str] | None, typer.Option(metavar="STEP,...", help=f"Steps to leave out: {', '.join(STEPS)}.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Replace a setting; `segment --settings` lists them."),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")]
Dtype = Annotated[str, typer.Option(help="float32, or bfloat16 (faster; labels differ a little).")]
LocalFilesOnly = Annotated[bool, typer.Option("--local-files-only", help="Never ask a hub.")]

# Which names are looked for.
Names = Annotated[
    list[str] | None, typer.Option("--names", metavar="NAME,...", help='What to look for: "cat, potted plant".')
]
NamesFile = Annotated[Path | None, typer.Option(metavar="FILE", help="One name per line, with synonyms after commas.")]
Llm = Annotated[
    list[str] | None,
    typer.Option(
        "--llm",
        metavar="NAME=VALUE",
        help="Replace a setting of llm presence, such as base_url=http://127.0.0.1:8000/v1; an unknown one lists them.",
    ),
]
NamesFrom = Annotated[
    str,
    typer.Option(
        "--presence",
        metavar="FILTER",
        help="Which names are asked for: all, oracle, itm, itc, itm+itc, itm+itc+attention, file:PATH, clip:MODEL, "
        "llm:MODEL.",
    ),
]

# Benchmarks and runs over them.
DatasetKey = Annotated[
    str, typer.Argument(metavar="DATASET", help="voc2012, ade20k, folder, ...; an unknown one lists them.")
]
Root = Annotated[Path, typer.Option(metavar="DIR", help="Folder that holds the data set.")]
RunFolder = Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the run; resumes an unfinished one.")]
ProtocolName = Annotated[
    str, typer.Option("--protocol", help="field (as most papers count) or authors (as the released code does).")
]
Exif = Annotated[
    str | None, typer.Option(help="How masks of photos that EXIF turns lie: upright or stored; else the sizes tell.")
]
Limit = Annotated[int | None, typer.Option(min=1, help="Use so many photos only; the result is called a subset.")]
Seed = Annotated[int, typer.Option(help="Decides which photos --limit draws.")]

Debug = Annotated[bool, typer.Option("--debug", help="Show where an error came from.")]


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """A command that the command line may call with the fields of each dataclass among its parameters.

    A parameter whose type is a dataclass stands for that class's fields, in their place and order, each an option or
    argument of its own; the command is given the object made of them. So several commands share a group of options.
    """
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {name: kind for name, kind in hints.items() if is_dataclass(kind)}
    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(command).parameters.values():
        if parameter.name not in groups:
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))
            continue
        own = get_type_hints(groups[parameter.name], include_extras=True)
        for field in fields(groups[parameter.name]):
            default = inspect.Parameter.empty if field.default is MISSING else field.default
            parameters.append(
                inspect.Parameter(
                    field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=own[field.name]
                )
            )

    def called(**given: Any) -> None:
        made = {
            name: kind(**{field.name: given.pop(field.name) for field in fields(kind)}) for name, kind in groups.items()
        }
        command(**made, **given)

    called.__name__, called.__doc__ = command.__name__, command.__doc__
    called.__signature__ = inspect.Signature(parameters)  # pyright: ignore[reportFunctionMemberAccess]
    called.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return called
