"""Damage of all kinds, by chance: to bytes, and to what JSON says."""

import json
from random import Random
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.strategies import SearchStrategy

__all__ = ["change_bytes", "change_json", "draw", "odd_text", "odd_value"]

_EDGES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF)
_DEEP = 100_000


class Verbatim(str):
    """A piece of JSON that is written as it stands."""


_ODD: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    1,
    2**31,
    2**63,
    -(2**63) - 1,
    60_000_000,
    0.5,
    -0.0,
    1e-6,
    1e308,
    float("nan"),
    float("inf"),
    "",
    "cat",
    "../../x",
    "\ud800",
    "\x1b[31m",
    "x" * 5000,
    [],
    {},
    [None],
    {"": 0},
    Verbatim("1e999"),
    Verbatim("9" * 5000),
    Verbatim("[" * _DEEP + "]" * _DEEP),
    Verbatim('{"a":' * _DEEP + "1" + "}" * _DEEP),
    Verbatim("nul"),
)


def change_bytes(content: bytes, rng: Random, *, times: int | None = None) -> bytes:
    """A copy with some places changed, lost, doubled or cut off; half of them near the start, where headers are."""
    changed = bytearray(content)
    for _ in range(times or 1 + int(rng.expovariate(0.4))):
        if not changed:
            break
        at = rng.randrange(min(len(changed), 300) if rng.random() < 0.5 else len(changed))
        span = 1 + int(rng.expovariate(0.1))
        match rng.randrange(8):
            case 0:
                changed[at] ^= 1 << rng.randrange(8)
            case 1:
                changed[at] = rng.randrange(256)
            case 2:
                changed[at : at + span] = rng.randbytes(span)
            case 3:
                del changed[at : at + span]
            case 4:
                changed[at:at] = changed[at : at + span] * rng.randint(1, 3)
            case 5:
                size = rng.choice((1, 2, 4, 8))
                edge = rng.choice(_EDGES) & ((1 << 8 * size) - 1)
                changed[at : at + size] = edge.to_bytes(size, rng.choice(("little", "big")))
            case 6:
                to = rng.randrange(len(changed))
                changed[at : at + span], changed[to : to + span] = changed[to : to + span], changed[at : at + span]
            case 7 if rng.random() < 0.3:
                del changed[at:]
    return bytes(changed)


def change_json(value: Any, rng: Random) -> str:
    """JSON, or nearly, of a value with one to three odd places."""
    for _ in range(rng.randint(1, 3)):
        value = _changed(value, rng)
    text = _write(value)
    return (
        change_bytes(text.encode("utf-8", "surrogatepass"), rng, times=1).decode("latin-1")
        if rng.random() < 0.1
        else text
    )


def odd_value(rng: Random) -> Any:
    """Something that is rarely meant."""
    return rng.choice(_ODD)


def odd_text(rng: Random) -> str:
    """The same, as a person would write it into a file or on the command line."""
    value = odd_value(rng)
    return value if isinstance(value, str) else _write(value)


def draw(strategy: SearchStrategy[Any], number: int, seed_: int, *, batch: int = 50) -> Any:
    """The example of a Hypothesis strategy with this number; the same for the same seed."""
    key = (id(strategy), seed_, number // batch)
    if key not in _drawn:
        _drawn.clear()
        found: list[Any] = []

        @seed(hash((seed_, number // batch)))
        @settings(
            max_examples=batch,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=[*HealthCheck],  # type: ignore[list-item]
        )
        @given(strategy)
        def collect(example: Any) -> None:
            found.append(example)

        collect()
        _drawn[key] = found
    return _drawn[key][number % len(_drawn[key])]


_drawn: dict[tuple[int, int, int], list[Any]] = {}


def _changed(value: Any, rng: Random) -> Any:
    """A copy in which one place, anywhere, is odd."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice(list(value))
        match rng.randrange(6):
            case 0:
                return {k: v for k, v in value.items() if k != key}
            case 1:
                return {**value, str(odd_value(rng))[:100]: odd_value(rng)}
            case _:
                return {**value, key: _changed(value[key], rng)}
    if isinstance(value, list | tuple) and value and rng.random() < 0.9:
        at, items = rng.randrange(len(value)), list(value)
        match rng.randrange(6):
            case 0:
                return items[:at] + items[at + 1 :]
            case 1:
                return items[: at + 1] * 2
            case _:
                return [*items[:at], _changed(items[at], rng), *items[at + 1 :]]
    return odd_value(rng)


def _write(value: Any) -> str:
    if isinstance(value, Verbatim):
        return str(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(str(key))}:{_write(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_write, value)) + "]"
    return json.dumps(value)
