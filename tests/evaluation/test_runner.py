import json
import os
import re
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
import torch

from pnpovss.backbones.shared import SharedEncodings, share_encodings
from pnpovss.config import Background, Config
from pnpovss.datasets.base import Dataset
from pnpovss.errors import ConfigError, DatasetError, InvalidInputError, PresenceError
from pnpovss.evaluation.measures.confusion import Confusion
from pnpovss.evaluation.measures.previews import decode_classes
from pnpovss.evaluation.runs.evaluate import evaluate, run_summary
from pnpovss.evaluation.runs.folder import read_run
from pnpovss.evaluation.runs.settings import choose
from pnpovss.memory import size_of
from pnpovss.presence import LlmSettings, UnansweredError, make_presence
from pnpovss.presence.base import Presence
from pnpovss.presence.llm.filter import Llm
from pnpovss.segmenter import Segmenter
from tests.support import chat_server as chat
from tests.support.colours import Oracle, colour_dataset, colour_space, write_photo
from tests.support.fakes import colour_backbone


def test_scores_are_those_of_one_confusion_matrix_over_all_photos(segmenter, dataset, oracle, tmp_path):
    summary = evaluate(segmenter, dataset, oracle, tmp_path / "run")
    total = Confusion.empty(4)
    for sample in dataset:
        truth, present = dataset.truth(sample), dataset.present(sample)
        if present:
            labels = segmenter(sample.image, [dataset.space.names[i] for i in present]).labels
        else:
            labels = np.zeros(truth.shape, int)
        total = total + Confusion.of(truth, dataset.space.predicted(labels, present), 4)
    assert summary["miou"] == pytest.approx(total.miou, abs=1e-6)
    assert summary["pixel_accuracy"] == pytest.approx(total.pixel_accuracy, abs=1e-6)
    assert summary["classes"]["red"]["iou"] == pytest.approx(total.iou[1], abs=1e-6)
    assert 0.3 < summary["miou"] < 1
    assert json.loads((tmp_path / "run" / "summary.json").read_text()) == summary


def test_ignored_pixels_are_not_counted(segmenter, dataset, oracle, tmp_path):
    evaluate(segmenter, dataset, oracle, tmp_path / "run")
    for record in read_run(tmp_path / "run").records.values():
        assert sum(pixels for _, _, pixels in record["confusion"]) == 32 * 32 - 4


def test_a_run_folder_says_what_was_run(segmenter, dataset, oracle, tmp_path):
    evaluate(segmenter, dataset, oracle, tmp_path / "run", limit=3, seed=5)
    run = read_run(tmp_path / "run")
    assert run.finished
    assert run.settings.dataset == "colours"
    assert run.settings.protocol == "field"
    assert run.settings.presence == "oracle"
    assert run.settings.classes == ("background", "red", "green", "blue")
    own = segmenter.config.without("presence")
    assert run.settings.config == own.replace({"background": dataset.space.background.model_dump()})
    assert str(run.settings.subset) == "subset of 3 of 6"
    [session] = run.sessions
    assert session.versions["torch"] == str(torch.__version__)
    assert session.threads == torch.get_num_threads()
    assert session.cores >= 1
    assert re.fullmatch(r"cpu, \d+ threads?, \d+ cores, load \d+\.\d at the start", session.pace)
    assert len(run.records) == 3


def test_photos_of_nothing_are_all_background(segmenter, tmp_path, oracle):
    red = np.zeros((32, 32), np.uint8)
    red[8:24, 8:24] = 1
    samples = [write_photo(tmp_path, name, mask) for name, mask in (("empty", red * 0), ("red", red))]
    evaluate(segmenter, Dataset(colour_space(), tmp_path, samples), oracle, tmp_path / "run")
    assert read_run(tmp_path / "run").records["empty"]["confusion"] == [[0, 0, 32 * 32]]


def test_where_the_background_does_not_count_it_is_a_miss_and_no_class(segmenter, tmp_path, oracle):
    space = colour_space(background_id=None, ignored=frozenset({0, 255}))
    mask = np.zeros((32, 32), np.uint8)
    mask[:16] = 1
    samples = [write_photo(tmp_path, "half", mask)]
    evaluate(segmenter, Dataset(space, tmp_path, samples), oracle, tmp_path / "run")
    cells = read_run(tmp_path / "run").records["half"]["confusion"]
    assert sum(pixels for truth, _, pixels in cells if truth == 0) == 16 * 32
    assert all(predicted in (0, 3) for _, predicted, _ in cells)


def test_the_background_policy_is_the_label_spaces_unless_set_on_purpose(backbone, dataset, tmp_path, oracle):
    space = colour_space(background=Background(policy="fewer_than", count=2))
    data = Dataset(space, dataset.root, dataset.samples)
    evaluate(Segmenter(backbone), data, oracle, tmp_path / "a", limit=1)
    assert read_run(tmp_path / "a").settings.config.background == space.background
    for policy in ("never", "always"):
        chosen = Config().replace({"background.policy": policy})
        evaluate(Segmenter(backbone, chosen), data, oracle, tmp_path / policy, limit=1)
        assert read_run(tmp_path / policy).settings.config.background.policy == policy


def test_batches_count_the_same_as_single_photos(backbone, dataset, oracle, tmp_path):
    one = evaluate(Segmenter(backbone), dataset, oracle, tmp_path / "one")
    three = evaluate(Segmenter(backbone), dataset, oracle, tmp_path / "three", batch_size=3)
    assert one["classes"] == three["classes"]


def test_the_presence_filters_view_of_the_whole_photo_is_not_encoded_again(backbone, dataset, tmp_path):
    shared = share_encodings(backbone)

    class Looks(Oracle):
        def decide(self, photo, names):
            from pnpovss.inputs import to_pixels

            shared.encode_images(to_pixels(photo.image, (32, 32), shared.card))
            return super().decide(photo, names)

    evaluate(Segmenter(shared, Config.preset("default").without("dropout")), dataset, Looks(), tmp_path / "run")
    assert isinstance(shared, SharedEncodings)
    named = sum(bool(dataset.present(sample)) for sample in dataset)
    assert (shared.asked, shared.computed) == (6 + named, len(backbone.encoded))
    assert shared.computed == 5, "two photos are all grey"


def test_shared_encodings_are_the_backbones_own_and_bounded(backbone):
    pixels = torch.randn(3, 3, 32, 32)
    each = size_of(backbone.encode_images(pixels[:1]))
    shared = share_encodings(backbone, most_bytes=2 * each)
    assert isinstance(shared, SharedEncodings)
    first = shared.encode_images(pixels)
    assert shared.memory.bytes == 2 * each
    shared.encode_images(pixels)
    assert shared.computed == 3, "what was just asked for is at hand, whatever it takes"
    assert torch.equal(shared.encode_images(pixels[[1, 2]]).tokens, first.tokens[[1, 2]])
    assert torch.equal(first.tokens, backbone.encode_images(pixels).tokens)
    mixed = shared.encode_images(pixels[[2, 0, 2]])
    assert torch.equal(mixed.tokens, first.tokens[[2, 0, 2]])
    assert shared.computed == 4  # the first was forgotten, the third was not
    assert share_encodings(shared) is shared


def test_progress_counts_up_and_carries_the_running_score(segmenter, dataset, oracle, tmp_path):
    seen = []
    summary = evaluate(segmenter, dataset, oracle, tmp_path / "run", on_image=seen.append)
    assert [(p.done, p.of, p.new) for p in seen] == [(i, 6, i) for i in range(1, 7)]
    assert seen[-1].confusion.miou == pytest.approx(summary["miou"], abs=1e-6)


def test_maps_are_saved_as_class_indices(segmenter, dataset, oracle, tmp_path):
    evaluate(segmenter, dataset, oracle, tmp_path / "run", save_maps=True)
    record = read_run(tmp_path / "run").records["photo3"]
    saved = cv2.imread(str(tmp_path / "run" / "maps" / "photo3.png"), cv2.IMREAD_UNCHANGED)
    assert (saved == decode_classes(record["predicted"])).all(), "at 32 px the preview is the whole map"
    truth = dataset.truth(dataset.samples[3])
    assert (decode_classes(record["truth"]) == truth).all()
    assert Confusion.of(truth, saved.astype(int), 4).sparse == record["confusion"]


def test_a_subset_is_drawn_by_its_seed(dataset):
    first, _ = choose(dataset, 3, seed=1)
    again, subset = choose(dataset, 3, seed=1)
    other, _ = choose(dataset, 3, seed=2)
    assert first == again != other
    assert subset.partial
    everything, whole = choose(dataset, 100, seed=1)
    assert everything == dataset.samples
    assert (str(whole), whole.limit) == ("all 6", None)
    part_of_a_benchmark = Dataset(dataset.space, dataset.root, dataset.samples, full=1449)
    assert str(choose(part_of_a_benchmark, None, 0)[1]) == "subset of 6 of 1449"
    with pytest.raises(InvalidInputError, match="a limit of 0"):
        choose(dataset, 0, 0)
    with pytest.raises(DatasetError, match="no photo"):
        choose(Dataset(dataset.space, dataset.root, []), None, 0)


def test_resuming_decides_no_photo_again(segmenter, dataset, oracle, tmp_path):
    class Interrupted(Oracle):
        def decide(self, photo, names):
            if self.calls == 4:
                raise KeyboardInterrupt
            return super().decide(photo, names)

    with pytest.raises(KeyboardInterrupt):
        evaluate(segmenter, dataset, Interrupted(), tmp_path / "run")
    assert len(read_run(tmp_path / "run").records) == 4
    resumed = evaluate(segmenter, dataset, oracle, tmp_path / "run")
    assert oracle.calls == 2
    whole = evaluate(segmenter, dataset, Oracle(), tmp_path / "whole")
    assert resumed["classes"] == whole["classes"]
    assert len(read_run(tmp_path / "run").sessions) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 9, "limit": 2}, "another subset"),
        ({"presence": "all"}, r"another presence \(oracle there, all asked\)"),
        ({"config": Config(threshold=0.3)}, r"another config \(threshold: 0.15 there, 0.3 asked"),
    ],
)
def test_a_run_is_resumed_with_the_same_settings_only(backbone, dataset, tmp_path, change, message):
    evaluate(Segmenter(backbone), dataset, Oracle(), tmp_path / "run", limit=2)
    presence = Oracle()
    presence.key = change.get("presence", "oracle")
    with pytest.raises(ConfigError, match=message):
        evaluate(
            Segmenter(backbone, change.get("config")),
            dataset,
            presence,
            tmp_path / "run",
            limit=change.get("limit", 2),
            seed=change.get("seed", 0),
        )


def test_a_folder_with_other_things_is_left_alone(segmenter, dataset, oracle, tmp_path):
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "dear.txt").write_text("")
    with pytest.raises(ConfigError, match="not empty and holds no run"):
        evaluate(segmenter, dataset, oracle, tmp_path / "letters")
    with pytest.raises(InvalidInputError, match="holds no run"):
        read_run(tmp_path / "letters")


WORKER = """
import sys, time
from pathlib import Path
from pnpovss.evaluation.runs.evaluate import evaluate, run_summary
from pnpovss.segmenter import Segmenter
from pnpovss.config import Config
from tests.support.colours import Oracle, colour_dataset
from tests.support.fakes import colour_backbone

root, last = Path(sys.argv[1]), int(sys.argv[2])
data = colour_dataset(root / "data", count=12)
segmenter = Segmenter(colour_backbone(), Config.preset("default").without("crf"))
evaluate(segmenter, data, Oracle(), root / "run", on_image=lambda p: time.sleep(600 if p.done == last else 0))
"""


def test_kill_9_loses_nothing_and_counts_nothing_twice(tmp_path):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", WORKER, str(tmp_path)]
    journal = tmp_path / "run" / "images.jsonl"
    kept: list[str] = []
    for count in (3, 7):  # killed twice, each time with so many lines on the disk, after which it does nothing more
        worker = subprocess.Popen([*command, str(count)], env=environment)
        try:
            deadline = time.monotonic() + 120
            while not journal.exists() or journal.read_text().count("\n") < count:
                assert time.monotonic() < deadline, "the worker never got so far"
                assert worker.poll() is None, "the worker finished before it was killed"
                time.sleep(0.01)
        finally:
            worker.send_signal(signal.SIGKILL)
            worker.wait()
        lines = journal.read_text().splitlines()
        assert lines[: len(kept)] == kept, "finished images stay as they are"
        kept = lines
        with journal.open("a") as file:  # what a kill in the middle of a write leaves
            file.write('{"key":"photo1')
    assert not (tmp_path / "run" / "summary.json").exists()
    subprocess.run([*command, "0"], env=environment, check=True)

    run = read_run(tmp_path / "run")
    keys = [json.loads(line)["record"]["key"] for line in journal.read_text().splitlines()]
    assert sorted(keys) == sorted(f"photo{i}" for i in range(12)), "each photo once"
    assert len(run.sessions) == 3
    data = colour_dataset(tmp_path / "data", count=12)
    plain = Segmenter(colour_backbone(), Config.preset("default").without("crf"))
    whole = evaluate(plain, data, Oracle(), tmp_path / "whole")
    assert run_summary(run)["classes"] == whole["classes"]


def test_a_note_of_the_filter_is_kept(segmenter, dataset, tmp_path):
    class Notes(Oracle):
        def decide(self, photo, names):
            found = super().decide(photo, names)
            return Presence(found.kept, found.scores, note="asked twice")

    evaluate(segmenter, dataset, Notes(), tmp_path / "run", limit=1)
    [record] = read_run(tmp_path / "run").records.values()
    assert record["note"] == "asked twice"


@pytest.fixture
def chatting(tmp_path):
    """A server, and what makes a filter that asks it."""
    with chat.ChatServer() as server:
        settings = LlmSettings(base_url=server.url, cache=tmp_path / "answers", timeout=5, attempts=2)
        yield server, lambda: Llm("seer", settings, sleep=lambda seconds: None)


def test_photos_without_an_answer_count_as_naming_nothing_and_say_why(segmenter, dataset, chatting, tmp_path):
    server, ask = chatting
    nonsense = chat.say("I would rather not.")
    server.acts = [chat.answer([]), chat.fail(400, "content filter"), nonsense, nonsense, chat.answer([(1, "red", 95)])]
    summary = evaluate(segmenter, dataset, ask(), tmp_path / "run")
    records = read_run(tmp_path / "run").records
    assert len(records) == 6
    assert "no answer" in records["photo1"]["note"]
    assert "HTTP 400 (content filter)" in records["photo1"]["note"]
    assert "malformed answer" in records["photo2"]["note"]
    assert [records[f"photo{i}"]["asked"] for i in range(4)] == [[], [], [], [0]]
    assert [records[f"photo{i}"]["note"] for i in (0, 3)] == [None, None]
    assert summary["presence_report"]["failures"] == 2
    asked = len(server.requests)
    evaluate(segmenter, dataset, ask(), tmp_path / "run")
    assert len(server.requests) == asked, "the run is finished"


@pytest.mark.parametrize("trouble", [chat.fail(503), chat.fail(401), chat.slam], ids=["busy", "key", "broken"])
def test_what_is_no_answer_about_the_photo_ends_the_run_and_is_asked_again(
    segmenter, dataset, chatting, tmp_path, trouble
):
    server, ask = chatting
    server.acts = [chat.answer([]), trouble]
    with pytest.raises(PresenceError) as error:
        evaluate(segmenter, dataset, ask(), tmp_path / "run")
    assert not isinstance(error.value, UnansweredError)
    assert list(read_run(tmp_path / "run").records) == ["photo0"]
    server.acts = [chat.answer([(1, "red", 95)])]
    evaluate(segmenter, dataset, ask(), tmp_path / "run")
    assert read_run(tmp_path / "run").records["photo1"]["asked"] == [0]


def test_a_filter_without_an_answer_about_several_photos_in_a_row_ends_the_run(
    segmenter, dataset, chatting, tmp_path, monkeypatch
):
    """A model that takes no photos must not make a score of background alone."""
    monkeypatch.setattr("pnpovss.evaluation.runs.engine.MOST_UNANSWERED", 3)
    server, ask = chatting
    server.acts = [chat.fail(400, "this model takes no photos")]
    for done in (2, 4):  # each time the run gets on, whatever comes
        with pytest.raises(UnansweredError, match="takes no photos"):
            evaluate(segmenter, dataset, ask(), tmp_path / "run")
        assert len(read_run(tmp_path / "run").records) == done


def test_answers_that_do_not_fit_are_told_before_the_first_photo(segmenter, dataset, tmp_path):
    """Mended ones make another run: photos done until then would be lost."""
    answers, out = tmp_path / "answers.json", tmp_path / "run"
    answers.write_text(json.dumps({f"photo{i}": ["red"] for i in range(5)}))
    said = r"does not fit the 6 photos; photos without names: 1 \('photo5'\)\. It has 5 photos"
    with pytest.raises(PresenceError, match=said):
        evaluate(segmenter, dataset, make_presence(f"file:{answers}"), out)
    assert not out.exists()
    answers.write_text(json.dumps({f"photo{i}": ["red"] for i in range(6)}))
    assert evaluate(segmenter, dataset, make_presence(f"file:{answers}"), out)["presence_report"]["photos"] == 6


def test_scores_that_almost_agree_are_still_told_apart(segmenter, dataset, tmp_path):
    """As those of a matching head that is sure: a match of 0.999999 is above one of 0.999996."""
    there, absent = (float(np.float32(score)) for score in (0.999999, 0.999996))

    class Sure(Oracle):
        def decide(self, photo, names):
            kept = super().decide(photo, names).kept
            return Presence(kept, tuple(there if i in kept else absent for i in range(len(names))))

    summary = evaluate(segmenter, dataset, Sure(), tmp_path / "run")
    assert summary["presence"]["average_precision"] == 1
    records = read_run(tmp_path / "run").records.values()
    assert {tuple(record["presence_scores"]) for record in records if record["present"] == [0]} == {
        (there, absent, absent)
    }
