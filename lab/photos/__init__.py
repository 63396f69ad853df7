"""Photos: samples that ship, and files of the user's own."""
