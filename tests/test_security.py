"""What a stranger cannot do: reach the server from outside, upload past its guard, read its files, have code run."""

from __future__ import annotations

import ast
import base64
import http.client
import socket
import tomllib
import uuid
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from bench.browsing import ROOT, Server, serving

FOLDERS = ("jma_core", "models", "lab", "ui", "pages", "bench")


def test_the_settings_close_what_nobody_needs() -> None:
    config = tomllib.loads((ROOT / ".streamlit/config.toml").read_text())
    assert config["server"]["address"] == "127.0.0.1"
    assert "*" not in config["server"]["allowedHosts"]
    assert config["server"]["enableXsrfProtection"] is True
    assert config["server"]["maxUploadSize"] <= 500
    assert config["browser"]["gatherUsageStats"] is False
    assert config["client"]["showErrorDetails"] == "none"
    assert "enableStaticServing" not in config["server"]


# --- a real server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("server") / "log.txt") as server:
        yield server


def ask(
    server: Server, path: str, method: str = "GET", body: bytes | None = None, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """The answer to a request whose path is sent as it is, which browsers and urllib would tidy up."""
    connection = http.client.HTTPConnection(urlsplit(server.address).netloc, timeout=10)
    connection.putrequest(method, path, skip_host="Host" in headers, skip_accept_encoding=True)
    for name, value in {"Content-Length": str(len(body or b"")), **headers}.items():
        connection.putheader(name.replace("_", "-"), value)
    connection.endheaders(body)
    answer = connection.getresponse()
    try:
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


def test_the_server_listens_on_the_loopback_address_only(server: Server) -> None:
    """A server of all addresses would answer on this one too, which on Linux is the same computer."""
    port = urlsplit(server.address).port
    socket.create_connection(("127.0.0.1", port), timeout=5).close()
    with pytest.raises(OSError, match=r"refused|assign"):
        socket.create_connection(("127.0.0.2", port), timeout=5)


def handshake(server: Server, host: str, origin: str = "") -> int:
    """The status with which the server answers a browser that asks for the app's websocket; 101 opens it."""
    key = base64.b64encode(bytes(16)).decode()
    asked = {"Host": host, "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Key": key}
    asked |= {"Sec-WebSocket-Version": "13"} | ({"Origin": origin} if origin else {})
    head = "GET /_stcore/stream HTTP/1.1\r\n" + "".join(f"{name}: {said}\r\n" for name, said in asked.items()) + "\r\n"
    with socket.create_connection(("127.0.0.1", urlsplit(server.address).port), timeout=10) as connection:
        connection.sendall(head.encode())
        return int(connection.recv(64).split()[1])


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:{port}", "localhost:{port}", "LOCALHOST", "[::1]:{port}"])
def test_this_computer_gets_a_connection_by_each_of_its_names(host: str, server: Server) -> None:
    host = host.format(port=urlsplit(server.address).port)
    assert handshake(server, host) == handshake(server, host, f"http://{host}") == 101


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("evil.example", "http://evil.example"),
        ("evil.example:{port}", "http://evil.example:{port}"),
        ("127.0.0.1.evil.example:{port}", ""),
        ("localhost.evil.example", "http://localhost"),
        ("evil.example@127.0.0.1", "http://127.0.0.1"),
        ("0.0.0.0:{port}", "http://0.0.0.0:{port}"),
        ("127.0.0.1:{port}", "http://evil.example"),
        ("localhost", "http://evil.example:{port}"),
    ],
)
def test_a_foreign_name_or_site_gets_no_connection(host: str, origin: str, server: Server) -> None:
    """As a site does whose name leads to this computer once its page is loaded (DNS rebinding)."""
    port = urlsplit(server.address).port
    assert handshake(server, host.format(port=port), origin.format(port=port)) == 403


def test_by_http_a_foreign_name_gets_the_empty_page_only(server: Server) -> None:
    for path in ("/", "/runs", "/models"):
        status, _, body = ask(server, path, Host="evil.example")
        assert status == 200
        assert body == ask(server, "/")[2], "everything else comes by the websocket"


def test_an_upload_from_another_site_is_refused(server: Server) -> None:
    """Another site can make a browser send the cookie, but cannot read it to put it into the header as well."""
    path = f"/_stcore/upload_file/{uuid.uuid4()}/{uuid.uuid4()}"
    form = b'--b\r\nContent-Disposition: form-data; name="f"; filename="f.png"\r\n\r\nx\r\n--b--\r\n'
    kind = {"Content_Type": "multipart/form-data; boundary=b"}
    token = xsrf(server)
    assert ask(server, path, "PUT", form, **kind)[0] == 403
    assert ask(server, path, "PUT", form, Cookie=f"_streamlit_xsrf={token}", **kind)[0] == 403
    with_both = {"Cookie": f"_streamlit_xsrf={token}", "X_Xsrftoken": token}
    assert ask(server, path, "PUT", form, **with_both, **kind)[0] == 400  # past the guard: no such session


def xsrf(server: Server) -> str:
    """The token that the server gives to a page of its own."""
    cookies = ask(server, "/_stcore/health")[1].get("set-cookie", "")
    assert cookies.startswith("_streamlit_xsrf="), cookies
    return cookies.split(";")[0].removeprefix("_streamlit_xsrf=")


@pytest.mark.parametrize("route", ["/media/", "/app/static/", "/component/any/", "/static/", "/"])
@pytest.mark.parametrize("up", ["../", "..%2f", "%2e%2e/", "%2e%2e%2f", "..%5c", "/"])
def test_no_address_leads_to_a_file_outside(server: Server, route: str, up: str) -> None:
    """The page itself may be the answer, as for any address that Streamlit does not know."""
    for depth in (0, 1, 2, 4, 8):
        for file, content in (
            ("app.py", b"from ui.shell"),
            ("etc/passwd", b"root:"),
            (str(ROOT)[1:] + "/app.py", b"from ui"),
        ):
            status, _, body = ask(server, route + up * depth + file)
            assert content not in body, (status, route + up * depth + file)


# --- the code


LOADERS = {"numpy": ("np.load", "allow_pickle", False), "torch": ("torch.load", "weights_only", True)}
UNPICKLERS = {
    "pickle.load", "pickle.loads", "pickle.Unpickler", "dill.load", "joblib.load", "shelve.open", "marshal.loads",
    "pd.read_pickle", "eval", "exec",
}  # fmt: skip


def unsafe(source: str) -> list[str]:
    """Calls that run what a file says."""
    found = []
    for call in (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)):
        name = ast.unparse(call.func)
        said = {each.arg: each.value.value for each in call.keywords if isinstance(each.value, ast.Constant)}
        careless = [name == loader and said.get(word) is not safe for loader, word, safe in LOADERS.values()]
        if name in UNPICKLERS or any(careless):
            found.append(f"line {call.lineno}: {ast.unparse(call)}")
    return found


def test_no_code_of_a_file_is_ever_run() -> None:
    sources = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    assert len(sources) > 50
    assert {str(path.relative_to(ROOT)): found for path in sources if (found := unsafe(path.read_text("utf-8")))} == {}


@pytest.mark.parametrize(
    "line", ["np.load(f)", "np.load(f, allow_pickle=True)", "torch.load(f)", "torch.load(f, weights_only=no)",
             "pickle.loads(data)", "eval(text)"],
)  # fmt: skip
def test_a_call_that_would_run_it_is_found(line: str) -> None:
    assert unsafe(line) == [f"line 1: {line}"]


@pytest.mark.parametrize(
    "line", ["np.load(f, allow_pickle=False)", "torch.load(f, weights_only=True)", "network.eval()"]
)
def test_a_call_that_would_not_is_left_alone(line: str) -> None:
    assert unsafe(line) == []
