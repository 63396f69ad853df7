"""The model zoo: which networks there are, and how to load them."""
