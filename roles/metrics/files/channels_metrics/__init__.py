"""What only this host can say of its projects, and whether a socket opens here: files for node-exporter's textfiles."""
