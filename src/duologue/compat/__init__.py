"""Fronts and deviations of other programs of this family, named as such. Nothing else depends on them."""
