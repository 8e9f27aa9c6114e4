"""Segment images by words with off-the-shelf vision-language models."""
