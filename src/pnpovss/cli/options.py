"""Options that several subcommands share, each written once."""

from pathlib import Path
from typing import Annotated

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
    "Model",
    "NamesFrom",
    "Preset",
    "ProtocolName",
    "Root",
    "RunFolder",
    "Seed",
    "Set",
    "Without",
]

# The model and its settings.
Model = Annotated[str, typer.Option(help="A bundled name, a hub id or a folder; see `pnpovss models`.")]
Preset = Annotated[str, typer.Option(help=f"Settings to start from: {', '.join(PRESETS)}.")]
Without = Annotated[list[str] | None, typer.Option(metavar="STEP,...", help=f"Steps to leave out: {', '.join(STEPS)}.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Replace a setting; `segment --settings` lists them."),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")]
Dtype = Annotated[str, typer.Option(help="float32 (exact) or bfloat16 (faster).")]

# Which names are looked for.
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
        help="Which names are asked for: all, oracle, itm, itc, itm+itc, file:PATH, clip:MODEL, llm:MODEL.",
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
