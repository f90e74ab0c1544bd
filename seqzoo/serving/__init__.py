"""Models in production: a file of recommendations for all users, and an HTTP service."""
