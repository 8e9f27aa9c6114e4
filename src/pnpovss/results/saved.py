"""What a saved segmentation says beside its arrays."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, ValidationError

from pnpovss.errors import InvalidInputError
from pnpovss.names import Name, parse_names
from pnpovss.results.provenance import Provenance

__all__ = ["ARRAYS", "FORMAT", "OPTIONAL", "SavedMeta"]

FORMAT = "pnpovss/2"  # of records and saved files; the number grows when a reader of the old form would be misled
ARRAYS = ("labels", "scores", "name_heatmaps", "word_heatmaps")
OPTIONAL = ("background_score",)

_Names = Annotated[
    tuple[Name, ...],
    BeforeValidator(lambda names: parse_names(names)),
    PlainSerializer(lambda names: [list(name.all) for name in names]),
]


class SavedMeta(BaseModel):
    """All of a segmentation that is no array; its own attributes describe the fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    names: _Names
    kept: tuple[int, ...]
    words: tuple[str, ...]
    match: float | None
    name_match: tuple[float, ...] | None
    provenance: Provenance

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
