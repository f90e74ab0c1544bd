"""Models: built from registered parts, loaded from checkpoints, asked for recommendations."""
