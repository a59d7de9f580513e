"""docs/how-to/django-admin.md, in a project as `django-admin startproject` makes it, and through its admin."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from applications.conftest import client_of, follow, new_key
from live import LiveServer

URLS = """
from django.contrib import admin
from django.http import JsonResponse
from django.urls import path

def whoami(request):
    return JsonResponse([request.META.get("HTTP_X_OPENCLAW_SESSION_ID"), request.scope.get("session_id")], safe=False)

urlpatterns = [path("admin/", admin.site.urls), path("whoami", whoami)]
"""


@pytest.fixture(scope="module")
def server(directory: Path) -> Iterator[LiveServer]:
    def manage(*words: str) -> None:
        env = {**os.environ, "DJANGO_SUPERUSER_PASSWORD": "secret"}
        subprocess.run([sys.executable, *words], cwd=directory, env=env, check=True, stdout=subprocess.DEVNULL)

    manage("-m", "django", "startproject", "mysite", ".")
    (directory / "mysite" / "urls.py").write_text(URLS)
    manage("manage.py", "migrate")
    manage("manage.py", "createsuperuser", "--noinput", "--username", "root", "--email", "root@example.org")
    with follow("django-admin", directory) as server:
        yield server


def log_in(client: httpx.Client) -> httpx.Response:
    form = client.get("/admin/login/").text
    (token,) = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', form)
    data = {"csrfmiddlewaretoken": token, "username": "root", "password": "secret", "next": "/admin/"}
    return client.post("/admin/login/", data=data, follow_redirects=True)


def test_the_admin_logs_in_and_works_as_before(server: LiveServer) -> None:
    """Its own session is in its cookie; over two workers."""
    with client_of(server) as client:
        welcome = log_in(client)
        users = client.get("/admin/auth/user/")

    assert "Site administration" in welcome.text
    assert "root@example.org" in users.text
    assert users.headers["x-sessionguard-status"] == "existing"


def test_who_is_logged_in_and_which_conversation_it_is_are_two_things(server: LiveServer) -> None:
    """Another key in the same browser is another conversation of the same user."""
    keys = [new_key(), new_key()]
    with client_of(server) as client:
        log_in(client)
        one, other = (client.get("/whoami", headers={"x-openclaw-session-key": key}).json() for key in keys)
        still_in = client.get("/admin/", headers={"x-openclaw-session-key": keys[1]})

    assert [len({*seen}) for seen in (one, other)] == [1, 1]
    assert one != other
    assert "Site administration" in still_in.text


def test_a_client_without_a_key_is_served_as_ever(server: LiveServer) -> None:
    with client_of(server, "") as client:
        assert "Site administration" in log_in(client).text
        assert client.get("/whoami").json() == [None, None]
