"""Recommendations for all users of a file, in bounded memory."""
