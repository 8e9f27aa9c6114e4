"""What a program is answered."""

import asyncio
import base64
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from pnpovss import Segmenter
from pnpovss.config import PRESETS
from pnpovss.results import rle
from pnpovss.results.segmentation import Segmentation
from pnpovss.service import answers
from pnpovss.service.limits import Limits
from pnpovss.service.work import Late, Workers
from tests.service.conftest import Serve, serving
from tests.support.fakes import FakeBackbone, colour_backbone
from tests.support.program_calls import save_flag

CAT = Path(__file__).parents[2] / "examples" / "cat.jpg"


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    """One service for many requests that it refuses."""
    with pytest.MonkeyPatch.context() as patch, serving(patch, colour_backbone()) as start:
        yield start(limits=Limits(body_bytes=1_000_000))


@pytest.fixture
def flag(tmp_path: Path) -> bytes:
    return save_flag(tmp_path / "flag.png").read_bytes()


def data_url(content: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


def post(client: TestClient, content: bytes, names: str = "red, blue", address: str = "/v1/segment", **fields: str):
    return client.post(address, data={"names": names, **fields}, files={"photo": ("flag.png", content)})


def test_form_and_json_are_answered_alike_with_the_masks_of_python(serve: Serve, backbone: FakeBackbone, flag: bytes):
    client = serve()
    answer = post(client, flag, names="red, blue")
    assert answer.status_code == 200
    record = answer.json()
    names = ["red", "blue"]
    again = client.post("/v1/segment", json={"photo": data_url(flag), "names": names}).json()
    assert again == record
    own = Segmenter(backbone, Segmenter(backbone).config.replace({"presence": None, "crf": None}))(flag, names)
    for row in record["names"]:
        assert (rle.decode(row["segmentation"]) == own.mask(row["name"])).all()
    assert record["photo_id"] == answer.headers["photo-id"]
    assert "compute;dur=" in answer.headers["server-timing"]


def test_each_output_is_of_its_kind(serve: Serve, flag: bytes, tmp_path: Path):
    client = serve()
    labels = np.array(Image.open(io.BytesIO(post(client, flag, outputs="labels").content)))
    assert set(np.unique(labels)) <= {0, 1, 2}
    overlay = post(client, flag, outputs="overlay")
    assert (overlay.headers["content-type"], overlay.content[:4]) == ("image/png", b"\x89PNG")
    (tmp_path / "all.npz").write_bytes(post(client, flag, outputs="npz").content)
    assert (Segmentation.load(tmp_path / "all.npz").labels == labels).all()
    polygons = post(client, flag, outputs="polygons").json()
    assert all(len(polygon) >= 6 for row in polygons["names"] for polygon in row["polygons"])
    view = post(client, flag, outputs="view").json()
    shown = np.array(Image.open(io.BytesIO(base64.b64decode(view["labels"]))))
    assert (shown == labels).all()
    assert [word["word"] for word in view["words"]] == ["A", "picture", "of", "red", "blue"]
    assert set(view["name_maps"]) == {"0", "1"}
    for kinds, files in {
        "heat": {"photo.json", "photo.heat-1-red.png", "photo.heat-2-blue.png"},
        "words,labels": {"photo.json", "photo.labels.png", *(f"photo.word-{i}.png" for i in range(1, 6))},
        "polygons,npz,overlay": {"photo.json", "photo.polygons.json", "photo.npz", "photo.overlay.png"},
    }.items():
        archive = zipfile.ZipFile(io.BytesIO(post(client, flag, outputs=kinds).content))
        assert set(archive.namelist()) == files
        assert json.loads(archive.read("photo.json"))["height"] == 32


def test_pictures_of_words_are_small_whatever_the_photo_and_end_with_the_request(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
):
    file, drawn = io.BytesIO(), []
    Image.new("RGB", (1600, 800), (255, 0, 0)).save(file, "PNG")
    client = serve()
    archive = zipfile.ZipFile(io.BytesIO(post(client, file.getvalue(), names="red, blue", outputs="words").content))
    pictures = [Image.open(archive.open(f"photo.word-{i}.png")) for i in range(1, 6)]
    assert {picture.width for picture in pictures} == {640}
    assert all(320 < picture.height < 400 for picture in pictures), "with a line below that says the word"

    def late() -> None:
        if len(drawn) == 2:
            raise Late

    draw = answers.heat_picture
    monkeypatch.setattr(answers, "heat_picture", lambda *given: drawn.append(1) or draw(*given))
    monkeypatch.setattr(answers, "go_on", late)
    assert post(client, file.getvalue(), names="red, blue", outputs="words").status_code == 503
    assert len(drawn) == 2


def test_a_second_word_encodes_nothing_and_a_threshold_asks_nothing(serve: Serve, backbone: FakeBackbone, flag: bytes):
    client = serve()
    photo = post(client, flag, names="red").json()["photo_id"]
    encoded = len(backbone.encoded)
    second = client.post("/v1/segment", json={"photo_id": photo, "names": ["red", "green"]})
    assert second.status_code == 200
    asked: list[int] = []
    backbone.match = lambda *arguments: asked.append(1)  # type: ignore[method-assign]
    changed = {"photo_id": photo, "names": ["red", "green"], "settings": {"threshold": 0.6}, "draft": True}
    assert client.post("/v1/segment", json=changed).status_code == 200
    assert not asked
    assert len(backbone.encoded) == encoded


def test_what_is_remembered_changes_no_answer(serve: Serve, flag: bytes):
    remembering, forgetful = serve(), serve(limits=Limits(memory_bytes=0))
    for names in ("red", "red, blue", "blue"):
        for settings in ({}, {"threshold": 0.5}, {"blur": None}, {"dropout.passes": 2}):
            fields = {"names": names, "settings": json.dumps(settings)}
            assert post(remembering, flag, **fields).json() == post(forgetful, flag, **fields).json()


def test_a_view_tells_things_apart(serve: Serve):
    file = io.BytesIO()
    photo = np.zeros((64, 64, 3), np.uint8)
    photo[:, :16] = photo[:, 48:] = (255, 0, 0)
    Image.fromarray(photo).save(file, "PNG")
    client = serve()
    settings = json.dumps({"instances.split": "pieces", "blur": None, "dropout": None})
    view = post(client, file.getvalue(), names="red", outputs="view", settings=settings).json()
    one, other = view["instances"]
    assert (one["number"], other["number"]) == (1, 2)
    assert one["name"] == other["name"] == 0
    assert 0 < one["score"] <= 1
    colours = np.array(Image.open(io.BytesIO(base64.b64decode(view["numbers"]))))
    numbers = colours[..., 0] + 256 * colours[..., 1].astype(int)
    labels = np.array(Image.open(io.BytesIO(base64.b64decode(view["labels"]))))
    assert ((numbers > 0) == (labels > 0)).all()
    for row in (one, other):
        x, y = row["place"]
        assert numbers[y, x] == row["number"]
        assert row["share"] == (numbers == row["number"]).mean()
    plain = post(client, file.getvalue(), names="red", outputs="view").json()
    assert plain["instances"] is plain["numbers"] is None


def test_names_are_matched(serve: Serve, flag: bytes):
    answer = post(serve(), flag, names='["red", ["blue", "green"]]', address="/v1/match")
    rows = answer.json()["names"]
    assert [(row["name"], row["synonyms"]) for row in rows] == [("red", []), ("blue", ["green"])]
    assert all(0 <= row["match"] <= 1 for row in rows)


def test_the_method_is_told_step_by_step(serve: Serve, flag: bytes):
    settings = json.dumps({"dropout.passes": 3, "dropout.drop": 4, "blur.sigma": 0.02})
    told = post(serve(), flag, address="/v1/steps", settings=settings).json()
    assert told["grid"] == [4, 4]
    kept = [np.frombuffer(base64.b64decode(each["kept"]), np.uint8).sum() for each in told["passes"]]
    assert kept == [16, 12, 8]
    assert [stage["step"] for stage in told["stages"]] == ["threshold", "blur"]
    maps = {each["step"]: each["maps"] for each in told["maps"]}
    assert list(maps) == ["attention", "GradCAM", "3 passes", "threshold"]
    assert maps["3 passes"][0]["top"] <= sum(each["maps"][0]["top"] for each in told["passes"]) + 1e-6
    assert (np.frombuffer(base64.b64decode(maps["threshold"][0]["values"]), np.uint8) == 0).any()
    assert told["kept"] == [0, 1]
    nothing = post(serve(), flag, address="/v1/steps", settings=json.dumps({"presence.above": 1}))
    assert nothing.json()["field"] == "names"
    assert "is held to be in the photo" in nothing.json()["detail"]


def test_every_head_is_shown(serve: Serve, backbone: FakeBackbone, flag: bytes):
    backbone.heads = {0: 2, 3: 2, 4: 1}
    told = post(serve(), flag, address="/v1/heads").json()
    assert [(each["layer"], each["head"]) for each in told["heads"]] == [(0, 0), (0, 1), (3, 0), (3, 1), (4, 0)]
    assert told["heads"][1]["maps"][0]["top"] == pytest.approx(2 * told["heads"][0]["maps"][0]["top"])
    assert told["read"] == [[0, 0]]
    backbone.gradientless = (3, 4)
    client = serve()
    told = post(client, flag, address="/v1/heads").json()
    assert [(each["layer"], each["head"]) for each in told["heads"]] == [(0, 0), (0, 1)]
    assert client.get("/v1/models").json()[0]["heads"] == {"0": 2}


def test_model_and_settings_are_told(serve: Serve):
    client = serve()
    [model] = client.get("/v1/models").json()
    assert (model["name"], model["patch"], model["heads"]) == ("fake", 8, {"0": 1})
    told = client.get("/v1/settings").json()
    rows = {row["name"]: row for row in told["settings"]}
    assert rows["threshold"]["value"] == 0.15
    assert rows["threshold"]["schema"]["anyOf"][0]["exclusiveMaximum"] == 1
    assert rows["crf"]["value"] is None
    assert rows["dropout.drop"]["presets"] == {"default": 0.5, "best": 0.5, "paper": 0.5, "authors": 10}
    assert told["limits"]["names"] == 64


def test_filters_that_ask_the_model_may_be_named(serve: Serve, flag: bytes):
    client = serve()
    kept = [row["kept"] for row in post(client, flag, presence="itm:top1").json()["names"]]
    assert kept.count(True) == 1
    assert [row["kept"] for row in post(client, flag, presence="all").json()["names"]] == [True, True]
    idle = post(client, flag, presence="itm", settings=json.dumps({"presence.above": 0.2}))
    assert (idle.status_code, idle.json()["field"]) == (422, "presence")
    assert "in whose place the filter 'itm' decides" in idle.json()["detail"]


def test_a_field_that_cannot_be_read_is_named(serve: Serve, flag: bytes):
    answer = post(serve(), flag, settings="threshold=0.2")
    assert (answer.status_code, answer.json()["field"]) == (400, "settings")


BAD = {
    "no photo": ({"names": ["red"]}, 422, "photo", "give the photo"),
    "two photos": (
        {"names": ["red"], "photo": "data:;base64,", "photo_id": f"sha256:{'0' * 64}"},
        422,
        "photo",
        "both",
    ),
    "a file": ({"names": ["red"], "photo": "file:///etc/passwd"}, 422, "photo", "pattern"),
    "an address": ({"names": ["red"], "photo": "http://127.0.0.1:1/x.png"}, 422, "photo", "pattern"),
    "no base64": ({"names": ["red"], "photo": "data:image/png;base64,?"}, 422, "photo", "no base64"),
    "a text": ({"names": ["red"], "photo": "data:text/plain;base64,aGVsbG8="}, 422, "photo", "seems to be text"),
    "unknown id": ({"names": ["red"], "photo_id": f"sha256:{'0' * 64}"}, 404, "photo", "not remembered"),
    "no names": ({"photo": "data:;base64,"}, 422, "names", "required"),
    "no name": ({"names": [], "photo": "data:;base64,"}, 422, "names", "no names were given"),
    "twice": ({"names": ["red", "Red"], "photo": "data:;base64,"}, 422, "names", "give every name and synonym once"),
    "long": ({"names": ["x" * 300], "photo": "data:;base64,"}, 422, "names", "300 letters"),
    "many": (
        {"names": [f"x{chr(97 + i % 26)}{i}" for i in range(65)], "photo": "data:;base64,"},
        422,
        "names",
        "65 names",
    ),
    "many, counted before they are read": ({"names": ["x"] * 65, "photo": "data:;base64,"}, 422, "names", "65 names"),
    "many words": ({"names": [["x"] * 257], "photo": "data:;base64,"}, 422, "names", "257 words"),
    "step": ({"names": ["red"], "photo": "data:;base64,", "without": ["sleep"]}, 422, "settings", "no step is called"),
    "setting": ({"names": ["red"], "photo": "data:;base64,", "settings": {"x": 1}}, 422, "settings", "unknown setting"),
    "range": (
        {"names": ["red"], "photo": "data:;base64,", "settings": {"threshold": 2}},
        422,
        "settings",
        "less than 1",
    ),
    "dear": (
        {"names": ["red"], "photo": "data:;base64,", "settings": {"dropout.passes": 99}},
        422,
        "settings",
        "at most 16",
    ),
    "many looks": (
        {
            "names": ["red"],
            "photo": "data:;base64,",
            "settings": {"views.tiles": [0.5, 0.51, 0.52, 0.53, 0.54, 0.55, 0.56, 0.57], "views.tiles_across": 8},
        },
        422,
        "settings",
        "at most 40, got 514",
    ),
    "many tiles": (
        {"names": ["red"], "photo": "data:;base64,", "settings": {"views.tiles": [0.5] * 200}},
        422,
        "settings",
        "views.tiles",
    ),
    "opens files": (
        {"names": ["red"], "photo": "data:;base64,", "presence": "file:/etc/passwd"},
        422,
        "presence",
        "opens",
    ),
    "asks others": ({"names": ["red"], "photo": "data:;base64,", "presence": "llm:x"}, 422, "presence", "opens"),
    "unknown": ({"names": ["red"], "photo": "data:;base64,", "sleep": 5}, 422, "sleep", "not permitted"),
    "output": ({"names": ["red"], "photo": "data:;base64,", "outputs": ["gif"]}, 422, "outputs", "polygons"),
}


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_that_is_listed_can_be_asked_for(client: TestClient, flag: bytes, preset: str):
    assert preset in client.get("/v1/settings").json()["presets"]
    body = {"names": ["red"], "photo": data_url(flag), "preset": preset, "without": ["presence", "crf"]}
    answer = client.post("/v1/segment", json=body)
    assert answer.status_code == 200, answer.json()


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_is_said_and_where(client: TestClient, case: str):
    body, status, field, says = BAD[case]
    answer = client.post("/v1/segment", json=body)
    problem = answer.json()
    assert (answer.status_code, problem["status"]) == (status, status), problem
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["field"] == field
    assert says in problem["detail"]
    assert problem["instance"].endswith(answer.headers["x-request-id"])


@pytest.mark.parametrize(
    ("body", "kind", "status", "says"),
    [
        (b"{", "application/json", 400, "no JSON"),
        (b"[1]", "application/json", 400, "send an object"),
        (b'{"names": NaN}', "application/json", 400, "NaN"),
        (b"[" * 10_000, "application/json", 400, "nested too deep"),
        (b"[" * 10_001, "application/json", 413, "there are 10,001 commas, lists and objects"),
        (b'{"names": [' + b"1," * 400_000 + b"1]}", "application/json", 413, "this service takes 10,000"),
        (
            b'{"settings": {"heads": [' + b"[0,0]," * 100_000 + b"[0,0]]}}",
            "application/json",
            413,
            "ask for less",
        ),
        (b"hello", "text/plain", 415, "text/plain"),
        (b"hello", "multipart/form-data", 400, "boundary"),
        (b"hello", "multipart/form-data; boundary=x", 400, "form"),
        (b"x" * 2_000_000, "application/json", 413, "1,000,000 bytes"),
    ],
)
def test_bodies_that_cannot_be_read(client: TestClient, body: bytes, kind: str, status: int, says: str):
    answer = client.post("/v1/segment", content=body, headers={"content-type": kind})
    assert answer.status_code == status, answer.text
    assert says in answer.json()["detail"]


def test_forms_that_cannot_be_read(serve: Serve, flag: bytes):
    client = serve()
    for fields, files, says in (
        ({"names": "red"}, [("photo", flag), ("photo", flag)], "Too many files"),
        ({"names": "red", "photo": "data:;base64,"}, [("photo", flag)], "twice"),
        ({"names": "red"}, [("other", flag)], "only the photo"),
        ({"names": "[red"}, [("photo", flag)], "field names"),
        ({"names": ["red", "blue"]}, [("photo", flag)], "twice"),
    ):
        answer = client.post("/v1/segment", data=fields, files=[(key, ("x.png", value)) for key, value in files])
        assert answer.status_code == 400, answer.text
        assert says in answer.json()["detail"]
    for fields in ({"names": "x," * 20_000}, {"names": "red", "settings": f'{{"heads": [{"0," * 20_000}0]}}'}):
        answer = post(client, flag, **fields)
        assert answer.status_code == 413, answer.text
        assert "this service takes 10,000" in answer.json()["detail"]


def test_too_much_for_one_request_is_refused_before_it_is_tried(serve: Serve, backbone: FakeBackbone, flag: bytes):
    few = serve(limits=Limits(scores=2000))
    backbone.encoded.clear()  # of the picture that warms up
    assert "need more memory" in post(few, flag).json()["detail"]
    small = serve(limits=Limits(pixels=1000))
    backbone.encoded.clear()
    assert "more than the limit of 1,000" in post(small, flag).json()["detail"]
    crf = serve(limits=Limits(crf_pixels=1000))
    backbone.encoded.clear()
    assert 'settings={"crf.max_pixels": 1000}' in post(crf, flag, settings='{"crf.iterations": 2}').json()["detail"]
    assert not backbone.encoded


def test_what_takes_too_long_or_is_no_bug_of_the_client_is_told(serve: Serve, backbone: FakeBackbone, flag: bytes):
    late = post(serve(limits=Limits(seconds=-1)), flag)
    assert (late.status_code, late.headers["retry-after"]) == (503, "5")
    assert "was not done within -1 s" in late.json()["detail"]
    assert post(serve(), flag, outputs="instances").json()["status"] == 422


@pytest.mark.parametrize("full", [False, True])
def test_a_body_that_comes_too_slowly_is_told_so(serve: Serve, monkeypatch: pytest.MonkeyPatch, full: bool):
    client, answered = serve(limits=Limits(upload_seconds=0.2)), []
    monkeypatch.setattr(Workers, "is_full", full)  # who will be refused is waited for no longer
    left = [{"type": "http.request", "body": b"a part", "more_body": True}]

    async def receive():
        if not left:
            await asyncio.sleep(60)
        return left.pop()

    async def send(message):
        answered.append(message)

    headers = [(b"host", b"127.0.0.1"), (b"content-type", b"application/json"), (b"content-length", b"1000")]
    scope = {"type": "http", "method": "POST", "path": "/v1/segment", "query_string": b"", "headers": headers}
    asyncio.run(client.app(scope, receive, send))
    assert answered[0]["status"] == 408
    problem = json.loads(answered[1]["body"])
    assert problem["type"] == "urn:pnpovss:problem:slow"
    assert problem["detail"] == "the body did not arrive within 0.2 s, the limit of this service"


def test_bodies_that_arrive_at_once_are_bounded_together(serve: Serve):
    client = serve(limits=Limits(body_bytes=1000, arriving=1))
    headers = [(b"host", b"127.0.0.1"), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/v1/segment", "query_string": b"", "headers": headers}

    def part(size: int, *, more: bool = False) -> dict:
        return {"type": "http.request", "body": b"x" * size, "more_body": more}

    async def call(parts: asyncio.Queue) -> list[dict]:
        answered: list[dict] = []

        async def send(message):
            answered.append(message)

        await client.app(dict(scope), parts.get, send)
        return answered

    def of(*parts: dict) -> asyncio.Queue:
        queue = asyncio.Queue()
        for each in parts:
            queue.put_nowait(each)
        return queue

    async def main() -> None:
        slow = of(part(900, more=True))
        held = asyncio.create_task(call(slow))
        while not slow.empty():
            await asyncio.sleep(0)
        left = of(part(50, more=True), part(60, more=True), part(300))
        [begin, _] = await call(left)
        assert begin["status"] == 429
        assert int(dict(begin["headers"])[b"retry-after"]) >= 1
        assert left.empty(), "the answer came before all was read"
        slow.put_nowait({"type": "http.disconnect"})
        await held
        [begin, body] = await call(of(part(1000)))  # all room was given back
        assert (begin["status"], "no JSON" in json.loads(body["body"])["detail"]) == (400, True)

    asyncio.run(main())


def test_the_answer_is_that_of_the_command_line_and_of_python(call_mini, serve: Serve, tmp_path: Path):
    names = ["cat", ["sofa", "couch"], "grass"]
    client = serve("mini")
    for settings in ({}, {"threshold": 0.4, "crf.iterations": 3}):
        answer = client.post(
            "/v1/segment",
            data={"names": json.dumps(names), "settings": json.dumps(settings), "outputs": "labels"},
            files={"photo": ("cat.jpg", CAT.read_bytes())},
        )
        assert answer.status_code == 200, answer.text
        labels = np.array(Image.open(io.BytesIO(answer.content)))
        own = Segmenter.from_pretrained("mini", settings=settings)(CAT, names)
        assert (labels == own.labels).all()
        assert (labels == call_mini(names, settings)).all()


@pytest.fixture
def call_mini(tmp_path: Path):
    """Label maps of the command line."""
    from typer.testing import CliRunner

    from pnpovss.cli.main import app

    def call(names: list, settings: dict) -> np.ndarray:
        (tmp_path / "names.txt").write_text("\n".join(", ".join([n] if isinstance(n, str) else n) for n in names))
        replaced = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
        given = [
            "segment",
            str(CAT),
            "--names-file",
            str(tmp_path / "names.txt"),
            "--out",
            str(tmp_path / "out"),
            "--redo",
        ]
        done = CliRunner().invoke(app, [*given, "--overwrite", *replaced])
        assert done.exit_code == 0, done.output
        return np.array(Image.open(tmp_path / "out" / "cat.labels.png"))

    return call
