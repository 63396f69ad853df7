"""JMA Lab's entry point. Run with: streamlit run app.py"""

from ui.frame import frame

frame()
