"""Layer, head, threshold and what else is to be set, chosen without pixel labels (paper section 3.4, and better)."""
