-- Gives a conversation a row unless it has one.
--   KEYS[1]  the key of its row
--   ARGV     the id it would get; the id and updated_at of the row that may be replaced, '' and 0 for none;
--            how long the row is kept unused, in milliseconds, 0 for ever
-- Returns the row that stands, and the server's time in milliseconds.
local candidate, stale_id, stale_at, retention = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local row = redis.call('GET', KEYS[1])
if row then
  local id, started, updated = string.match(row, '^1 ([!-~]+) (%d+) (%d+)$')
  if not id or #id > 256 or #started > 15 or #updated > 15 then
    return redis.error_reply('CORRUPT the row is not one of ours')
  end
  if id == candidate or id ~= stale_id or tonumber(updated) > stale_at then
    return {row, now}
  end
end
row = string.format('1 %s %.0f %.0f', candidate, now, now)
if retention > 0 then
  redis.call('SET', KEYS[1], row, 'PXAT', string.format('%.0f', now + retention))
else
  redis.call('SET', KEYS[1], row)
end
return {row, now}
