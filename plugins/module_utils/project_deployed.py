"""Small modules that change what the code fixes, without changing the code."""

from __future__ import annotations

from ansible.module_utils.project_document import Document, clean
from ansible.module_utils.project_findings import Inspection


def write_deployed(found: Inspection, out: Document) -> None:
    """Two small modules that change what the code fixes, without changing the code."""
    fixed = [name for name in ("DEBUG", "ALLOWED_HOSTS", "SECRET_KEY", "STATIC_ROOT") if name in found.fixed]
    if not (fixed or found.early) or not found.settings:
        return
    out.gap()
    out.comment(
        "What the code fixes can be changed without touching it, by modules of your own that are put beside it."
    )
    if fixed:
        out.comment(f"In the code: {', '.join(f'{name} ({found.fixed[name]})' for name in fixed)}.")
        out.raw("# release_settings_module: deployed_settings")
    if found.early:
        out.comment(f"Models are imported before Django is set up: {' → '.join(found.early)}.")
        out.raw("# asgi_application: deployed_asgi:application")
    out.raw("# release_files:")
    if fixed:
        out.raw("#   - path: deployed_settings.py", "#     secret: false", "#     content: |")
        lines = {
            "DEBUG": ["DEBUG = False"],
            "ALLOWED_HOSTS": ['ALLOWED_HOSTS = ["{{ site_name }}", "localhost", "127.0.0.1"]'],
            "SECRET_KEY": [
                "import os",
                'SECRET_KEY = os.environ["SECRET_KEY"]  # and SECRET_KEY in release_secrets',
            ],
            "STATIC_ROOT": ['STATIC_ROOT = "/srv/{{ release_app }}/static"'],
        }
        out.raw(f"#       from {clean(found.settings)} import *")
        out.raw(*(f"#       {line}" for name in fixed for line in lines[name]))
    if found.early:
        module, _, attribute = found.asgi.partition(":")
        out.raw("#   - path: deployed_asgi.py", "#     secret: false", "#     content: |", "#       import django")
        out.raw("#       django.setup()", f"#       from {clean(module)} import {clean(attribute)} as application")
