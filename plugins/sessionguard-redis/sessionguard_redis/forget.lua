-- Removes a row, if it holds that session and has not been used since.
--   KEYS[1]  the key of the row
--   ARGV     the id of the session; the time in milliseconds before which it was last used, '' for any
-- Returns how many rows were removed.
local session_id, idle_before = ARGV[1], tonumber(ARGV[2])
local row = redis.call('GET', KEYS[1])
if not row then
  return 0
end
local id, started, updated = string.match(row, '^1 ([!-~]+) (%d+) (%d+)$')
if not id or #id > 256 or #started > 15 or #updated > 15 then
  return redis.error_reply('CORRUPT the row is not one of ours')
end
if id ~= session_id or (idle_before and tonumber(updated) >= idle_before) then
  return 0
end
return redis.call('DEL', KEYS[1])
