"""Sentences that are given as names are told from names, and taken apart."""

import pytest

from pnpovss.errors import NamesError
from pnpovss.hints.sentences import sentences
from pnpovss.names import Name, parse_names
from pnpovss.sentences import is_function_word, is_sentence, things_in


@pytest.mark.parametrize(
    ("sentence", "things"),
    [
        ("a dog on a red sofa", ("dog", "red sofa")),
        ("A man is riding a horse across the beach.", ("man", "horse", "beach")),
        ("two cats sit beside a cup of coffee", ("two cats", "cup of coffee")),
        ("a woman at a dining table in a building", ("woman", "dining table", "building")),
        ("there is a dog and a dog next to the king", ("dog", "king")),
    ],
)
def test_sentences_fall_apart_into_things(sentence: str, things: tuple[str, ...]):
    assert is_sentence(sentence)
    assert things_in(sentence) == things


@pytest.mark.parametrize(
    "name", ["cat", "potted plant", "cup of coffee", "man in a red jacket", "a plant in a pot", "a very old red sofa"]
)
def test_names_are_no_sentences(name: str):
    assert not is_sentence(name)


def test_function_words_are_known_with_their_stops():
    assert is_function_word("The")
    assert is_function_word("on,")
    assert not is_function_word("sofa")


def test_a_sentence_is_told_with_what_to_write_instead():
    [line] = sentences([Name("cat"), Name("a dog on a red sofa")])
    assert '--names "dog, red sofa"' in line
    assert sentences([Name("cat"), Name("potted plant", ("plant in a pot",))]) == []


def test_one_string_in_python_is_refused_with_the_list_that_was_meant():
    with pytest.raises(NamesError, match=r"write \['dog', 'red sofa'\]"):
        parse_names("a dog on a red sofa")
    with pytest.raises(NamesError, match=r"write \['potted plant'\]"):
        parse_names("potted plant")
