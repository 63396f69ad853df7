"""The pictures of the page Compare."""
