"""Measuring label maps as the field does: one confusion matrix over a whole data set, and what explains the number."""
