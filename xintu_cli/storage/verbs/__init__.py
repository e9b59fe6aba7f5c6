"""What a cache does, as scripts: every statement of the `Cache` interface stands in here.

Rows are written in key order, so that transactions of several machines take the same locks
in the same order. Times are the database's, fetched once a script.
"""
