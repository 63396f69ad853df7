"""JMA Lab: page frame and navigation. Run with: streamlit run app.py"""

import streamlit as st

st.set_page_config(page_title="JMA Lab", page_icon="assets/icon.png", layout="wide", initial_sidebar_state=340)

# A page's url_path must differ from its file's name, or Streamlit serves the bare file to a deep link on a cold server.
page = st.navigation(
    [
        st.Page("pages/attack_lab.py", title="Attack lab", icon=":material/target:", default=True),
        st.Page("pages/model_zoo.py", title="Models", icon=":material/category:", url_path="models"),
    ],
    position="top",
)
page.run()
