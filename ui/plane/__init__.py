"""The logit space in two coordinates, in the browser: it is zoomed, grown and dragged there."""
