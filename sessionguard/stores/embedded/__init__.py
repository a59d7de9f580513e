"""What the stores that live in a directory of this host share, whatever library opens the database in it.

`store` has the verbs, `worker` the one thread that touches the files, `place` what must be true of the directory
first, `database` what a library has to bring.
"""
