"""Files: written atomically, checked by sha256, and read as what strangers may have written."""
