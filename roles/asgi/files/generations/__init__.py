"""The host's own tool for the generations of a project: `<app>-generations`.

A generation is a release with its environment and the way it is run: processes that serve, each on a socket, and
workers that do the rest. The generation's service manager keeps each of them running. docs/decisions.md describes the
folders. Standard library only: this runs on hosts, also when nobody is watching.

Each command starts the tool again, so a module imports only what it needs, and commands.py imports a command's modules
only when it runs that command. Imports of our own files are at the top of a file, or happen before any work begins: a
drain runs for hours, and meanwhile a newer version of the bundle may replace the files.
"""
