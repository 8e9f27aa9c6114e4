import csv
import io
import itertools
import math
import sys

import numpy as np
import pytest
import torch

from pnpovss.config import Config
from pnpovss.errors import ConfigError, MissingExtraError
from pnpovss.evaluation.measures.ranks import rank_correlation
from pnpovss.evaluation.report import plots
from pnpovss.evaluation.report.plots import draw_variants, plot_heads, plot_variants, require_matplotlib
from pnpovss.evaluation.runs.evaluate import evaluate
from pnpovss.evaluation.runs.folder import read_run
from pnpovss.evaluation.runs.sweeps import run_heads, sweep_variants, table_csv, variants_table
from pnpovss.evaluation.runs.variants import run_variants
from pnpovss.heads import HeadLook, head_keys, head_statistics, look_with_all_heads
from pnpovss.inputs import prepare
from pnpovss.segmenter import Segmenter
from tests.support.colours import Oracle
from tests.support.fakes import FakeBackbone, colour_backbone


def look(attention, maps=None):
    attention = torch.tensor(attention)
    return HeadLook(0, 0, attention if maps is None else torch.tensor(maps), attention, 1.0)


def test_statistics_by_hand():
    even, single = [[0.25, 0.25], [0.25, 0.25]], [[0.0, 0.5], [0.0, 0.0]]
    flat = head_statistics(look([even]))
    assert flat["entropy"] == pytest.approx(1)
    assert flat["spread"] == pytest.approx(1)
    assert flat["patches"] == pytest.approx(1)
    peak = head_statistics(look([single]))
    assert peak["entropy"] == pytest.approx(0, abs=1e-6)
    assert peak["spread"] == pytest.approx(0, abs=1e-6)
    assert peak["patches"] == pytest.approx(0.5)
    both = head_statistics(look([even, single]))
    assert both["entropy"] == pytest.approx(0.5)
    row = head_statistics(look([[[0.5, 0.5], [0.0, 0.0]]]))
    assert row["entropy"] == pytest.approx(0.5)
    assert row["spread"] == pytest.approx(math.sqrt(0.5))


def test_overlap_is_the_cosine_of_the_names_maps():
    same = head_statistics(look([[[1.0, 2.0], [0.0, 0.0]], [[2.0, 4.0], [0.0, 0.0]]]))
    apart = head_statistics(look([[[1.0, 0.0], [0.0, 0.0]], [[0.0, 4.0], [0.0, 0.0]]]))
    assert same["overlap"] == pytest.approx(1)
    assert apart["overlap"] == pytest.approx(0)
    assert head_statistics(look([[[1.0, 0.0], [0.0, 0.0]]]))["overlap"] == 0


def test_rank_correlation_by_hand():
    assert rank_correlation([1, 2, 3], [10, 20, 90]) == pytest.approx(1)
    assert rank_correlation([1, 2, 3], [5, 4, -1]) == pytest.approx(-1)
    assert rank_correlation([1, 2, 2, 3], [1, 2, 3, 4]) == pytest.approx(0.9486833)  # scipy.stats.spearmanr
    assert math.isnan(rank_correlation([1, 1, 1], [1, 2, 3]))


def test_all_heads_are_those_that_a_segmenter_reads_one_by_one():
    backbone = FakeBackbone({"red": [[9, 4], [0, 0]], "blue": [[0, 0], [1, 8]]}, heads={0: 2, 3: 2, 5: 1})
    image = np.random.default_rng(0).integers(1, 255, (16, 16, 3)).astype(np.uint8)
    for gradcam in (True, False):
        segmenter = Segmenter(backbone, Config(gradcam=gradcam).without("dropout"))
        inputs = prepare(image, ["red", "blue"], backbone.card, segmenter.config)
        looks = look_with_all_heads(backbone, inputs, segmenter.config)
        assert [each.key for each in looks] == ["0.0", "0.1", "3.0", "3.1", "5.0"]
        for each in looks:
            config = segmenter.config.replace({"layer": each.layer, "head": each.head})
            [alone] = Segmenter(backbone, config).explain([inputs])
            torch.testing.assert_close(each.maps, alone.names)


@pytest.mark.parametrize(
    ("changes", "keys"),
    [({}, ["0.0", "0.1"]), ({"read": "answer"}, ["0.0", "0.1", "1.0"]), ({"gradcam": False}, ["0.0", "0.1", "1.0"])],
)
def test_heads_without_gradients_are_left_out(dataset, tmp_path, changes, keys):
    backbone = FakeBackbone(colour_backbone().attention, heads={0: 2, 1: 1}, grid=4, gradientless=(1,))
    segmenter = Segmenter(backbone, Config().replace(changes))
    assert head_keys(backbone.card, segmenter.config) == keys
    rows = run_heads(segmenter, dataset, Oracle(), tmp_path / "run")["heads"]
    assert sorted(f"{row['layer']}.{row['head']}" for row in rows) == keys


def test_one_encoding_and_one_match_serve_all_heads(dataset, tmp_path):
    class Counting(FakeBackbone):
        matches = 0

        def match(self, *arguments, **named):
            type(self).matches += 1
            return super().match(*arguments, **named)

    plain = colour_backbone()
    backbone = Counting(plain.attention, heads={0: 3, 1: 3}, grid=4)
    summary = run_heads(Segmenter(backbone), dataset, Oracle(), tmp_path / "run")
    named = sum(bool(dataset.present(sample)) for sample in dataset)
    assert len(backbone.encoded) == Counting.matches == named
    assert len(summary["heads"]) == 6
    assert {row["miou"] for row in summary["heads"]} == {summary["heads"][0]["miou"]}, "heads only scale"


def test_the_best_head_comes_first_and_scores_as_a_run_of_its_own(dataset, tmp_path):
    class TwoHeads(FakeBackbone):
        """Head 1 looks away from the colour that it is asked for."""

        def match(self, features, prompts, reading=None):
            found = super().match(features, prompts, reading)
            for seen in found.maps:
                seen.attention[:, 1] = 1.0 - seen.attention[:, 0].clamp(max=1.0)
            return found

    backbone = TwoHeads(colour_backbone().attention, heads={0: 2}, grid=4)
    summary = run_heads(Segmenter(backbone), dataset, Oracle(), tmp_path / "run")
    best, worst = summary["heads"]
    assert (best["head"], worst["head"]) == (0, 1)
    assert best["miou"] > worst["miou"]
    one_look = Segmenter(backbone, Config.preset("default").without("dropout", "crf"))
    assert best["miou"] == pytest.approx(evaluate(one_look, dataset, Oracle(), tmp_path / "own")["miou"], abs=1e-6)
    found = [row["spread"] for row in summary["heads"]]
    assert summary["correlations"]["spread"] == pytest.approx(1 if found[0] > found[1] else -1)


@pytest.mark.wrong_types
def test_the_variants_of_each_axis(backbone):
    config = Segmenter(backbone).config
    assert list(sweep_variants("threshold", config, backbone, [0.1, 0.3])) == [
        "as set",
        "threshold 0.1",
        "threshold 0.3",
    ]
    passes = sweep_variants("dropout", config, backbone, [1, 4])
    assert list(passes) == ["as set", "1 pass", "4 passes, drop 10 patches", "4 passes, drop 25%", "4 passes, drop 50%"]
    assert passes["4 passes, drop 25%"].dropout.drop == 0.25
    sizes = sweep_variants("size", config, backbone)
    assert "64 px, 8 x 8 patches" in sizes
    assert all(variant.image_size % backbone.patch == 0 for variant in sizes.values())
    for reads, own in (("frames", [16, 32]), ("fixed", [16])):
        backbone = FakeBackbone(sizes=reads)
        sizes = sweep_variants("size", config, backbone)
        assert [each.resolve(backbone.card).image_size for each in list(sizes.values())[1:]] == own
    with pytest.raises(ConfigError, match="unknown axis"):
        sweep_variants("mood", config, backbone)
    with pytest.raises(ConfigError, match="threshold"):
        sweep_variants("threshold", config, backbone, [7])
    for value in (1.5, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match=f"whole numbers, got {value}"):
            sweep_variants("dropout", config, backbone, [value])


def test_tables_and_plots(backbone, dataset, tmp_path):
    segmenter = Segmenter(backbone, Config.preset("default").without("crf"))
    summary = run_variants(
        "sweep dropout",
        segmenter,
        dataset,
        Oracle(),
        sweep_variants("dropout", segmenter.config, backbone, [1, 2]),
        tmp_path / "run",
    )
    run = read_run(tmp_path / "run")
    rows = variants_table(list(run.records.values()), run.settings.variants, 4)
    parsed = list(csv.DictReader(io.StringIO(table_csv(rows))))
    assert [row["variant"] for row in parsed] == [row["variant"] for row in rows]
    assert float(parsed[1]["miou"]) == pytest.approx(summary["variants"]["1 pass"]["miou"], abs=1e-5)
    pytest.importorskip("matplotlib", reason="in the extra `figures`")
    plot_variants(rows, "passes", "colours", tmp_path / "variants.png")
    plot_heads(
        [{"layer": 1, "head": h, "miou": 0.1 * h, "entropy": 1 - 0.1 * h} for h in range(3)],
        {"entropy": -1.0},
        "colours",
        tmp_path / "heads.png",
    )
    for name in ("variants.png", "heads.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_plots_without_matplotlib_name_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r"pnpovss\[figures\]"):
        require_matplotlib()


def swept(x, values, **fixed):
    """Rows of a sweep along one axis, the settings as they were first."""
    row = {"variant": "as set", "image_size": 32, "threshold": 0.15, "passes": 2, "drop": 0.2, "low": 0.2, "high": 0.6}
    row |= {"miou": 0.4, **fixed}
    return [row, *({**row, "variant": f"{x} {value}", x: value} for value in values)]


def drawn(rows, x):
    figure = pytest.importorskip("matplotlib.figure", reason="in the extra `figures`").Figure()
    axis = figure.subplots()
    draw_variants(axis, rows, x)
    return axis


def test_too_few_photos_have_no_bars_of_error():
    axis = drawn(swept("threshold", [0.1, 0.3], low=None, high=None), "threshold")
    [container] = axis.containers
    assert container.has_yerr is False
    assert axis.get_ylabel() == "mIoU [%]"
    [with_bars] = drawn(swept("threshold", [0.1, 0.3]), "threshold").containers
    assert with_bars.has_yerr


@pytest.mark.parametrize(("low", "high"), [(0.45, 0.6), (0.2, 0.35)])
def test_an_interval_beside_its_own_value_reaches_to_one_side(low, high):
    """The draws of a bootstrap can all but miss the value, as where a class occurs in few photos."""
    [container] = drawn(swept("threshold", [0.1, 0.3], low=low, high=high), "threshold").containers
    _, _, [bars] = container
    for bar in bars.get_segments():
        ends = sorted(bar[:, 1])
        assert ends == pytest.approx(sorted([40, 100 * (high if low > 0.4 else low)]))


def test_labels_of_ticks_stand_apart(tmp_path, monkeypatch):
    """Drawn as they are saved, labels of three decimals keep a letter's height from their neighbours."""
    figures = []
    monkeypatch.setattr(plots, "_save", lambda figure, title, path: figures.append(figure))
    names = ("entropy", "spread", "patches")
    rows = [
        {"layer": 3, "head": h, "miou": 0.1 + 0.02 * h, **dict.fromkeys(names, 0.79 + 0.012 * h)} for h in range(16)
    ]
    plot_heads(rows, dict.fromkeys(names, -0.9), "colours", tmp_path / "heads.png")
    [figure] = figures
    figure.set_dpi(110)
    figure.draw_without_rendering()
    for axis in figure.axes[1:4]:
        low, high = axis.get_xlim()
        labels = [tick.label1 for tick in axis.xaxis.get_major_ticks() if low <= tick.get_loc() <= high]
        boxes = [label.get_window_extent() for label in labels]
        assert len(boxes) > 2
        for left, right in itertools.pairwise(boxes):
            assert right.x0 - left.x1 > left.height, axis.get_xlabel()


def test_every_drop_rule_begins_at_one_pass():
    pytest.importorskip("matplotlib", reason="in the extra `figures`")
    rows = swept("passes", [1], drop=0.5) + swept("passes", [2, 4], drop=0.5)[1:] + swept("passes", [2, 4], drop=10)[1:]
    axis = drawn(rows, "passes")
    lines = {bar.get_label(): bar.lines[0] for bar in axis.containers}
    assert set(lines) == {"drop 0.5", "drop 10"}
    for line in lines.values():
        assert np.round(line.get_xdata().astype(float)).tolist() == [1, 2, 4]
    assert not np.array_equal(*(line.get_xdata() for line in lines.values())), "intervals do not hide each other"
    assert axis.get_legend().get_texts()[0].get_text() == "as set (passes 2, drop 0.5)"


def test_the_patch_grid_stands_below_the_image_size():
    pytest.importorskip("matplotlib", reason="in the extra `figures`")
    rows = [{**row, "variant": f"{row['image_size']} px, 4 x 4 patches"} for row in swept("image_size", [16, 32])]
    axis = drawn(rows, "image_size")
    assert [label.get_text() for label in axis.get_xticklabels()] == ["16 px\n4 x 4 patches", "32 px\n4 x 4 patches"]
