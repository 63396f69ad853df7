"""JMA Lab's entry point. Run with: streamlit run app.py"""

from ui.shell.frame import frame

frame()
