-- Moves updated_at of a row forward, if it still holds the session that was used.
--   KEYS[1]  the key of the row
--   ARGV     the id of the session; how long ago it was used, in milliseconds;
--            how long the row is kept unused, in milliseconds, 0 for ever
local session_id, age, retention = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local row = redis.call('GET', KEYS[1])
if not row then
  return
end
local id, started, updated = string.match(row, '^1 ([!-~]+) (%d+) (%d+)$')
if not id or #id > 256 or #started > 15 or #updated > 15 then
  return redis.error_reply('CORRUPT the row is not one of ours')
end
local time = redis.call('TIME')
local used = time[1] * 1000 + math.floor(time[2] / 1000) - age
if id ~= session_id or used <= tonumber(updated) then
  return
end
row = string.format('1 %s %s %.0f', id, started, used)
if retention > 0 then
  redis.call('SET', KEYS[1], row, 'PXAT', string.format('%.0f', used + retention))
else
  redis.call('SET', KEYS[1], row)
end
