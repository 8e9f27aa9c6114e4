"""The segmentation of one image, with its heat maps and its provenance."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from jaxtyping import Float, Integer
from PIL import Image

from pnpovss.errors import ImageError, InvalidInputError
from pnpovss.files.writing import write_all
from pnpovss.images import ImageSource, load_image
from pnpovss.names import Name, spelling, word_places
from pnpovss.results import checks, formats, pictures
from pnpovss.results.archive import MAX_BYTES, archive_bytes, read_archive
from pnpovss.results.figures.kinds import FigureKind, figure_of
from pnpovss.results.figures.shown import Shown, note_of
from pnpovss.results.formats import CocoRegion, PipelineRegion
from pnpovss.results.heatmaps import HeatMaps
from pnpovss.results.instances import Instances
from pnpovss.results.labels import label_counts, label_dtype
from pnpovss.results.legend import entry
from pnpovss.results.notebook import ShowsItself
from pnpovss.results.provenance import Provenance
from pnpovss.results.regions import Region, regions
from pnpovss.results.saved import ARRAYS, FORMAT, OPTIONAL, SavedInstances, SavedMeta

if TYPE_CHECKING:
    import supervision
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Segmentation"]


@dataclass(frozen=True, eq=False, repr=False)
class Segmentation(ShowsItself):
    """One image, segmented by names.

    Names may be left out because they are held not to be in the photo; `kept` tells which were looked for. What belongs
    to a name follows its place among the names that were asked for, whatever is left out: names[i] has label i + 1.

    Attributes:
        labels: Integer "h w" (uint8, or uint16 beyond 255 names) at the image's own size: 0 is the background,
            i + 1 is names[i]. Without a background (see `has_background`) no pixel is 0.
        scores: Float32 "kept h w" in [0, 1], each kept name's probability after the last step that is on (CRF or
            softmax); scores[k] is that of names[kept[k]].
        background_score: Float32 "h w" in [0, 1]; None without a background. With `scores` it sums to 1 per pixel.
        names: all names, in the order asked.
        kept: positions of those that were looked for, in order.
        heatmaps: of the kept names and of words.
        match: probability in [0, 1] that the whole prompt matches the image (mean over prompts if there are several);
            None where no name was kept.
        name_match: the same for "A picture of <name>", by name asked for; None unless asked for.
        provenance: model, preset, settings, versions.
        instances: the things of each name, told apart; None unless asked for.
    """

    labels: Integer[np.ndarray, "h w"]
    scores: Float[np.ndarray, "kept h w"]
    background_score: Float[np.ndarray, "h w"] | None
    names: tuple[Name, ...]
    kept: tuple[int, ...]
    heatmaps: HeatMaps
    match: float | None
    name_match: tuple[float, ...] | None
    provenance: Provenance
    instances: Instances | None = None

    def __post_init__(self) -> None:
        """Refuse parts that do not fit together.

        Raises:
            InvalidInputError: another type, shape or range; the message says what came.
        """
        checks.check_kept(self.kept, len(self.names))
        checks.check_array("labels", self.labels, label_dtype(len(self.names)), ("h", "w"))
        checks.check_array("scores", self.scores, np.float32, (len(self.kept), *self.size))
        checks.check_range("scores", self.scores, 1.0)
        if self.background_score is not None:
            checks.check_array("background scores", self.background_score, np.float32, self.size)
            checks.check_range("background scores", self.background_score, 1.0)
        if not self.labels.size:
            raise InvalidInputError(f"labels have shape {self.size}; expected at least one pixel")
        checks.check_labels(self._counts, self.kept, background=self.has_background)
        if self.instances is not None:
            self.instances.check_labels(self.labels)
        self._check_matches()

    def _check_matches(self) -> None:
        if len(self.heatmaps.names) != len(self.kept):
            raise InvalidInputError(
                f"{len(self.heatmaps.names)} heat maps for {len(self.kept)} kept names; expected one each"
            )
        if (self.match is None) == bool(self.kept):
            raise InvalidInputError(
                f"match is {self.match} with {len(self.kept)} kept names; it is None for none of them"
            )
        if self.name_match is not None and len(self.name_match) != len(self.names):
            raise InvalidInputError(
                f"{len(self.name_match)} match scores for {len(self.names)} names; expected one each"
            )
        for what, values in (("match", (self.match,)), ("name_match", self.name_match or ())):
            for value in values:
                if value is not None:
                    checks.check_probability(what, value)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.labels.shape[0], self.labels.shape[1]

    @property
    def has_background(self) -> bool:
        """Whether a pixel could be none of the names."""
        return self.background_score is not None

    @cached_property
    def _counts(self) -> Integer[np.ndarray, " label"]:
        return label_counts(self.labels, len(self.names))

    @cached_property
    def shares(self) -> tuple[float, ...]:
        """Share of the image's pixels that each name asked for has, in [0, 1]."""
        return tuple((self._counts[1:] / self.labels.size).tolist())

    def mask(self, name: str) -> np.ndarray:
        """Bool "h w": the pixels labelled with a name (or one of its synonyms).

        Raises:
            KeyError: the name was not asked for.
        """
        return self.labels == self.index(name) + 1

    def heatmap(self, name: str) -> Float[np.ndarray, "h w"]:
        """Float32 "h w": the heat map of a name, or of a word of the prompt, bilinear at the image's size.

        Raises:
            KeyError: neither a name nor a word of the prompt, or a name that was left out.
        """
        if self._place(name) is not None:
            small = self._name_heatmap(name)
        elif name in self.heatmaps.words:
            small = self.heatmaps.word_maps[self.heatmaps.words.index(name)]
        else:
            raise KeyError(f"{name!r} is not in the prompt; its words: {', '.join(self.heatmaps.words)}")
        return cv2.resize(small, self.size[::-1], interpolation=cv2.INTER_LINEAR)

    def _name_heatmap(self, name: str) -> Float[np.ndarray, "gh gw"]:
        index = self.index(name)
        if index not in self.kept:
            raise KeyError(f"{name!r} was left out, so the model did not look for it; see `kept` and `name_match`")
        return self.heatmaps.names[self.kept.index(index)]

    def index(self, name: str) -> int:
        """Position of a name (or one of its synonyms) in `names`.

        Raises:
            KeyError: the name was not asked for.
        """
        place = self._place(name)
        if place is None:
            raise KeyError(f"{name!r} was not asked for; names: {', '.join(map(str, self.names))}")
        return place

    def _place(self, name: str) -> int | None:
        """Of a name among those asked for, in any spelling that a reader takes for the same."""
        return word_places(self.names).get(spelling(name))

    def instance_png_bytes(self) -> bytes:
        """`Instances.map` as a file: 16-bit gray, 0 belongs to no thing.

        Raises:
            InvalidInputError: instances were not told apart.
        """
        if self.instances is None:
            raise InvalidInputError("instances were not told apart; segment with instances=, or --instances")
        return pictures.png_file(Image.fromarray(self.instances.map))

    @property
    def regions(self) -> list[Region]:
        """The region of each name that has pixels, in the order asked; made anew each time."""
        return regions(self.labels, self.scores, self.kept)

    @property
    def objects(self) -> Sequence[Region]:
        """What exports hold an item for: the instances where they are told apart, else the regions."""
        return self.regions if self.instances is None else self.instances

    def to_png(self) -> Image.Image:
        """The label map as a picture: one byte per pixel, with a palette; 16-bit gray beyond 255 names."""
        return pictures.label_picture(self.labels, len(self.names))

    def png_bytes(self) -> bytes:
        """`to_png` as a file, whose text fields say what the labels mean; see `pictures.label_png`."""
        software = f"pnpovss {self.provenance.versions.get('pnpovss', '')}".strip()
        return pictures.label_png(self.labels, [name.text for name in self.names], software)

    def overlay(self, photo: ImageSource) -> Image.Image:
        """The photo with the regions tinted and outlined, over a legend of all names asked for.

        Where instances are told apart, each has its outline and its number.

        Args:
            photo: the one that was segmented; anything `load_image` takes.

        Raises:
            ImageError: the photo has another size than the label map.
        """
        match = self.name_match or (None,) * len(self.names)
        entries = [
            entry(name.text, share, kept=i in self.kept, match=score)
            for i, (name, share, score) in enumerate(zip(self.names, self.shares, match, strict=True))
        ]
        things = None if self.instances is None else self.instances.map
        return pictures.region_picture(self._upright(photo), self.labels, entries, things)

    def heat_picture(self, photo: ImageSource, name: str) -> Image.Image:
        """The photo under the heat map of a name, on the scale of all names, or of a word, on that of all words.

        Raises:
            ImageError: the photo has another size than the label map.
            KeyError: neither a name nor a word of the prompt, or a name that was left out.
        """
        of_kind = self.heatmaps.word_maps if self._place(name) is None else self.heatmaps.names
        top = float(of_kind.max(initial=0))
        return pictures.heat_picture(self._upright(photo), self.heatmap(name), name, top)

    def figure(self, photo: ImageSource, kind: FigureKind = "regions", *, axes: "Axes | None" = None) -> "Figure":
        """A figure of matplotlib, for slides and papers; save it as PNG, SVG or PDF, or draw on it.

        Args:
            photo: the one that was segmented; anything `load_image` takes.
            kind: "regions" (tinted, each with its name where that fits, over a legend), "heat" (a heat map per name,
                all on one scale, absent names grey), or "words" (a small one per word of the names).
            axes: of matplotlib, to draw the regions on; the other kinds make their own.

        Raises:
            ConfigError: another kind, axes for one that makes its own, or words where nothing was looked for.
            ImageError: the photo has another size than the label map.
            MissingExtraError: matplotlib is not installed.
        """
        photo = np.asarray(self._upright(photo))
        return figure_of(kind, photo, self.labels, self.shown, self.heatmaps.shown_words, axes)

    @property
    def shown(self) -> list[Shown]:
        """What figures say of each name asked for, in the order asked."""
        match = self.name_match or (None,) * len(self.names)
        heats = dict(zip(self.kept, self.heatmaps.names, strict=True))
        return [
            Shown(name.text, note_of(share, kept=i in self.kept, match=score), share > 0, heats.get(i))
            for i, (name, share, score) in enumerate(zip(self.names, self.shares, match, strict=True))
        ]

    def _upright(self, source: ImageSource) -> Image.Image:
        photo = load_image(source, max_pixels=None)  # it was accepted once
        height, width = self.size
        if photo.size != (width, height):
            raise ImageError(
                f"the segmentation is of a photo of {width} x {height} pixels, this one has "
                f"{photo.width} x {photo.height}; give the same photo"
            )
        return photo

    def to_coco_rle(self, *, compressed: bool = True) -> list[CocoRegion]:
        """A run-length encoded item for each of `objects`; counts as COCO's string, or as a list."""
        return formats.coco(self.objects, self.names, compressed=compressed)

    def to_pipeline(self) -> list[PipelineRegion]:
        """A list like transformers' image-segmentation pipeline gives, one item for each of `objects`."""
        return formats.pipeline(self.objects, self.names)

    def to_supervision(self) -> "supervision.Detections":
        """Detections with one mask for each of `objects`; class_id is the name's position in `names`.

        Raises:
            MissingExtraError: supervision is not installed.
        """
        return formats.detections(self.objects, self.names, self.size)

    def to_dict(self) -> dict[str, Any]:
        """All but the score and heat maps, as JSON-ready values: names with shares and regions, and the provenance."""
        share = float(self._counts[0]) / self.labels.size
        return {
            "format": FORMAT,
            "height": self.size[0],
            "width": self.size[1],
            "match": self.match,
            "background": {"label": 0, "share": share} if self.has_background else None,
            "names": formats.name_rows(self.names, self.kept, self.shares, self.name_match, self.regions),
            "instances": None if self.instances is None else formats.coco(self.instances, self.names),
            "provenance": self.provenance.as_dict(),
        }

    def npz_bytes(self) -> bytes:
        """Everything as an .npz file: label, score and heat maps, names and provenance."""
        meta = SavedMeta(
            names=self.names,
            kept=self.kept,
            words=self.heatmaps.words,
            words_of_names=self.heatmaps.words_of_names,
            match=self.match,
            name_match=self.name_match,
            provenance=self.provenance,
            instances=None if self.instances is None else SavedInstances.of(self.instances),
        )
        arrays = {"labels": self.labels, "scores": self.scores}
        arrays |= {"name_heatmaps": self.heatmaps.names, "word_heatmaps": self.heatmaps.word_maps}
        if self.background_score is not None:
            arrays["background_score"] = self.background_score
        if self.instances is not None:
            arrays |= {"instances": self.instances.map, "instance_heatmaps": self.instances.heat}
        return archive_bytes(meta.as_dict(), arrays)

    def save(self, path: str | Path) -> None:
        """Write `npz_bytes` to a file that `load` reads.

        Raises:
            OutputError: it cannot be written there; what was there before stays.
        """
        write_all({Path(path): self.npz_bytes()})

    @classmethod
    def load(cls, path: str | Path, *, max_bytes: int = MAX_BYTES) -> "Segmentation":
        """Read what `save` wrote.

        Args:
            path: of the file. It may come from anybody: nothing in it is run, or unpacked beyond the limit.
            max_bytes: what its arrays may take, unpacked.

        Raises:
            InvalidInputError: missing, damaged, too large, inconsistent, or not written by `save`.
        """
        meta, arrays = read_archive(Path(path), ARRAYS, OPTIONAL, max_bytes=max_bytes)
        try:
            return cls._from_saved(SavedMeta.of(meta), arrays)
        except InvalidInputError as error:
            raise InvalidInputError(f"{path} is no saved segmentation: {error}") from error

    @classmethod
    def _from_saved(cls, meta: SavedMeta, arrays: dict[str, np.ndarray]) -> "Segmentation":
        return cls(
            labels=arrays["labels"],
            scores=arrays["scores"],
            background_score=arrays.get("background_score"),
            names=meta.names,
            kept=meta.kept,
            heatmaps=HeatMaps(arrays["name_heatmaps"], meta.words, arrays["word_heatmaps"], meta.words_of_names),
            match=meta.match,
            name_match=meta.name_match,
            provenance=meta.provenance,
            instances=meta.instances_of(arrays),
        )
