"""A headless Chromium, and visits that fail the test when the page does."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.web import PASSWORD

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
MARKS = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine: apt-get install chromium"),
]


@contextmanager
def visit(browser: Browser, scheme: Literal["light", "dark"] = "light", width: int = 1440) -> Iterator[Page]:
    """A page of its own session; an error in its console, or a request that leaves loopback, fails the test."""
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900})
    page, wrong = context.new_page(), list[str]()
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda asked: wrong.append(asked.url) if not _local(asked.url) else None)
    yield page
    context.close()
    assert wrong == []


def _local(url: str) -> bool:
    return url.startswith(("data:", "blob:")) or urlsplit(url).hostname == "127.0.0.1"


def sign_in(page: Page, url: str, name: str = "olga") -> None:
    """Sign in, as the operator if nobody is named."""
    page.goto(url)
    expect(page).to_have_title("Sign in · Trueup")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
