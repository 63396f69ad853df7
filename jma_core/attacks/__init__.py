"""Attacks: each one a generator of Steps that returns an AttackResult."""
