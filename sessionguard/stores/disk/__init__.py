"""The default store: one directory, many processes of one host, on diskcache.

`store` reads the URL, `opening` opens a database nobody has tampered with, `strict` is the serialisation that trusts
nothing. The verbs and the thread are those of `stores.embedded`.
"""
