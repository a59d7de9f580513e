-- Gives a conversation the row it has in another store, unless it is another one here.
--   KEYS[1]  the key of its row
--   ARGV     the row; the id and updated_at of the row that may be replaced, '' and 0 for none;
--            how long a row is kept unused, in milliseconds, 0 for ever
-- Returns the row that stands.
local adopted, stale_id, stale_at, retention = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local session_id, used = string.match(adopted, '^1 ([!-~]+) %d+ (%d+)$')
local row = redis.call('GET', KEYS[1])
if row then
  local id, started, updated = string.match(row, '^1 ([!-~]+) (%d+) (%d+)$')
  if not id or #id > 256 or #started > 15 or #updated > 15 then
    return redis.error_reply('CORRUPT the row is not one of ours')
  end
  if id == session_id then
    if tonumber(used) <= tonumber(updated) then
      return row
    end
    adopted = string.format('1 %s %s %s', id, started, used)
  elseif id ~= stale_id or tonumber(updated) > stale_at then
    return row
  end
end
if retention > 0 then
  -- A row whose time is up stays for an hour all the same, so that those who move it can see that it has arrived.
  local time = redis.call('TIME')
  local arrived = time[1] * 1000 + math.floor(time[2] / 1000)
  local ends = math.max(tonumber(used) + retention, arrived + math.min(retention, 3600000))
  redis.call('SET', KEYS[1], adopted, 'PXAT', string.format('%.0f', ends))
else
  redis.call('SET', KEYS[1], adopted)
end
return adopted
