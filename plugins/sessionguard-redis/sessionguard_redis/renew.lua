-- Lets the lease of an owner last longer, unless it is another's or was forgotten.
--   KEYS[1]  the key of the name, as in acquire.lua
--   ARGV     the owner, and in milliseconds: until how long from now; how long the number is remembered
-- Returns number, beginning and end of the lease, or nothing if it is not the owner's.
local owner, duration, memory = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local expires_at = time[1] * 1000 + math.floor(time[2] / 1000) + duration
local row = redis.call('HMGET', KEYS[1], 'owner', 'number', 'granted_at')
if row[1] ~= owner then
  return false
end
redis.call('HSET', KEYS[1], 'expires_at', string.format('%.0f', expires_at))
redis.call('PEXPIRE', KEYS[1], math.max(redis.call('PTTL', KEYS[1]), duration, memory))
return {tonumber(row[2]), tonumber(row[3]), expires_at}
