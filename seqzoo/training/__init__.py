"""Training: recipes, the loop, resumable state, progress."""
