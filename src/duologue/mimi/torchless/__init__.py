"""The codec in numpy: the same weights, codes and sound as mimi/codec.py, for machines without torch."""
