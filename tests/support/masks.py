"""Masks of simple shapes."""

import numpy as np


def blank(side=100):
    return np.zeros((side, side), bool)


def box(top, left, bottom, right, side=100):
    mask = blank(side)
    mask[top:bottom, left:right] = True
    return mask


def teeth(side=100):
    mask = box(40, 10, 90, 90)
    mask[30:40, 10:90:4] = True
    mask[30:40, 11:90:4] = True
    return mask
