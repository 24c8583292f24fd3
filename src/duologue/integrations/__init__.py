"""Our voice as a part of other people's frameworks. Each module needs its framework; none is imported by itself."""
