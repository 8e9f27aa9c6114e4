import re
from base64 import b64encode
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from pnpovss.datasets.base import Dataset
from pnpovss.errors import InvalidInputError, OutputError
from pnpovss.evaluation.measures.confusion import Confusion
from pnpovss.evaluation.report.breakdown import break_down, pairs_of, photo_scores
from pnpovss.evaluation.report.failures import Finding
from pnpovss.evaluation.report.markdown import code_span, escape, markdown
from pnpovss.evaluation.report.page import page, write_report
from pnpovss.evaluation.report.pictures import class_colour
from pnpovss.evaluation.report.published import published_miou
from pnpovss.evaluation.report.tables import (
    RUN_COLUMNS,
    class_rows,
    failure_rows,
    objects_line,
    run_names,
    run_rows,
    short_revision,
)
from pnpovss.evaluation.runs.evaluate import evaluate, run_summary
from pnpovss.evaluation.runs.folder import read_run
from pnpovss.evaluation.runs.settings import Subset
from pnpovss.segmenter import Segmenter
from tests.support.colours import Oracle, colour_dataset
from tests.support.fakes import colour_backbone


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    data = colour_dataset(root / "data", count=30)
    segmenter = Segmenter(colour_backbone())
    plain = Segmenter(colour_backbone(), segmenter.config.without("dropout", "blur", "crf"))
    evaluate(segmenter, data, Oracle(), root / "whole")
    evaluate(plain, data, Oracle(), root / "plain", limit=5, seed=1)
    return root


class Checker(HTMLParser):
    """Open tags must close, and nothing may be fetched."""

    def __init__(self):
        super().__init__()
        self.open, self.sources, self.text = [], [], []
        self.ids, self.pictures, self.headers, self.regions = set(), [], [], []

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "img"):
            self.open.append(tag)
        found = dict(attrs)
        self.ids |= {found["id"]} if "id" in found else set()
        self.pictures += [found] if tag == "img" else []
        self.headers += [found] if tag == "th" else []
        self.regions += [found] if found.get("role") == "region" else []
        self.sources += [value for name, value in attrs if name in ("src", "href", "srcset", "data")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, tag

    def handle_data(self, data):
        self.text.append(data)


def read(html):
    checker = Checker()
    checker.feed(html)
    assert checker.open == []
    return checker


def test_the_page_is_whole_and_fetches_nothing(folders):
    runs = [read_run(folders / "whole"), read_run(folders / "plain")]
    html = page(runs)
    found = read(html)
    pictures = [source for source in found.sources if not source.startswith("#")]
    assert pictures
    assert all(source.startswith("data:image/jpeg;base64,") for source in pictures)
    assert {source[1:] for source in found.sources if source.startswith("#")} <= found.ids
    assert not re.search(r"https?://|url\(|@import|<script", html)
    text = " ".join(found.text)
    for run in runs:
        assert f"{100 * run_summary(run)['miou']:.1f}" in text
    assert "subset of 5 of 30" in text
    assert "none under this protocol" in text
    assert "Best photos" in text
    for photos in ("all 30", r"subset of 5 of 30( \(drawn with seed 1\))?"):
        said = re.findall(f"colours, {photos}, field protocol, names: oracle", text)
        assert len(said) == 2, "beside the bars and beside the scores of the run"


def test_runs_that_were_not_measured_alike_are_said_to_be(folders):
    whole, plain = (read_run(folders / name) for name in ("whole", "plain"))
    assert "Not measured alike:</b> these runs have different photos or masks." in page([whole, plain])
    alike = replace(whole, folder=folders / "other")
    assert "Not measured alike" not in page([whole, alike])
    named = replace(alike, settings=whole.settings.model_copy(update={"presence": "all", "protocol": "authors"}))
    assert "different protocols, sources of names." in page([whole, named])


def test_masks_that_were_read_otherwise_are_said_to_be(folders):
    whole = read_run(folders / "whole")

    def beside(**data):
        changes = {"data": whole.settings.data.model_copy(update=data)} if data else {"exif": "stored"}
        return page(
            [whole, replace(whole, folder=folders / "other", settings=whole.settings.model_copy(update=changes))]
        )

    said = "Not measured alike:</b> these runs have different"
    data = whole.settings.data
    assert f"{said} mask values." in beside(ids=data.ids[::-1])
    assert f"{said} mask values." in beside(ignored=())
    assert f"{said} ways to lay masks on turned photos (--exif)." in beside()
    assert said not in beside(ids=data.ids[::-1], names=data.names[::-1]), "the same values in another order"


def test_pictures_and_tables_are_told_to_those_who_do_not_see_them(folders):
    found = read(page([read_run(folders / "whole")]))
    assert found.pictures
    assert not [tag for tag in found.pictures if not tag.get("alt")]
    named = [tag["alt"] for tag in found.pictures if re.match("(truth|prediction) of photo0", tag["alt"])]
    assert any("red" in alt for alt in named)
    assert found.headers
    assert all(tag.get("scope") == "col" for tag in found.headers)
    assert all(tag.get("aria-label") for tag in found.regions)


def test_bars_show_every_value_and_a_dash_for_none(folders):
    whole = read_run(folders / "whole")
    confusions = [{**record, "confusion": [[0, 0, 9], [1, 1, 1], [1, 0, 3]]} for record in whole.records.values()]
    some = replace(whole, folder=folders / "<b>", records={record["key"]: record for record in confusions})
    html = page([whole, some])
    bars = re.findall(r'<div class="bar[^>]*title="([^"]*): ([^"]*)"><span>([^<]*)</span>', html)
    shown = {what: (value, text) for what, value, text in bars}
    assert shown["&lt;b&gt;, red"] == ("25.0", "25.0")
    assert shown["&lt;b&gt;, green"] == ("no IoU", "-")
    summary = run_summary(whole)
    assert shown["whole, red"][1] == f"{100 * summary['classes']['red']['iou']:.1f}"
    assert 'style="width:25.0%' in html


def test_both_files_are_written_and_the_tables_agree(folders, tmp_path):
    paths = write_report([folders / "whole", folders / "plain"], tmp_path / "report")
    assert [path.name for path in paths] == ["report.html", "report.md"]
    text = paths[1].read_text()
    summary = run_summary(read_run(folders / "whole"))
    row = next(line for line in text.splitlines() if line.startswith("| whole |"))
    assert f"| {100 * summary['miou']:.1f} |" in row
    assert f"| red | {100 * summary['classes']['red']['iou']:.1f} |" in text
    assert text.count("| failure |") == 2
    blocks = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert all(len({line.count("|") for line in block.splitlines()}) == 1 for block in blocks), "columns line up"


def test_class_rows_hold_every_run(folders):
    runs = [read_run(folders / "whole"), read_run(folders / "plain")]
    rows = dict(class_rows(runs))
    assert rows["background"] == [run_summary(run)["classes"]["background"]["iou"] for run in runs]


def test_groups_hold_every_photo_and_object_once(folders):
    run = read_run(folders / "whole")
    found = break_down(run)
    named = sum(bool(record["present"]) for record in run.records.values())
    objects = sum(len(record["present"]) for record in run.records.values())
    assert found.objects == objects
    assert sum(group.count for group in found.groups["object size"]) == objects
    assert sum(group.count for group in found.groups["names in the photo"]) == named
    assert sum(group.count for group in found.groups["how busy the photo is (share of edges)"]) == 30
    for groups in found.groups.values():
        for group in groups:
            assert 0 <= group.score.value <= 1
            assert not group.score.is_known or group.score.low <= group.score.value <= group.score.high
    assert 0 < found.boundary_iou < 1
    near = sum(n for record in run.records.values() for _, _, n in record["trimap"])
    everything = sum(n for record in run.records.values() for _, _, n in record["confusion"])
    assert 0 < near < everything
    assert 0 < found.trimap_miou < 1
    assert 0 < found.interior_miou < 1


def test_photo_scores_are_best_first(folders):
    values = list(photo_scores(read_run(folders / "whole")).values())
    assert values == sorted(values, reverse=True)
    assert len(values) == 30


def test_names_from_a_data_set_cannot_break_the_page(tmp_path):
    data = colour_dataset(tmp_path / "data", count=2)
    from tests.support.colours import colour_space

    space = colour_space(background_name="<script>alert(1)</script>|")
    evaluate(Segmenter(colour_backbone()), Dataset(space, data.root, data.samples), Oracle(), tmp_path / "run")
    run = read_run(tmp_path / "run")
    assert "<script" not in page([run])
    text = markdown([run])
    assert "<" not in re.sub("`[^`]*`", "", text)
    assert r"&lt;script&gt;alert(1)&lt;/script&gt;\|" in text


def test_unfinished_and_other_runs_are_refused(folders, tmp_path):
    run = folders / "whole"
    torn = tmp_path / "torn"
    torn.mkdir()
    (torn / "run.json").write_bytes((run / "run.json").read_bytes())
    (torn / "images.jsonl").write_text("".join((run / "images.jsonl").read_text().splitlines(True)[:3]))
    with pytest.raises(InvalidInputError, match=r"not finished \(3 of 30 photos\)"):
        write_report([torn], tmp_path / "out")
    with pytest.raises(InvalidInputError, match="no run was given"):
        write_report([], tmp_path / "out")
    with pytest.raises(InvalidInputError, match="given twice"):
        run_names([read_run(run), read_run(run)])


@pytest.mark.parametrize("name", ["report.html", "report.md"])
def test_a_report_replaces_reports_alone(folders, tmp_path, name):
    write_report([folders / "plain"], tmp_path)
    write_report([folders / "plain"], tmp_path)
    (tmp_path / name).write_text("# Mine")
    there = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(OutputError, match=rf"{name} was not made by `pnpovss report`"):
        write_report([folders / "plain"], tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == there


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, 51.3),
        ({"presence": "oracle"}, 57.0),
        ({"presence": "itm:>0.5"}, None),
        ({"presence": "file:mine.json:>0.7"}, None),
        ({"protocol": "field"}, None),
        ({"images": 162}, None),
        ({"full": None}, None),
        ({"dataset": "colours"}, None),
    ],
)
def test_a_published_value_is_shown_under_its_own_protocol_only(folders, change, expected):
    values = {
        "dataset": "voc2012",
        "protocol": "authors",
        "presence": "file:gpt4o-voc-names.json@0a1b2c3d:0.7",
        **change,
    }
    images, full = values.pop("images", 1449), values.pop("full", 1449)
    subset = Subset(limit=None, seed=0, images=images, on_disk=images, full=full, digest="")
    settings = read_run(folders / "whole").settings.model_copy(update={**values, "subset": subset})
    found = published_miou(settings)
    assert (found and found[0]) == expected


def test_numbers_of_photos_by_hand(tmp_path):
    """Two photos of one object each, one found and one missed."""
    data = colour_dataset(tmp_path / "data", count=2)
    run_folder = tmp_path / "run"
    evaluate(Segmenter(colour_backbone()), data, Oracle(), run_folder)
    run = read_run(run_folder)
    record = run.records["photo1"]
    missed = {
        **record,
        "confusion": [[0, 0, 800], [1, 0, 200]],
        "regions": [[1, 200, 0, 0, 1, 0, 0, 50, 1.0, 1.0]],
    }
    found = break_down(replace(run, records={"photo1": missed}))
    assert [len(found.failures[mark]) for mark in ("missed", "over-segmentation")] == [1, 0]
    assert found.boundary_iou == 0
    assert found.groups["object size"][0].score.value == 0
    assert np.isnan(break_down(replace(run, records={"photo0": run.records["photo0"]})).boundary_iou)


@pytest.mark.parametrize(
    ("revision", "short"),
    [
        ("0a1b2c3d4e5f60718293a4b5c6d7e8f901234567", "0a1b2c3d4e5f"),
        ("sampled-sha256:0a1b2c3d4e5f60718293a4b5c6d7e8f9", "sampled-sha256:0a1b2c3d4e5f"),
        (None, "no revision"),
    ],
)
def test_a_revision_is_short_and_still_tells_models_apart(revision, short):
    assert short_revision(revision) == short


def test_a_command_or_a_name_cannot_leave_its_place_in_markdown():
    assert code_span("a `b` <i>") == "``a `b` <i>``"
    assert code_span("`a") == "`` `a ``"
    assert code_span("a\n\n# b") == r"`a\n\n# b`"
    assert escape("a|b\n<img src=x onerror=alert(1)>") == r"a\|b\\n&lt;img src=x onerror=alert(1)&gt;"
    assert escape("[x](javascript:y) *z* `w` coco_object _q_") == (r"\[x\](javascript:y) \*z\* \`w\` coco_object \_q\_")


def test_no_picture_comes_from_outside_the_run(folders, tmp_path):
    """Not even where the folder that is named as the data set's is full of secrets."""
    run = read_run(folders / "whole")
    gone = replace(run, root=tmp_path / "nowhere", folder=tmp_path / "whole")
    assert page([gone]) == page([replace(run, folder=tmp_path / "whole")])


@pytest.mark.parametrize(
    ("field", "picture"),
    [("photo", b64encode(b"GIF89a").decode()), ("truth", "no base64!"), ("predicted", None)],
    ids=["no JPEG", "no base64", "a photo for a map"],
)
def test_a_picture_that_a_run_cannot_have_written_is_refused(folders, field, picture):
    run = read_run(folders / "whole")
    records = {key: {**r, field: r["photo"] if picture is None else picture} for key, r in run.records.items()}
    with pytest.raises(InvalidInputError, match=r"a picture of a record is no (JPEG|PNG)"):
        page([replace(run, records=records)])


def test_a_class_has_one_colour_in_all_figures(folders):
    html = page([read_run(folders / "whole")])
    swatches = set(re.findall(r'<i style="background:(#\w+)"></i>(red|green|blue)<', html))
    assert swatches == {(class_colour(label, 0), name) for label, name in ((1, "red"), (2, "green"), (3, "blue"))}


def finding(key, label, other, share):
    return Finding(key, label, "confusion", 0.1, other, share)


def test_most_confused_is_sorted_by_the_number_that_is_shown():
    total = Confusion.from_sparse([[1, 1, 50], [1, 2, 50], [2, 2, 900], [2, 1, 100], [3, 2, 300], [3, 3, 700]], 4)
    pairs = pairs_of(total, [finding("a", 2, 1, 0.5), finding("b", 1, 2, 0.3), finding("c", 1, 2, 0.3)])
    assert [(p.label, p.other, p.share, p.photos) for p in pairs] == [(1, 2, 0.5, 2), (2, 1, 0.1, 1)]
    # 30% of class 3 was called 2, but nowhere a fifth of an object: there is no photo to show for it


def test_objects_that_cannot_be_marked_do_not_count(folders):
    run = read_run(folders / "whole")
    record = {**run.records["photo1"], "size": [100, 100], "confusion": [[1, 0, 200], [2, 0, 9]]}
    rows = [[label, truth, 0, 0, 1, 0, 0, 50, 1.0, 1.0] for label, truth in ((1, 200), (2, 9))]
    found = break_down(replace(run, records={"photo1": {**record, "regions": rows}}))
    assert (found.objects, found.smaller, len(found.failures["missed"])) == (1, 1, 1)
    assert failure_rows(found)[0][2:] == ["1", "100.0"]
    assert objects_line(found).endswith("at least 0.1% of their photo; 1 smaller ones are not judged.")


def test_an_interval_of_a_few_photos_is_not_printed(folders):
    html = page([read_run(folders / "plain")])
    assert "too few for an interval" in html
    assert not re.search(r"\([\d.]+ to [\d.]+\)", html), "5 photos"
    assert re.search(r"\([\d.]+ to [\d.]+\)", page([read_run(folders / "whole")])), "30 photos"


def test_seconds_say_on_what_they_were_measured(folders):
    run = read_run(folders / "whole")
    assert re.search(r"timed on cpu, \d+ threads?, \d+ cores, load \d+\.\d at the start", page([run]))
    [row] = run_rows([run])
    wall, cpu = map(float, row[RUN_COLUMNS.index("s / CPU s per photo")].split(" / "))
    assert wall == pytest.approx(run_summary(run)["seconds"] / 30, abs=0.006)
    assert cpu == pytest.approx(run_summary(run)["cpu_seconds"] / 30, abs=0.006)
