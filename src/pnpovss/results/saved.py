"""What a saved segmentation says beside its arrays."""

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, ValidationError

from pnpovss.errors import InvalidInputError
from pnpovss.names import Name, parse_names
from pnpovss.results.instances import Instances
from pnpovss.results.provenance import Provenance

__all__ = ["ARRAYS", "FORMAT", "OPTIONAL", "SavedInstances", "SavedMeta"]

FORMAT = "pnpovss/2"  # of records and saved files; the number grows when a reader of the old form would be misled
ARRAYS = ("labels", "scores", "name_heatmaps", "word_heatmaps")
OPTIONAL = ("background_score", "instances", "instance_heatmaps")

_Names = Annotated[
    tuple[Name, ...],
    BeforeValidator(lambda names: parse_names(names)),
    PlainSerializer(lambda names: [list(name.all) for name in names]),
]


class SavedInstances(BaseModel):
    """All of `Instances` that is no array."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    name_index: tuple[int, ...]
    scores: tuple[float, ...]
    redrawn_by: str | None

    @classmethod
    def of(cls, things: Instances) -> "SavedInstances":
        """What is to be saved."""
        return cls(name_index=things.name_index, scores=things.scores, redrawn_by=things.redrawn_by)


class SavedMeta(BaseModel):
    """All of a segmentation that is no array; its own attributes describe the fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    names: _Names
    kept: tuple[int, ...]
    words: tuple[str, ...]
    words_of_names: tuple[int, ...] | None = None
    match: float | None
    name_match: tuple[float, ...] | None
    provenance: Provenance
    instances: SavedInstances | None = None

    @classmethod
    def of(cls, told: Any) -> "SavedMeta":
        """From what a file tells.

        Raises:
            InvalidInputError: another format, or a field that is missing, unknown or of another kind.
        """
        if not isinstance(told, dict) or told.get("format") != FORMAT:
            there = told.get("format") if isinstance(told, dict) else told
            raise InvalidInputError(f"it has format {there!r:.80}, this version reads {FORMAT!r}")
        try:
            return cls.model_validate({key: value for key, value in told.items() if key != "format"})
        except ValidationError as error:
            first = error.errors()[0]
            raise InvalidInputError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error

    def as_dict(self) -> dict[str, Any]:
        """As JSON-ready values."""
        return {"format": FORMAT, **self.model_dump(mode="json")}

    def instances_of(self, arrays: Mapping[str, np.ndarray]) -> Instances | None:
        """The instances, with their arrays from the file; None where there are none.

        Raises:
            InvalidInputError: arrays without what belongs to them, or the other way round, or what does not fit.
        """
        there = {"instances", "instance_heatmaps"} & set(arrays)
        if len(there) != (0 if self.instances is None else 2):
            raise InvalidInputError(f"instances are saved in part: it holds {', '.join(sorted(there)) or 'no arrays'}")
        if self.instances is None:
            return None
        return Instances(map=arrays["instances"], heat=arrays["instance_heatmaps"], **self.instances.model_dump())
