"""What the app remembers of a simulated tab."""

from streamlit.testing.v1 import AppTest

from ui.shell.session import KEY, Session


def session_of(at: AppTest) -> Session:
    """The tab's session, also before its first run."""
    if KEY not in at.session_state:
        at.session_state[KEY] = Session()
    session: Session = at.session_state[KEY]
    return session
