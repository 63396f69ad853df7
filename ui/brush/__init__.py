"""A part of a picture is painted where it may change."""
