"""The host's own tool for pgBackRest: `channels-pgbackrest`.

It decides which kind of backup is due, says what can be recovered to, and recovers the cluster beside the one that
serves before it takes that one's place.
Standard library only: this runs on hosts, at night, when nobody is watching.
"""
