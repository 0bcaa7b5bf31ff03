"""A web server as a browser without JavaScript sees it: pages with forms, and what comes back when one is sent."""

from __future__ import annotations

import http.client
import urllib.parse
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser

CONTROLS = ("input", "textarea", "select")


class Page(HTMLParser):
    """The controls of a page with their labels and placeholders, and the texts of elements that have an id."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.controls: dict[str, dict[str, str]] = {}
        self.labels: dict[str, str] = {}
        self.texts: dict[str, str] = {}
        self._open: list[tuple[dict[str, str], str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a control, or the beginning of a text that is wanted."""
        found = {name: value or "" for name, value in attrs}
        if tag in CONTROLS and "name" in found:
            self.controls[found["name"]] = found
        if tag == "label":
            self._open.append((self.labels, found.get("for", "")))
        elif tag == "p" and "id" in found:
            self._open.append((self.texts, found["id"]))

    def handle_endtag(self, tag: str) -> None:
        """Note the end of such a text."""
        if tag in ("label", "p") and self._open:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        """Keep the text of the innermost of them."""
        if self._open:
            texts, name = self._open[-1]
            texts[name] = texts.get(name, "") + data


@dataclass
class Site:
    """One web server and one connection to it."""

    port: int
    _connection: http.client.HTTPConnection | None = field(default=None, repr=False)

    def get(self, path: str) -> tuple[int, str]:
        """Return status and text of a page."""
        status, _, text = self._ask("GET", path)
        return status, text

    def form(self, task: str) -> Page:
        """Return the page with the form of a task."""
        status, text = self.get(f"/task?{urllib.parse.urlencode({'name': task})}")
        assert status == 200, text
        return Page(text)

    def send(
        self, task: str, typed: Mapping[str, str] | Iterable[tuple[str, str]], show: str = ""
    ) -> tuple[int, str, str]:
        """Send the form of a task; return the status, the id of the new run, if any, and the text of the page."""
        pairs = list(typed.items()) if isinstance(typed, Mapping) else list(typed)
        named = [(path if path[:2] in ("p.", "s.") else f"p.{path}", text) for path, text in pairs]
        body = urllib.parse.urlencode(
            [("name", task), ("mode", "fields"), ("show", show), *named], errors="surrogatepass"
        )
        status, location, text = self._ask("POST", "/task", body)
        return status, location.rpartition("/")[2], text

    def _ask(self, method: str, path: str, body: str | None = None) -> tuple[int, str, str]:
        headers = {"Content-Type": "application/x-www-form-urlencoded"} if body is not None else {}
        if self._connection is None:
            self._connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            self._connection.request(method, path, body, headers)
            answer = self._connection.getresponse()
            return answer.status, answer.getheader("Location", ""), answer.read().decode()
        except (http.client.HTTPException, ConnectionError):
            # The server may close a connection that it has kept open long enough.
            self.close()
            raise

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
