"""The end of each command's `--help`: lines to copy, and the page of the documentation that says more."""

from typing import Any

from typer.core import TyperCommand, TyperGroup

__all__ = ["EXAMPLES", "PAGES", "Command", "Program"]

EXAMPLES: dict[str, tuple[str, ...]] = {
    "pnpovss": (
        'pnpovss segment photo.jpg --names "dog, bicycle" --out out',
        "pnpovss doctor",
    ),
    "segment": (
        'pnpovss segment photo.jpg --names "dog, bicycle" --out out --heatmaps',
        "pnpovss segment photos/ -r --names-file names.txt --out out --format coco,yolo",
        'pnpovss segment photos/ --names "cat, sofa" --model Salesforce/blip-itm-large-flickr --workers 2 --out out',
        'pnpovss segment photo.jpg --names "dog" --set threshold=0.3 --without crf --figure svg',
    ),
    "explain": (
        'pnpovss explain photo.jpg --names "dog, bicycle" --out out',
        'pnpovss explain photo.jpg --names "dog, bicycle" --preset paper --out out',
    ),
    "export": (
        "pnpovss export out --format coco,yolo",
        "pnpovss export out --format masks --out dataset --no-photos",
    ),
    "gallery": (
        "pnpovss gallery out",
        "pnpovss gallery runs/monday",
    ),
    "serve": (
        "pnpovss serve",
        "pnpovss serve --port 8080 --model Salesforce/blip-itm-large-flickr --device cuda",
    ),
    "models": (
        "pnpovss models",
        "pnpovss models --json",
    ),
    "compare": (
        'pnpovss compare mini Salesforce/blip-itm-large-flickr photo.jpg --names "cat, sofa" --out sheet.html',
        "pnpovss compare mini ./my-finetuned-blip photos/ --names-file names.txt --out sheet.png",
    ),
    "eval": (
        "pnpovss eval voc2012 --root VOCdevkit --presence oracle --out runs/oracle",
        "pnpovss eval folder --root mine --presence itm --out runs/mine --limit 50",
    ),
    "report": (
        "pnpovss report runs/oracle --out runs/report",
        "pnpovss report runs/oracle runs/itm --out runs/compared",
    ),
    "ablate": (
        "pnpovss ablate voc2012 --root VOCdevkit --presence oracle --out runs/ablation",
        "pnpovss ablate folder --root mine --presence oracle --steps views,blur,crf --out runs/ablation",
    ),
    "sweep": (
        "pnpovss sweep heads voc2012 --root VOCdevkit --presence oracle --out runs/heads",
        "pnpovss sweep threshold folder --root mine --presence oracle --values 0.05,0.1,0.2 --out runs/threshold",
    ),
    "doctor": (
        "pnpovss doctor",
        "pnpovss doctor --json --no-self-test",
    ),
    "tune": (
        "pnpovss tune photos/ --out tuned",
        "pnpovss tune photos/ --labels labels.csv --model Salesforce/blip-itm-large-coco --out tuned",
        "pnpovss tune photos/ --names-file names.txt --search heads,threshold,blur --trials 60 --out tuned",
    ),
}
"""Of each command, and of the program under its own name; tests parse them all."""

PAGES: dict[str, str] = {
    "pnpovss": "start.md",
    "segment": "folders.md",
    "explain": "method.md",
    "export": "folders.md#formats-of-other-tools",
    "gallery": "folders.md#looking-through-a-run",
    "serve": "service.md",
    "models": "models.md",
    "compare": "models.md",
    "eval": "evaluation.md",
    "report": "explaining.md",
    "ablate": "evaluation.md#ablation",
    "sweep": "evaluation.md#sweeps",
    "doctor": "troubleshooting.md",
    "tune": "tuning.md",
}
"""Where the documentation says more."""


class Command(TyperCommand):
    """A command whose help ends with examples, and the page that says more."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write help as typer does, then the examples as they are typed: never wrapped, so that they can be copied."""
        super().format_help(ctx, formatter)
        formatter.write(_end_of_help(self.name))


class Program(TyperGroup):
    """The same for the program itself."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write help as typer does, then the examples."""
        super().format_help(ctx, formatter)
        formatter.write(_end_of_help(self.name))


def _end_of_help(name: str | None) -> str:
    assert name is not None
    lines = "".join(f"  {line}\n" for line in EXAMPLES[name])
    return f"\nExamples:\n{lines}\nMore: docs/{PAGES[name]}\n"
