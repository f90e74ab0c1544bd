"""Data: interactions from files, vocabularies, sequences, splits and the data sets by name.

Import from the module that holds a name (``from seqzoo.data.readers import read_interactions``);
this package imports nothing by itself, so that the catalogue can be listed without polars.
"""
