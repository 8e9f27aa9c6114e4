import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pnpovss.errors import PresenceError
from pnpovss.presence import Rule, parse_rule


@pytest.mark.parametrize(
    ("rule", "scores", "kept"),
    [
        ("0.5", [0.9, 0.5, 0.6], (0, 2)),  # to be exceeded, not met
        ("0.95", [0.1, 0.7, 0.6], (1,)),  # nothing passes: the best
        ("top2", [0.1, 0.7, 0.6, 0.65], (1, 3)),
        ("top9", [0.1, 0.7], (0, 1)),
        ("top1", [0.7, 0.7], (0,)),
        ("within0.25", [0.5, 0.75, 0.25], (0, 1)),
        ("0.3,top2,within0.5", [0.9, 0.5, 0.45, 0.1], (0, 1)),
    ],
)
def test_rules_by_hand(rule, scores, kept):
    assert parse_rule(rule).keep(scores) == kept


@given(
    st.lists(st.floats(-1, 1), min_size=1, max_size=8),
    st.none() | st.floats(-1, 1),
    st.none() | st.integers(1, 9),
    st.none() | st.floats(0, 2),
)
@settings(max_examples=60, deadline=None)
def test_the_best_name_is_always_kept(scores, above, top, within):
    kept = Rule(above, top, within).keep(scores)
    assert list(kept) == sorted(set(kept))
    assert max(scores) in [scores[i] for i in kept]
    assert len(kept) <= (top or len(scores))


@given(
    st.none() | st.integers(-90, 90).map(lambda n: n / 100), st.none() | st.integers(1, 9), st.sampled_from([None, 0.5])
)
def test_written_rules_are_read_back(above, top, within):
    rule = Rule(above, top, within)
    if rule != Rule():
        assert parse_rule(str(rule)) == rule


@pytest.mark.parametrize("text", ["", "top", "best", "topx", "within", "0.5;top2", "top2.5"])
def test_what_is_no_rule(text):
    with pytest.raises(PresenceError, match="is no rule for keeping names"):
        parse_rule(text)


@pytest.mark.parametrize("text", ["70", "1.5,top3", "nan", "inf"])
def test_scores_that_nothing_exceeds(text):
    with pytest.raises(PresenceError, match=r"no score exceeds .*; write 0\.7 for 70%"):
        parse_rule(text)


def test_rules_out_of_range():
    with pytest.raises(PresenceError, match="top0 would keep no name"):
        parse_rule("top0")
    with pytest.raises(PresenceError, match="0 or more"):
        parse_rule("within-1")
