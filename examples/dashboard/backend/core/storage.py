"""Where collectstatic puts the static files."""

from django.contrib.staticfiles.storage import ManifestStaticFilesStorage


class HashedStaticFilesStorage(ManifestStaticFilesStorage):
    """Static files with a hash in their names, also where one JavaScript module imports another."""

    support_js_module_import_aggregation = True
