"""Redis and Valkey as a store for sessionguard: one session id per session key over many hosts."""

from sessionguard_redis.plugin import RedisPlugin

__all__ = ("RedisPlugin",)
