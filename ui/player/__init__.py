"""The player of the attack lab, and what stands below it."""
