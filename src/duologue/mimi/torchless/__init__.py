"""The codec without torch: the same weights, codes and sound as mimi/codec.py, in numpy or on the engine's kernels."""
