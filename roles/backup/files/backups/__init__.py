"""The host's own tool for a project's backups: `<app>-backup`.

It collects what cannot be made again (the database, SQLite files, shared files), hands it to restic, and brings it
back.
Standard library only: this runs on hosts, at night, when nobody is watching.
"""
