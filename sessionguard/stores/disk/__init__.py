"""The default store: one directory, many processes of one host.

`store` has the verbs, `worker` the one thread that touches the files, `strict` the serialisation that trusts nothing,
`opening` what must be true of the directory first.
"""
