"""Figures for slides and papers, with matplotlib (the extra `figures`): axes in, axes out, and text that stays text.

Each function draws on axes that it is given, or makes a figure of its own. They take plain values;
`Segmentation.figure`, `Steps.figure` and `results.side_by_side` hand them these.
"""
