"""How many hosts, files and megabytes a number of sockets needs, and what happens if all come back at once."""
