"""Models in production: recommendations for everybody into a file, and an HTTP service."""
