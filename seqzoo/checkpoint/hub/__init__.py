"""Checkpoints on the Hugging Face Hub: fetch them checked, publish them in one commit."""
