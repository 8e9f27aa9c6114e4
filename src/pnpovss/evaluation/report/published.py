"""The paper's own numbers, to be shown only beside a run of the same protocol.

arXiv 2311.17095v4 with BLIP-large, whole validation sets, names by GPT-4o, counted by the authors' released code. The
oracle number is a third party's run of that code.
"""

import re

from pnpovss.evaluation.runs.settings import RunSettings

__all__ = ["published_miou"]

# By data set, for names that GPT-4o gave. [percent]
PAPER = {"voc2012": 51.3, "context60": 28.0, "coco-object": 36.2, "coco-stuff": 17.9, "ade20k": 14.2}
THIRD_PARTY_ORACLE = {"voc2012": 57.0}


def published_miou(settings: RunSettings) -> tuple[float, str] | None:
    """(mIoU in percent, whose) under the protocol of this run; None where nothing was published under it.

    The same protocol means the whole data set, the authors' way of counting, and the same source of names: for GPT-4o,
    `file` with a file whose name says so.
    """
    if settings.subset.partial or settings.subset.full is None or settings.protocol != "authors":
        return None
    if settings.presence == "oracle" and settings.dataset in THIRD_PARTY_ORACLE:
        return THIRD_PARTY_ORACLE[settings.dataset], "a third party's run, BLIP-large, oracle names"
    if re.match(r"file:.*gpt-?4o", settings.presence, re.IGNORECASE) and settings.dataset in PAPER:
        return PAPER[settings.dataset], "the paper, BLIP-large, GPT-4o names"
    return None
