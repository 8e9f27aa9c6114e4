import re
from dataclasses import replace

import pytest

from pnpovss.errors import NamesError
from pnpovss.names import parse_names
from pnpovss.prompts import TextTokens, build_prompts
from tests.support.fakes import FakeBackbone

tokenize = FakeBackbone().tokenize


def pieces(tokens: TextTokens, indices: tuple[int, ...]) -> list[str]:
    return [tokens.pieces[i] for i in indices]


def test_the_prompt_is_the_papers() -> None:
    [prompt] = build_prompts(parse_names(["cat", "potted plant"]), tokenize, 35).each
    assert prompt.text == "A picture of cat potted plant"
    assert pieces(prompt.tokens, prompt.name_tokens[0]) == ["cat"]
    assert pieces(prompt.tokens, prompt.name_tokens[1]) == ["potted", "plant"]
    assert prompt.words == ("A", "picture", "of", "cat", "potted", "plant")
    assert pieces(prompt.tokens, prompt.word_tokens[5]) == ["plant"]


def test_names_are_found_by_where_they_stand_not_by_how_their_pieces_look() -> None:
    [prompt] = build_prompts(parse_names(["t-shirt", "shirt"]), tokenize, 35).each
    assert pieces(prompt.tokens, prompt.name_tokens[0]) == ["t", "-", "shirt"]
    assert prompt.name_tokens[1] == (prompt.name_tokens[0][-1] + 1,)


def test_squashing_writes_a_name_as_one_word() -> None:
    [prompt] = build_prompts(parse_names(["potted plant", "tv monitor"]), tokenize, 35, squash=True).each
    assert prompt.text == "A picture of pottedplant tvmonitor"


@pytest.mark.parametrize("squash", [False, True])
def test_words_of_names_are_told_from_the_prompts_own(squash: bool) -> None:
    names = parse_names(["motion picture", "picture frame", "cat"])
    prompts = build_prompts(names, tokenize, 35, squash=squash, joint=False, wording="A picture of {}?")
    told = [prompts.words[i] for i in prompts.words_of_names]
    two = ["motionpicture", "pictureframe"] if squash else ["motion", "picture", "picture", "frame"]
    assert told == [*two, "cat"]


def test_synonyms_share_a_name() -> None:
    [prompt] = build_prompts(parse_names([["sofa", "couch"], "cat"]), tokenize, 35).each
    assert prompt.text == "A picture of sofa couch cat"
    assert pieces(prompt.tokens, prompt.name_tokens[0]) == ["sofa", "couch"]


def test_names_that_do_not_fit_go_into_further_prompts() -> None:
    names = parse_names([f"thing{i}" for i in range(10)])
    prompts = build_prompts(names, tokenize, 9).each  # [ENC] A picture of ... [SEP]: four names fit
    assert [prompt.names for prompt in prompts] == [(0, 1, 2, 3), (4, 5, 6, 7), (8, 9)]
    assert all(len(prompt.tokens) <= 9 for prompt in prompts)


def test_a_name_longer_than_the_text_encoder_is_refused() -> None:
    with pytest.raises(NamesError, match=r"'word word .*\.\.\.' is too long: 45 tokens .* takes 35"):
        build_prompts(parse_names(["cat", "word " * 40]), tokenize, 35)


def without_emoji(text: str) -> TextTokens:
    """Tokens of a vocabulary that writes no emoji; an exclamation mark is dropped before it sees it."""
    tokens = tokenize(text.replace("!", " "))
    return replace(tokens, unknown=tuple(i for i, piece in enumerate(tokens.pieces) if not piece.isascii()))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("🐱", "the name '🐱'"),
        ("!", "the name '!'"),
        ("cat 🐱", "'🐱' (name 'cat 🐱')"),
        (["cat", "🐱"], "'🐱' (name 'cat')"),
        (["cat", "!"], "'!' (name 'cat')"),
    ],
)
@pytest.mark.parametrize("wording", ["A picture of {}", 'Does it show "{}"?'])
def test_a_name_that_the_vocabulary_cannot_write_is_refused(name: str | list[str], said: str, wording: str) -> None:
    for joint in (True, False):
        with pytest.raises(NamesError, match=re.escape(f"vocabulary cannot write {said}; say it in English")):
            build_prompts(parse_names(["dog", name]), without_emoji, 35, joint=joint, wording=wording)


def test_a_sign_that_leaves_no_token_may_stand_in_a_phrase() -> None:
    [prompt] = build_prompts(parse_names(["hot ! dog"]), without_emoji, 35).each
    assert pieces(prompt.tokens, prompt.name_tokens[0]) == ["hot", "dog"]


def test_a_prompt_per_name_where_the_model_wants_it() -> None:
    prompts = build_prompts(parse_names([["sofa", "couch"], "cat"]), tokenize, 35, joint=False)
    assert prompts.texts == ("A picture of sofa couch", "A picture of cat")
    assert prompts.words == ("A", "picture", "of", "sofa", "couch", "A", "picture", "of", "cat")
    assert prompts.name_tokens == [(4, 5), (7 + 4,)]  # [ENC] A picture of sofa couch [SEP] [ENC] A picture of cat
    assert prompts.word_tokens[-1] == (7 + 4,)


def test_no_names_make_no_prompts() -> None:
    assert build_prompts([], tokenize, 35).each == ()
