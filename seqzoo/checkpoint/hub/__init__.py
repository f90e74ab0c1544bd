"""Checkpoints on the Hugging Face Hub: pull them with checks, publish them in one commit."""
