"""Labels as buttons of three states."""
