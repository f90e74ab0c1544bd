"""Models: built from registered parts or loaded from checkpoints; they recommend items."""
