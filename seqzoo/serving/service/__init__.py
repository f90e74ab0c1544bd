"""The HTTP service: recommendations and sessions of one model or several."""
