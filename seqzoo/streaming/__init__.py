"""Streaming: a user's session, one event at a time."""
