"""Curves of a training log."""

import csv
from pathlib import Path


def plot_history(log: Path) -> Path:
    """Draw every column of `log.csv` over the steps, in `log.png` beside it."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    with log.open() as file:
        rows = list(csv.DictReader(file))
    names = [name for name in rows[0] if name not in ("step", "seconds_a_step")]
    figure, axes = pyplot.subplots(1, len(names), figsize=(2.6 * len(names), 2.4))
    steps = [int(row["step"]) for row in rows]
    for axis, name in zip(axes, names, strict=True):
        axis.plot(steps, [float(row[name]) for row in rows])
        axis.set_title(name, fontsize=9)
        axis.set_xlabel("step", fontsize=8)
        axis.tick_params(labelsize=7)
    figure.tight_layout()
    path = log.with_suffix(".png")
    figure.savefig(path, dpi=100)
    pyplot.close(figure)
    return path
