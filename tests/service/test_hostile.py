"""Damaged uploads, odd bodies, and whatever the document of the API allows: reasons come back, the service lives on."""

import shutil
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from tests.fuzz.mutate import change_bytes, change_json, odd_text
from tests.fuzz.targets.photos import _seeds
from tests.service.conftest import Serve, Served
from tests.service.test_api import data_url, post
from tests.support.program_calls import save_flag

PHOTOS, BODIES = 120, 80
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


def test_damaged_photos_are_taken_or_refused_with_a_reason(serve: Serve, tmp_path: Path):
    client, rng = serve(), Random(1)
    seeds = [content for suffix, content in _seeds(tmp_path) if len(content) < 100_000]
    statuses = set()
    for number in range(PHOTOS):
        answer = post(client, change_bytes(seeds[number % len(seeds)], rng), names="red")
        statuses.add(answer.status_code)
        assert answer.status_code in (200, 422), answer.text
        if answer.status_code == 422:
            assert answer.json()["field"] == "photo"
            assert len(answer.json()["detail"]) > 20
    assert statuses == {200, 422}
    assert client.get("/readyz").status_code == 200


def test_odd_bodies_are_refused_with_a_reason(serve: Serve, tmp_path: Path):
    client, rng = serve(), Random(2)
    flag = data_url(save_flag(tmp_path / "flag.png").read_bytes())
    body = {"photo": flag, "names": ["red", ["blue", "navy"]], "settings": {"threshold": 0.3, "dropout.passes": 2}}
    for number in range(BODIES):
        if number % 4:
            content = change_json({**body, "without": ["blur"], "outputs": ["polygons"], "draft": False}, rng)
            headers = {"content-type": "application/json"}
            answer = client.post("/v1/segment", content=content.encode("utf-8", "surrogatepass"), headers=headers)
        else:
            fields = {name: odd_text(rng).encode("utf-8", "surrogatepass") for name in ("names", "settings", "outputs")}
            answer = client.post("/v1/segment", data=fields, files={"photo": ("x", b"x")})
        assert answer.status_code < 500, answer.text
        if answer.status_code >= 400:
            assert answer.json()["detail"]
    assert client.get("/readyz").status_code == 200


@pytest.mark.extra("fuzz-http")
def test_whatever_the_document_allows_is_answered_as_it_says(mini: Served):
    program = shutil.which("schemathesis", path=str(Path(sys.executable).parent))
    options = ["--checks", CHECKS, "--max-examples", "20", "--seed", "1", "--phases", "examples,coverage,fuzzing"]
    call = [program or "schemathesis", "run", f"{mini.url}openapi.json", *options]
    done = subprocess.run(call, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout[-4000:]
