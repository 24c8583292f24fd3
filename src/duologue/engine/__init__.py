"""What speaks: the frame loop, sampling, and the forms of the network that can run it."""
