"""Recipes that make or prepare training data. Knows nothing of models; writes audio, text and alignments."""
