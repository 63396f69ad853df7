"""Charts, drawn by Plotly."""
