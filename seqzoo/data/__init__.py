"""Data: interactions from files and memory, vocabularies, sequences, splits, batches, data sets.

Import each name from its module (``from seqzoo.data.readers import read_interactions``): this
package itself imports nothing, so that listing models does not import polars.
"""
