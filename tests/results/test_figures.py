"""Figures: what is drawn where, on which scale, and whether everybody can read it."""

import io
import re
import threading
import time
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pnpovss.errors import ConfigError, InvalidInputError, MissingExtraError
from pnpovss.results.colours import colour
from pnpovss.results.figures.canvas import FAINT, FORMATS, INK, figure_bytes, wrapped
from pnpovss.results.figures.heat import COLOURS, heat_figure, top_of
from pnpovss.results.figures.marked import place_of_label
from pnpovss.results.figures.passes import PassPicture, animation_bytes, passes_figure
from pnpovss.results.figures.shown import Shown, note_of
from pnpovss.results.heatmaps import HeatMaps
from pnpovss.results.side_by_side import side_by_side
from tests.support.results import hand_made, labelled

matplotlib = pytest.importorskip("matplotlib", reason="in the extra `figures`")

PHOTO = np.full((60, 80, 3), 120, np.uint8)
LONG = "a very long name that nobody would ever write into a legend but somebody always does in the end"


def shown_texts(figure) -> list[str]:
    figure.draw_without_rendering()
    texts = [text.get_text() for text in figure.findobj(matplotlib.text.Text) if text.get_visible()]
    return [" ".join(text.split()) for text in texts if text.strip()]


def large(**replaced):
    """Sixty rows of eighty pixels: cat on the left, sofa on the right, the dog left out."""
    labels = np.zeros((60, 80), np.uint8)
    labels[10:50, 2:38], labels[10:50, 42:78] = 1, 2
    maps = np.array([[[0, 4], [0, 0]], [[0, 0], [1, 2]]], np.float32)
    fields = {
        "labels": labels,
        "scores": np.stack([labels == 1, labels == 2]).astype(np.float32),
        "background_score": (labels == 0).astype(np.float32),
        "kept": (0, 1),
        "heatmaps": HeatMaps(
            maps, ("A", "picture", "of", "cat", "sofa", "couch", "settee"), np.ones((7, 2, 2), np.float32)
        ),
    }
    return hand_made(**{**fields, **replaced})


def test_heat_maps_share_one_scale_and_absent_names_have_none():
    figure = large().figure(PHOTO, "heat")
    panels = [axes for axes in figure.axes if len(axes.images) == 2]
    assert [axes.images[1].get_clim() for axes in panels] == [(0, 4), (0, 4)]
    assert [axes.images[1].get_array().max() for axes in panels] == [4, 2]
    texts = shown_texts(figure)
    assert {"cat", "30%, match 0.90", "absent, match 0.05", "absent"} <= set(texts)
    assert any("attention x gradient" in text for text in texts), "the colour bar says what it measures"


def test_of_very_many_names_those_with_the_highest_maps_are_shown():
    names = [Shown(f"n{i}", "", True, np.full((2, 2), i, np.float32)) for i in range(30)]
    texts = shown_texts(heat_figure(PHOTO, names))
    assert {"n29", "n6"} <= set(texts)
    assert "n5" not in texts
    assert any("24 of 30 names" in text for text in texts)


def test_regions_carry_their_names_where_there_is_room():
    texts = shown_texts(large().figure(PHOTO))
    assert texts.count("cat") == 1, "on its region"
    assert texts.count("dog") == 0
    legend = {"cat (30%, match 0.90)", "sofa (30%, match 0.80)", "dog (absent, match 0.05)"}
    assert legend <= set(texts)
    thin = np.zeros((60, 80), np.uint8)
    thin[30] = 1
    thin_texts = shown_texts(labelled(thin, ["cat"]).figure(PHOTO))
    assert "cat (2%)" in thin_texts
    assert "cat" not in thin_texts, "no room on a line of pixels"


def test_a_label_lies_inside_of_its_region():
    mask = np.zeros((20, 30), bool)
    mask[4:13, 5:20] = True
    assert place_of_label(mask, (9, 15)) == (12, 8)
    assert place_of_label(mask, (11, 15)) is None
    assert place_of_label(np.ones((5, 5), bool), (5, 5)) == (2, 2)


def test_long_names_are_wrapped_and_never_cut():
    result = labelled(np.ones((60, 80)), [LONG])
    for kind in ("regions", "heat", "words"):
        assert any(LONG.split()[-1] in text for text in shown_texts(result.figure(PHOTO, kind)))
    assert max(map(len, wrapped(LONG).split("\n"))) <= 26
    assert wrapped("5$ a \x1b[31m b$") == r"5\$ a \x1b[31m b\$", "no formula, no escape"


def titles_of(figure):
    return [axes.get_title() for axes in figure.axes if axes.get_title()]


def test_words_are_those_of_the_names_in_their_order():
    words = ("A", "picture", "of", "a", "dog", "on", "a", "red", "sofa")
    ones = np.ones((9, 2, 2), np.float32)
    maps = HeatMaps(ones[:1], words, ones, tuple(range(3, 9)))
    result = labelled(np.ones((60, 80)), ["a dog on a red sofa"], heatmaps=maps)
    figure = result.figure(PHOTO, "words")
    assert titles_of(figure) == list(words[3:])
    unsaid = labelled(np.ones((60, 80)), ["a dog on a red sofa"], heatmaps=HeatMaps(ones[:1], words, ones))
    assert titles_of(unsaid.figure(PHOTO, "words")) == list(words), "saved by an earlier version: all words"
    colours = {axes.get_title(): axes.title.get_color() for axes in figure.axes if axes.get_title()}
    assert colours["dog"] == INK
    assert colours["on"] == FAINT


def test_a_figure_is_drawn_on_axes_that_are_given():
    figure = matplotlib.figure.Figure()
    left, _ = figure.subplots(1, 2)
    assert large().figure(PHOTO, axes=left) is figure
    assert left.images
    with pytest.raises(ConfigError, match="axes of its own"):
        large().figure(PHOTO, "heat", axes=left)


@pytest.mark.wrong_types
def test_unknown_kinds_are_named():
    with pytest.raises(ConfigError, match="known: regions, heat, words"):
        large().figure(PHOTO, "all")  # type: ignore[arg-type]


def test_nothing_looked_for_has_no_words():
    nothing = labelled(np.zeros((60, 80)), ["cat"], kept=())
    assert "absent" in shown_texts(nothing.figure(PHOTO, "heat"))
    with pytest.raises(ConfigError, match="nothing was looked for"):
        nothing.figure(PHOTO, "words")


@pytest.mark.parametrize("form", FORMATS)
def test_files_are_the_same_each_time_and_text_stays_text(form: str):
    first, second = (figure_bytes(large().figure(PHOTO), form) for _ in range(2))
    assert first == second
    assert first.startswith({"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[form])
    if form == "svg":
        assert b"match 0.90" in first
        assert not re.search(rb"[ \t]\n", first)


def test_other_forms_and_missing_matplotlib_are_told(monkeypatch):
    with pytest.raises(ConfigError, match="png, svg, pdf; got 'bmp'"):
        figure_bytes(large().figure(PHOTO), "bmp")
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r"pnpovss\[figures\]"):
        large().figure(PHOTO)


def test_letters_are_as_large_on_small_photos():
    """On a photo of 40 pixels, the figure still has hundreds of them."""
    small = labelled(np.ones((30, 40)), ["cat"])
    picture = Image.open(io.BytesIO(figure_bytes(small.figure(np.full((30, 40, 3), 90, np.uint8)))))
    assert picture.width > 600


def test_side_by_side_holds_a_panel_per_result():
    figure = side_by_side(PHOTO, {"default": large(), "without crf": large()})
    assert [axes.get_title() for axes in figure.axes] == ["default", "without crf"]
    with pytest.raises(InvalidInputError, match="of 6 x 4 pixels"):
        side_by_side(PHOTO, {"other": hand_made()})
    with pytest.raises(InvalidInputError, match="at least one"):
        side_by_side(PHOTO, {})


PASSES = (
    PassPicture(np.ones((2, 2), bool), np.array([[[4, 1], [0, 0]]], np.float32), 1.0),
    PassPicture(np.array([[False, True], [True, True]]), np.array([[[0, 3], [0, 0]]], np.float32), 1.0),
)


def test_passes_show_what_was_blanked_and_the_sum():
    figure = passes_figure(PHOTO, PASSES)
    texts = shown_texts(figure)
    assert {"100% of the patches", "75% of the patches", "all passes"} <= set(texts)
    seen = np.asarray(figure.axes[1].images[0].get_array())
    assert (seen[:30, :40] == 127).all()
    assert (seen[30:] == 120).all()
    total = np.asarray(figure.axes[5].images[1].get_array())
    assert total.max() == 4
    assert total[0, -1] == 4


@pytest.mark.parametrize("form", ["gif", "webp"])
def test_the_animation_has_a_frame_per_pass(form: str):
    with Image.open(io.BytesIO(animation_bytes(PHOTO, PASSES, form))) as moving:
        assert getattr(moving, "n_frames", 1) == 2
        assert moving.format == form.upper()


def test_what_cannot_be_animated_is_told():
    with pytest.raises(ConfigError, match="gif or webp, got 'mp4'"):
        animation_bytes(PHOTO, PASSES, "mp4")
    with pytest.raises(ConfigError, match="Salience Dropout is off"):
        animation_bytes(PHOTO, PASSES[:1], "gif")


# Machado, Oliveira and Fernandes 2009, severity 1: what is left of linear RGB.
BLINDNESS = {
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def seen_as(rgb: np.ndarray, kind: str | None) -> np.ndarray:
    """CIE Lab of sRGB in [0, 1], as somebody with this vision sees it."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    if kind:
        linear = np.clip(linear @ np.array(BLINDNESS[kind]).T, 0, 1)
    xyz = linear @ np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]).T
    scaled = xyz / [0.9505, 1.0, 1.089]
    f = np.where(scaled > 0.008856, np.cbrt(scaled), 7.787 * scaled + 16 / 116)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], -1)


@pytest.mark.parametrize("kind", [None, *BLINDNESS])
def test_colours_of_names_differ_for_all_kinds_of_vision(kind: str | None):
    """In the legend; a difference (Delta E) of 2.3 is just noticeable."""
    lab = seen_as(np.array([colour(i) for i in range(7)]) / 255, kind)
    apart = np.linalg.norm(lab[:, None] - lab[None], axis=-1) + 1e3 * np.eye(7)
    assert apart.min() > 15


@pytest.mark.parametrize("kind", [None, *BLINDNESS])
def test_heat_is_ever_lighter_for_all_kinds_of_vision(kind: str | None):
    steps = matplotlib.colormaps[COLOURS](np.linspace(0, 1, 32))[:, :3]
    assert (np.diff(seen_as(steps, kind)[:, 0]) > 0).all()


def test_grey_letters_have_contrast_enough():
    """WCAG asks for 4.5 : 1."""
    for tone in (INK, FAINT):
        rgb = np.array(matplotlib.colors.to_rgb(tone))
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        assert 1.05 / (linear @ [0.2126, 0.7152, 0.0722] + 0.05) >= 4.5


def test_notes_and_scales():
    assert note_of(0.27, kept=True, match=0.671) == "27%, match 0.67"
    assert note_of(0.0, kept=False, match=None) == "absent"
    assert note_of(0.0, kept=True, match=None) == "not found"
    assert top_of([None, np.zeros((2, 2), np.float32)]) == 1.0


def test_one_figure_is_written_at_a_time_for_its_style_is_that_of_the_process() -> None:
    writing: list[int] = []
    most: list[int] = []

    class Slow:
        def savefig(self, file: Any, **options: Any) -> None:
            writing.append(1)
            most.append(len(writing))
            time.sleep(0.02)
            writing.pop()

    threads = [threading.Thread(target=figure_bytes, args=(Slow(), "png")) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1, 1, 1, 1]
