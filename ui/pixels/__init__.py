"""Pictures in the browser, down to their pixels: what the player and the gallery have in common."""
