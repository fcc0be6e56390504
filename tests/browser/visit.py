"""A page of the UI under watch."""

from __future__ import annotations

from playwright.sync_api import Page

__all__ = ["Visit"]


class Visit:
    """A page under watch: what it asked for and what it complained about."""

    def __init__(self, page: Page, base: str) -> None:
        """Watch *page*, which belongs to the server at *base*."""
        self.page = page
        self.base = base
        self.foreign: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda request: self._asked(request.url))
        page.on("console", lambda message: self._said(message.type, message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _asked(self, url: str) -> None:
        if not url.startswith((self.base, "data:")):
            self.foreign.append(url)

    def _said(self, kind: str, text: str) -> None:
        if kind == "error":
            self.complaints.append(text)

    def open(self, path: str) -> Page:
        """Open a page by its address within the application."""
        self.page.goto(f"{self.base}/#{path}")
        return self.page

    def clean(self) -> None:
        """Assert that nothing left the host and nothing was complained about."""
        assert [] == self.foreign
        assert [] == self.complaints
