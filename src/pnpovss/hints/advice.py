"""What to change when a result looks wrong, told for the settings that made it: never what is done already."""

from pnpovss.config import BlurSettings, Config, DropoutSettings

__all__ = ["for_fragments", "for_jagged", "for_over", "for_under"]

THRESHOLD = float(Config.model_fields["threshold"].default)
STEP = 0.15  # between one threshold worth trying and the next
HIGHEST = 0.6  # beyond it little is left of a map
MORE_PASSES, MOST_PASSES = 2, 10
WIDER = 1.6  # one blur worth trying, over the last
WIDEST = 0.2  # of the longer side: blobs
STRONGER = 3.0  # spatial term of the Dense CRF
STRONGEST = 60


def for_over(config: Config) -> str:
    """A mask that spills: be stricter, or give the other pixels a name."""
    other = "name what else is in the photo"
    if config.threshold is None:
        return f"the threshold is off; turn it on (--set threshold={THRESHOLD:g}), or {other}"
    if config.threshold >= HIGHEST:
        return other
    return f"raise the threshold (--set threshold={min(config.threshold + STEP, HIGHEST):g}), or {other}"


def for_under(config: Config) -> str:
    """A mask on a part of what the model looks at: be less strict, or look more often."""
    ways = []
    if config.threshold:
        ways.append(f"lower the threshold (--set threshold={max(config.threshold - 0.05, 0):.2g})")
    if config.dropout is None:
        ways.append(f"turn Salience Dropout on (--set dropout.passes={DropoutSettings().passes})")
    elif config.dropout.passes < MOST_PASSES:
        ways.append(f"look more often ({_passes(config.dropout)})")
    return ", or ".join(ways) or "the settings look often and keep all already; ask for it in other words"


def _passes(dropout: DropoutSettings) -> str:
    """Settings that look more often; weights that are given one a pass would not fit, so they go."""
    more = f"--set dropout.passes={min(dropout.passes + MORE_PASSES, MOST_PASSES)}"
    return more if dropout.weights is None else f"{more} --set dropout.weights=none"


def for_jagged(config: Config) -> str:
    """A rough outline: it is the Dense CRF that follows every pixel's colour; without it, only the blur smooths.

    In examples/astronaut.jpg three times the spatial weight takes the outlines' roughness from 1.9 to 1.1, half the
    weight of colours to 1.2; a wider blur before the Dense CRF, or a wider spatial term, smooth nothing.
    """
    if config.crf is None:
        return for_fragments(config)
    stronger = min(config.crf.gaussian_compat * STRONGER or 1, STRONGEST)
    ways = []
    if stronger > config.crf.gaussian_compat:
        ways.append(f"let the Dense CRF smooth more (--set crf.gaussian_compat={stronger:g})")
    if config.crf.bilateral_compat > 0:
        ways.append(f"let it follow colours less (--set crf.bilateral_compat={config.crf.bilateral_compat / 2:g})")
    return ", or ".join(ways) or "the Dense CRF smooths a lot already; leave it out (--without crf)"


def for_fragments(config: Config) -> str:
    """A mask in many pieces: let the blur join them."""
    if config.blur is None:
        return f"the blur is off; turn it on (no --without blur, or {_sigma(BlurSettings().sigma)})"
    if config.blur.sigma < WIDEST:
        return f"blur more ({_sigma(_wider(config.blur))})"
    return "the blur is wide already; raise the threshold to drop the faint pieces"


def _wider(blur: BlurSettings) -> float:
    return min(blur.sigma * WIDER, WIDEST)


def _sigma(value: float) -> str:
    return f"--set blur.sigma={value:.2g}"
