"""Attacks as they run: the networks, whose turn it is, one attack in its thread."""
