"""A finished attack as an HTML file."""
