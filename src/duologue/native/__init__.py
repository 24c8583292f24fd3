"""C++ kernels of the CPU engine, and the one small binding to them."""
