"""Print docs/settings.md: every setting, what it does to a picture, its range, and its value in each preset.

python scripts/settings_page.py > docs/settings.md
"""

import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from pnpovss.cli.settings import setting_value
from pnpovss.config import PRESETS, STEPS, Config, InstanceSettings, ViewSettings, setting_names

HEAD = """\
# Settings

Every setting of the method, from `pnpovss.config`; `scripts/docs` writes this page. On the command line
`--set dropout.passes=2` replaces one and `--without crf` leaves a step out; in Python
`Segmenter.from_pretrained("mini", settings={"dropout.passes": 2}, without=["crf"])`. `pnpovss segment --settings` lists
them. `--set views=on` turns a step on with its defaults, `--set views=off` turns it off, like `--without views`.

Pictures: the bundled `mini` on `examples/dog.jpg`, everything else as its `default` has it.

## Presets

`--preset default` (ours), `best` (the same with twenty looks at each photo), `paper` (as the paper describes it) or
`authors` (as the released code computes it); `--preset tuned/tuned.json` is one of [your own](tuning.md). Where they
differ:

"""
AFTER_PRESETS = """
`default` and `best` also take what a checkpoint was tuned to, `best` but for its views; the columns show what holds
where nobody tuned. For `mini`: {own}. The record of each result holds the values that were used.
"""
DOCS = Path(__file__).parent.parent / "docs"


def _defaults(step: type[BaseModel]) -> str:
    """What the settings of a step are where the step is turned on and they are not set."""
    return _as_typed(step().model_dump(mode="json"))


def _as_typed(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"`{name}={'none' if value is None else str(value).lower()}`" for name, value in settings.items())


# Heading and what to know of each group: settings that stand alone, then the steps in the order in which they run.
SECTIONS: dict[str, tuple[str, str]] = {
    "": (
        "Reading the model",
        "Which attention is read, and at what size the model sees the photo: a larger size means more patches, and "
        "is a size the model was less trained on.",
    ),
    "presence": ("Presence", "Who is not there is not drawn. See [Which names are in a photo](presence.md)."),
    "views": (
        "Views",
        "Tiles see small things nearer, and things that are larger than a tile in parts. Each is 0.25 of a side to "
        "below the whole, of eight sizes at most, and size times `views.tiles_across` is 1 or more. Setting any of "
        f"these turns the step on; what is not set is then {_defaults(ViewSettings)}.",
    ),
    "gradcam": ("GradCAM", "Off, attention alone is taken, also where it did not matter for the match."),
    "dropout": (
        "Salience Dropout",
        "More passes find more of a thing, and more beside it. A fraction leaves few patches after some passes; a "
        "count is gentler.",
    ),
    "threshold": ("Threshold", "A higher one makes regions smaller, and drops weak parts of a thing with its halo."),
    "background": (
        "Background",
        "With `never`, each pixel gets one of the names: right where the names cover the photo, wrong where not.",
    ),
    "blur": ("Blur", "More of it makes smoother regions, joins parts, and loses thin ones."),
    "crf": (
        "Dense CRF",
        "Narrow colours (`bilateral_srgb`) follow every edge; wide ones join. Its weight is how much neighbours count "
        "against the maps. [More](crf.md)",
    ),
    "instances": (
        "Instances",
        "On, things of one name are told apart. [How, and how well](instances.md). Setting any of these turns the "
        f"step on; what is not set is then {_defaults(InstanceSettings)} (`heat` wants the extra `instances`).",
    ),
}
PICTURES = {"": "setting-image_size", "presence": "presence"}


def page() -> str:
    """The whole page, in Markdown."""
    return HEAD + _table(_differing(), with_ranges=False) + AFTER_PRESETS.format(own=_own()) + "".join(_sections())


def _differing() -> list[str]:
    return [name for name in setting_names() if len({setting_value(each, name) for each in PRESETS.values()}) > 1]


def _own() -> str:
    """What the bundled checkpoint recommends, as it is typed."""
    from pnpovss.backbones.base import LoadOptions
    from pnpovss.backbones.registry import load_backbone

    return _as_typed(load_backbone("mini", LoadOptions.parse("cpu")).card.recommended.settings)


def _sections() -> Iterator[str]:
    for key, (title, text) in SECTIONS.items():
        off = f" Off: `--without {key}`." if key in STEPS else ""
        picture = f"pictures/{PICTURES.get(key, f'setting-{key}')}.webp"
        shown = f"![The photo, segmented with different values: {title}]({picture})\n\n"
        seen = shown if (DOCS / picture).exists() else ""
        yield f"\n## {title}\n\n{text}{off}\n\n{seen}{_table(_of(key))}"


def _of(key: str) -> list[str]:
    """The settings of a section, by dotted name."""
    if key:
        return [name for name in setting_names() if name == key or name.startswith(f"{key}.")]
    return [name for name in setting_names() if name.split(".")[0] not in SECTIONS]


def _table(names: list[str], *, with_ranges: bool = True) -> str:
    columns = ["setting", "what it is", *(["range"] if with_ranges else []), *PRESETS]
    lines = [columns, ["---"] * len(columns)]
    for name in names:
        values = [setting_value(config, name) for config in PRESETS.values()]
        lines.append([f"`{name}`", setting_names()[name], *([_range(_field(name))] if with_ranges else []), *values])
    return "".join(f"| {' | '.join(map(_escaped, line))} |\n" for line in lines)


def _escaped(cell: str) -> str:
    return cell.replace("|", "/").replace("<", "&lt;")


def _field(dotted: str) -> FieldInfo:
    fields: Any = Config.model_fields
    *path, last = dotted.split(".")
    for part in path:
        [model] = [
            each for each in get_args(fields[part].annotation) or (fields[part].annotation,) if _has_fields(each)
        ]
        fields = model.model_fields
    return fields[last]


def _has_fields(kind: Any) -> bool:
    return isinstance(kind, type) and hasattr(kind, "model_fields")


def _range(field: FieldInfo) -> str:
    """What a value may be, in a few words."""
    kinds = _kinds(field.annotation)
    if any(_has_fields(kind) for kind in kinds):
        return "a step"
    words = [each for kind in kinds if get_origin(kind) is Literal for each in get_args(kind)]
    words += ["on, off"] if bool in kinds else []
    words += [limits for each in (field, *kinds) if (limits := _limits(each))]
    return ", ".join([*words, *(["none"] if type(None) in kinds else [])])


def _limits(bounded: Any) -> str:
    """Such as ">= 0 and < 1" of a field or an annotated type; empty where it has none."""
    found = [
        f"{sign} {getattr(limit, attribute):g}"
        for metadata in getattr(bounded, "metadata", getattr(bounded, "__metadata__", ()))
        for limit in (metadata.metadata if isinstance(metadata, FieldInfo) else (metadata,))
        for sign, attribute in _SIGNS
        if hasattr(limit, attribute)
    ]
    return " and ".join(found)


_SIGNS = ((">=", "ge"), (">", "gt"), ("<=", "le"), ("<", "lt"))


def _kinds(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)


if __name__ == "__main__":
    print(page(), end="")
