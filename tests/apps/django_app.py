"""Django: the guard around `get_asgi_application()`, and the id is in `request.scope` and `request.META`."""

from __future__ import annotations

import django_views
from django.core.asgi import get_asgi_application
from outside import Outside

from sessionguard import SessionGuard

assert django_views.settings.configured

app = Outside(SessionGuard(get_asgi_application()))
