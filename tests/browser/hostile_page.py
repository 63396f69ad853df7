"""A page that shows some hostile texts in each of the widgets that the app shows foreign text in.

Each text alone with ``?show=single``, all of them in one widget with ``?show=together``.
"""

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from lab.markup import in_chart, plain, quoted

HOSTILE = (
    "__background__", "*.jpg", "a_b_c", "$x^2$", "**bold**", "<b>html</b>", "~~old~~", ":red[hot] :cat:",
    "$$x$$ and $5 to $6", ":material/home: :material_home: :streamlit: :smile: :+1:", ":color[a]{foreground='red'}",
    ":red-background[x] :blue-badge[y] :small[z] :help[w]", ":a", "10:30", "::leaf", ":::box",
    "[link](https://example.com)", "![image](https://example.com/a.png)", "[foot][^1]", "[^1]: note", "[ref]: /url",
    "https://example.com/a?b=c", "http://example.com", "HTTPS://EXAMPLE.COM", "www.example.com", "WWW.example.com",
    "someone@example.com", "mailto:a@b.org", "<https://example.com>", "ftp://example.com", "xmpp:a@b.org",
    "# heading", "###### six", "- item", "+ item", "* item", "1. one", "1) one", "2024. A year", "- [ ] task",
    "> quote", "| a | b |", "---", "***", "===", "```", "```mermaid", "`code`", "``", "~~~", "a -> b", "a <- b <-> c",
    "a -- b", "a >= b <= c", "a ~= b", "->", "--", "&amp; &lt; &#42; &copy;", "back\\slash \\*", "<script>x</script>",
    "<!-- comment -->", "<img src=x onerror=alert(1)>", "<a href='https://example.com'>x</a>", "</div>", "a<br>b",
    "%{x} %{customdata}", "{name}", "x^2^ H~2~O", "x<sup>2</sup>", "\"quotes\" 'and' ’others’", "ein Müll & Söhne",
    "日本語", "naïve", "100 %", "!", "\\", "[", "]", ":", "_", "<", "&", "#", "C#", "a.b", "St. John's", "(c)", "tab*",
)  # fmt: skip
"""Of one line and without spaces at their ends: so they are to be seen again, letter for letter."""


SINGLE = {
    "markdown": lambda text: st.markdown(plain(text)),
    "strong": lambda text: st.markdown(f"**{plain(text)}**"),
    "item": lambda text: st.markdown(f"- *{plain(text)}*"),
    "quoted": lambda text: st.markdown(quoted(text)),
    "caption": lambda text: st.caption(plain(text)),
    "info": lambda text: st.info(plain(text)),
    "header": lambda text: st.header(plain(text), anchor=False),
    "subheader": lambda text: st.subheader(plain(text), anchor=False),
    "button": lambda text: st.button(plain(text), key=f"button-{text}"),
    "download": lambda text: st.download_button(plain(text), b"", "a.txt", key=f"download-{text}"),
    "slider": lambda text: st.slider(plain(text), 0, 1, 0, key=f"slider-{text}"),
    "expander": lambda text: st.expander(plain(text)),
    "image": lambda text: st.image(PICTURE, caption=plain(text), output_format="PNG"),
    "metric": lambda text: st.metric("metric", plain(text)),
    "progress": lambda text: st.progress(0.5, plain(text)),
    "text": st.text,
    "selectbox": lambda text: st.selectbox("box", [text, ""], key=f"selectbox-{text}"),
}
"""By their names: what shows one text, each in a container of its own."""
TOGETHER = {
    "pills": lambda: st.pills("pills", HOSTILE, format_func=plain, key="pills"),
    "segments": lambda: st.segmented_control("segments", HOSTILE, format_func=plain, key="segments"),
    "radio": lambda: st.radio("radio", HOSTILE, format_func=plain, key="radio"),
    "multiselect": lambda: st.multiselect("multiselect", HOSTILE, list(HOSTILE), key="multiselect"),
    "table": lambda: st.table({"a": [plain(text) for text in HOSTILE]}, hide_index=True),
    "legend": lambda: st.plotly_chart(chart(), key="chart"),
}
"""By their names: what shows all of them."""
PICTURE = np.zeros((8, 8, 3), np.uint8)


def chart() -> go.Figure:
    """Every text in the legend, as a category and as an annotation."""
    figure = go.Figure()
    for place, text in enumerate(map(in_chart, HOSTILE)):
        figure.add_scatter(x=[0], y=[text], name=text, showlegend=True)
        figure.add_annotation(x=0, y=place, text=text)
    figure.update_yaxes(type="category", dtick=1)
    return figure.update_layout(height=40 * len(HOSTILE))


def main() -> None:
    st.title("Hostile", anchor=False)
    if st.query_params["show"] == "together":
        for widget, show_all in TOGETHER.items():
            with st.container(key=f"shown-{widget}"):
                show_all()
        return
    for widget, show in SINGLE.items():
        with st.container(key=f"shown-{widget}"):
            for number, text in enumerate(HOSTILE):
                with st.container(key=f"text-{widget}-{number}"):
                    show(text)


if __name__ == "__main__":
    main()
