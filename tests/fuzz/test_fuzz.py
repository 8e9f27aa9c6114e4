"""A few of the inputs that `python -m tests.fuzz` tries, and the hunt itself."""

import pytest

from tests.fuzz.__main__ import FINDS, table_of
from tests.fuzz.hunt import hunt

FEW = {
    "photos": 300,
    "pictures": 150,
    "names": 40,
    "settings": 60,
    "checkpoints": 40,
    "results": 60,
    "chat": 40,
    "journals": 40,
}


@pytest.mark.parametrize("name", FEW)
def test_only_our_own_exceptions_come_out(name: str):
    outcomes = hunt(name, range(FEW[name]), seed=1)
    assert len(outcomes) == FEW[name]
    assert not [outcome for outcome in outcomes if outcome.kind in FINDS]
    assert {outcome.kind for outcome in outcomes} == {"taken", "refused"}, "damage is to be of both kinds"


def test_the_hunt_finds_every_kind():
    outcomes = hunt("faults:Faults", range(8), seed=0, limits=(5, 200 << 20))
    kinds = [outcome.kind for outcome in outcomes]
    assert kinds == ["taken", "refused", "foreign", "foreign", "crash", "hang", "large", "large"]
    assert "KeyError: 'foreign'" in outcomes[2].told
    assert "in run" in outcomes[5].told, "where it hung"
    assert outcomes[7].peak > 200 << 20
    assert "| all | 8 | 1 | 1 | 2 | 1 | 1 | 2 |" in table_of({"faults": outcomes}, 0)


def test_an_input_is_made_of_seed_and_number_alone():
    several = hunt("pictures", range(40), seed=3)
    [alone] = hunt("pictures", [37], seed=3)
    assert (alone.kind, alone.told) == (several[37].kind, several[37].told)
