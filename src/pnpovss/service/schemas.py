"""What requests and answers hold. The settings among it are made from `pnpovss.config`."""

from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema, create_model

from pnpovss.config import PRESETS, STEPS, Config, PresetName

__all__ = [
    "OUTPUTS",
    "HeadsAnswer",
    "MatchAnswer",
    "MatchRequest",
    "ModelAnswer",
    "NameMatch",
    "Output",
    "PhotoRequest",
    "SegmentRequest",
    "SettingsAnswer",
    "StepsAnswer",
    "settings_schema",
]

Output = Literal["rle", "polygons", "labels", "instances", "overlay", "heat", "words", "npz", "view"]
OUTPUTS: dict[str, str] = {
    "rle": "the record of `pnpovss segment`: each name's share, match, score, box and mask (COCO run lengths)",
    "polygons": "the same, with polygons [[x, y, x, y, ...], ...] in place of run lengths",
    "labels": "the label map, an indexed PNG at the photo's size: 0 is the background, i + 1 the i-th name",
    "instances": "the number of the thing that each pixel belongs to, a 16-bit PNG; with a setting instances.split",
    "overlay": "the photo with its regions tinted, over a legend, a PNG",
    "heat": "a heat map picture per name that was looked for, PNGs in a ZIP file",
    "words": "a heat map picture per word of the prompt, of a photo of at most 640 x 640 pixels, PNGs in a ZIP file",
    "npz": "scores, heat maps, everything; `Segmentation.load` reads it",
    "view": "what the page draws: record, small label map, things, sureness and maps, in one JSON document, and the "
    "photo where browsers may turn it otherwise",
}

_PICTURE = "the photo: a data URL (data:image/jpeg;base64,...)"
_ID = "instead of the photo: the id that an earlier answer gave it"


def settings_schema() -> dict[str, Any]:
    """A JSON schema of settings by dotted name, from the fields of `Config`."""
    properties: dict[str, Any] = {}
    for field, info in Config.model_fields.items():
        parts = _group(info.annotation)
        if parts is None:
            properties[field] = _schema(info)
            continue
        if field in STEPS and STEPS[field] is None:
            properties[field] = {"type": "null", "description": f"null turns the step off: {info.description}"}
        properties |= {f"{field}.{name}": _schema(part) for name, part in parts.model_fields.items()}
    return {
        "type": "object",
        "description": "settings that replace the preset's, by dotted name; see GET /v1/settings",
        "properties": properties,
        "additionalProperties": False,
    }


def _group(annotation: Any) -> type[BaseModel] | None:
    options = get_args(annotation) or (annotation,)
    return next((each for each in options if isinstance(each, type) and issubclass(each, BaseModel)), None)


def _schema(info: Any) -> dict[str, Any]:
    schema = create_model("Part", value=(info.annotation, info)).model_json_schema()["properties"]["value"]
    return {key: value for key, value in schema.items() if key not in ("default", "title")}


class PhotoRequest(BaseModel):
    """A photo and names."""

    model_config = ConfigDict(extra="forbid")

    photo: str | None = Field(default=None, description=_PICTURE, pattern="^data:", examples=["data:image/png;base64,"])
    photo_id: str | None = Field(default=None, description=_ID, pattern="^sha256:[0-9a-f]{64}$")
    names: list[str | list[str]] = Field(
        description="what to look for; synonyms in a list of their own", examples=[["cat", ["sofa", "couch"]]]
    )
    preset: PresetName | None = Field(
        default=None, description=f"settings to start from: {', '.join(PRESETS)}; those of the service if not given"
    )
    settings: Annotated[dict[str, Any], WithJsonSchema(settings_schema())] = Field(
        default_factory=dict, examples=[{"threshold": 0.2}]
    )
    without: list[str] = Field(default=[], description=f"steps to leave out: {', '.join(STEPS)}", examples=[["crf"]])


class MatchRequest(PhotoRequest):
    """A photo and names, to be told which of them are there."""


class SegmentRequest(PhotoRequest):
    """A photo and names, to be told where they are."""

    presence: str | None = Field(
        default=None,
        description="who says which names are there: all, itm, itc, itm+itc, itm+itc+attention, with a rule (itm:0.4, "
        "itc:top3) or without; the model, by the step presence, if not given",
        examples=["itm"],
    )
    outputs: list[Output] = Field(default=["rle"], min_length=1, description="; ".join(map(": ".join, OUTPUTS.items())))
    draft: bool = Field(
        default=False, description="refine a smaller copy of the photo, and answer at its size: faster, less exact"
    )


class NameMatch(BaseModel):
    """How well one name matches."""

    name: str
    synonyms: list[str]
    match: float = Field(description='probability in [0, 1] of "A picture of <name>", its best synonym\'s')


class MatchAnswer(BaseModel):
    """How well each name alone matches the photo."""

    photo_id: str
    names: list[NameMatch]


class MapAnswer(BaseModel):
    """A map, scaled to its greatest value."""

    top: float = Field(description="the greatest value; 0 where the map is empty")
    values: str = Field(description="base64 of a byte per patch, row by row: 255 is the greatest value")


class PassAnswer(BaseModel):
    """One look of Salience Dropout."""

    kept: str = Field(description="base64 of a byte per patch: 1 could be seen, 0 was blanked")
    weight: float = Field(description="of the pass in the sum")
    maps: list[MapAnswer] = Field(description="of each name that was looked for")


class StepMaps(BaseModel):
    """The map of each name after a step."""

    step: str = Field(description="attention, GradCAM, passes, threshold")
    maps: list[MapAnswer] = Field(description="of each name that was looked for")


class StageAnswer(BaseModel):
    """The label map after a step of refinement."""

    step: str = Field(description="threshold, blur, Dense CRF")
    labels: str = Field(description="base64 of a gray PNG: 0 is the background, i + 1 the i-th name")


class StepsAnswer(BaseModel):
    """The method, step by step, on a smaller copy of one photo; over the whole of it, without views."""

    photo_id: str
    grid: tuple[int, int] = Field(description="patches down and across")
    kept: list[int] = Field(description="positions of the names that were looked for")
    maps: list[StepMaps]
    passes: list[PassAnswer]
    stages: list[StageAnswer]
    settings: dict[str, Any]


class HeadAnswer(BaseModel):
    """What one head looks at."""

    layer: int
    head: int
    maps: list[MapAnswer] = Field(description="of each name")


class HeadsAnswer(BaseModel):
    """What every head looks at, after GradCAM, in one look at the whole photo."""

    photo_id: str
    grid: tuple[int, int]
    read: list[tuple[int, int]] = Field(description="the heads (layer, head) that the settings read")
    heads: list[HeadAnswer]


class ModelAnswer(BaseModel):
    """The model that is loaded."""

    name: str
    revision: str | None
    device: str
    dtype: str
    patch: int = Field(description="pixels along one side of a patch")
    heads: dict[int, int] = Field(description="heads of each layer that these settings can read, by 0-based layer")
    max_tokens: int
    layer: int = Field(description="that is read, if nothing else is asked for")
    head: int
    image_size: int
    source: str = Field(description="where the recommended settings come from")


class SettingAnswer(BaseModel):
    """One setting."""

    name: str
    description: str
    schema_: dict[str, Any] = Field(alias="schema", description="JSON schema of its values")
    value: Any = Field(description="in this service, if nothing else is asked for; null where the step is off")
    presets: dict[str, Any]


class SettingsAnswer(BaseModel):
    """Every setting of the method, and what a request may ask for here."""

    settings: list[SettingAnswer]
    steps: list[str]
    presets: list[str]
    preset: str
    outputs: dict[str, str]
    limits: dict[str, float]
