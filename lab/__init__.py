"""What happens, without a screen: requests, runs, records and reports. No module here imports streamlit or plotly."""
