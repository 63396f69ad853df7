"""Around every page: the frame, what a session remembers, its address."""
