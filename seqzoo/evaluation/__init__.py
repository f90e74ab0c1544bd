"""Evaluation: protocols as data, ranks over the whole catalogue, figures beside the stored ones."""
