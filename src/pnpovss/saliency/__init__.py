"""From cross-attention and its gradient to one map a name (GradCAM, tokens to names, Salience Dropout)."""
