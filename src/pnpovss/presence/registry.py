"""Every presence filter by the word that asks for it."""

from pathlib import Path

from pnpovss.backbones.base import Backbone, LoadOptions
from pnpovss.config import Config
from pnpovss.errors import PresenceError
from pnpovss.presence.base import PresenceFilter, Rule, parse_rule
from pnpovss.presence.file import FILE_RULE, FromFile
from pnpovss.presence.given import AllNames, Oracle
from pnpovss.presence.llm.filter import LLM_RULE, Llm, LlmSettings
from pnpovss.presence.own_model import ITC_RULE, ITM_RULE, Itc, Itm

__all__ = ["asks_model", "known_filters", "make_presence"]

_FILTERS = {
    "all": "every name, in every photo",
    "oracle": "the names that the mask holds; only where there are masks",
    "itm": "the model's matching head, name by name; itm:0.8 keeps what exceeds 0.8",
    "itc": "the model's contrastive heads; itc:within0.05 keeps what comes that near to the best",
    "file": "file:PATH, a JSON object with names for each photo, also the paper's GPT-4o answers",
    "clip": "clip:MODEL, a CLIP or SigLIP checkpoint of transformers: hub id or folder",
    "llm": "llm:MODEL, a server that speaks OpenAI's chat completions (OPENAI_BASE_URL, OPENAI_API_KEY)",
}


def known_filters() -> dict[str, str]:
    """One line about each filter that `make_presence` makes, by the word that asks for it."""
    return dict(_FILTERS)


def asks_model(spec: str) -> bool:
    """Whether a filter asks the segmenting model, which is then loaded before the filter can be made.

    Raises:
        PresenceError: an unknown filter, or no rule where one may stand.
    """
    word, _, rest = spec.partition(":")
    if word not in _FILTERS:
        raise PresenceError(f"unknown presence filter {spec!r}; known: {', '.join(_FILTERS)}")
    if word in ("itm", "itc") and rest:
        parse_rule(rest)
    return word in ("itm", "itc")


def make_presence(
    spec: str,
    *,
    backbone: Backbone | None = None,
    config: Config | None = None,
    rule: Rule | None = None,
    load: LoadOptions | None = None,
    llm: LlmSettings | None = None,
) -> PresenceFilter:
    """A presence filter from how it is written on the command line.

    Args:
        spec: "all", "oracle", "itm", "itm:0.4", "itc:top3", "file:PATH", "clip:MODEL", "llm:MODEL".
        backbone: the segmenting model, for itm and itc.
        config: the segmenter's, whose image size and proportions itm and itc follow.
        rule: turns scores into a decision, instead of the filter's own.
        load: how `clip` loads its checkpoint.
        llm: which server `llm` asks, and where it keeps answers.

    Raises:
        PresenceError: an unknown filter, or one that lacks what it needs.
        CheckpointError: a checkpoint of `clip` that cannot be had.
    """
    word, _, rest = spec.partition(":")
    if asks_model(spec):
        if backbone is None:
            raise PresenceError(f"{word} asks the segmenting model; give make_presence its backbone")
        chosen = rule or (parse_rule(rest) if rest else None)
        return Itm(backbone, chosen or ITM_RULE, config) if word == "itm" else Itc(backbone, chosen or ITC_RULE, config)
    if word in ("all", "oracle"):
        if rest or rule:
            raise PresenceError(f"{word!r} takes no rule, got {spec!r}")
        return AllNames() if word == "all" else Oracle()
    if not rest:
        raise PresenceError(f"{word!r} needs more: {_FILTERS[word]}")
    if word == "file":
        return FromFile(Path(rest), rule or FILE_RULE)
    if word == "clip":
        from pnpovss.presence.clip import load_clip  # here, because importing transformers takes seconds

        return load_clip(rest, load, rule)
    return Llm(rest, llm, rule or LLM_RULE)
