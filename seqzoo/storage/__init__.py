"""Files: written atomically, checked by sha256, and never trusted when they are read."""
