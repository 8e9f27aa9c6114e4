"""Sentences that are given as names: "a dog on a red sofa" is one name to the method, and is mostly meant to be two."""

import re

__all__ = ["is_function_word", "is_sentence", "things_in"]

_FUNCTION_WORDS = frozenset(
    "a an the this that these those some any each every no my your his her its our their it he she they we i you there "
    "of in on at by with without from to into onto over under above below behind beside between near next through "
    "across along around against inside outside front for as like and or but while is are was were be been being has "
    "have had do does did can could will would which who whose what where when very up down off out".split()
)
_JOINING = frozenset("on at near beside behind under over between and or is are next through across".split())
_DOING = frozenset(
    "sits sit lies lie stands stand walks walk runs run rides ride holds hold eats eat plays play".split()
)
_THINGS_IN_ING = frozenset("building ceiling painting railing awning clothing earring string spring drawing".split())
_SHORTEST = 4  # words of a sentence: "man in black" is a name


def is_function_word(word: str) -> bool:
    """Whether a word only joins others, and names nothing that could be seen: "a", "on", "of"."""
    return word.strip(".,;:!?\"'").casefold() in _FUNCTION_WORDS


def is_sentence(name: str) -> bool:
    """Whether a name reads like a sentence about several things.

    That is, four words or more, and things on both sides of a word that joins them: "a dog on a red sofa" is one, and
    neither "cup of coffee" nor "man in a red jacket" is.
    """
    words = _words(name)
    joined = any(word.casefold() in _JOINING for word in words[1:-1])
    return len(words) >= _SHORTEST and joined and len(things_in(name)) > 1


def things_in(sentence: str) -> tuple[str, ...]:
    """The runs of words between function words and verbs, each once: ("dog", "red sofa").

    "of" stays inside a name ("cup of coffee"). Which words are verbs is told by their form, and is a guess.
    """
    runs: list[list[str]] = [[]]
    words = _words(sentence)
    for word, after in zip(words, [*words[1:], ""], strict=True):
        if word.casefold() == "of" and runs[-1] and after and not is_function_word(after):
            runs[-1].append(word)
        elif is_function_word(word) or word.casefold() in _DOING or (_is_participle(word) and runs[-1]):
            runs.append([])
        else:
            runs[-1].append(word)
    return tuple(dict.fromkeys(" ".join(run) for run in runs if run and not (len(run) == 1 and _is_participle(run[0]))))


def _is_participle(word: str) -> bool:
    """Whether a word is one as "sitting" is: "king" is too short, and a building is a thing."""
    plain = word.casefold()
    return len(plain) > 5 and plain.endswith("ing") and plain not in _THINGS_IN_ING


def _words(text: str) -> list[str]:
    return re.findall(r"[^\s,;:!?.\"]+", text)
