"""The host's own tool for the generations of a project: `<app>-generations`.

A generation is a release with its environment and the way it is run: processes that serve, each on a socket, and
workers that do the rest. Each is kept running by the generation's service manager. The folders are described in
docs/decisions.md. Standard library only: this runs on hosts, also when nobody is looking.

Each command starts the tool anew, so a module imports what it needs and no more, and commands.py imports none of a
command's modules before it is that command's turn. All imports of our own files stand at the top of a file or are made
before any work begins: a drain runs for hours, and a newer version of the bundle may replace the files meanwhile.
"""
