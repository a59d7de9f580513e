-- Gives back the lease of an owner, or its place in the queue, and calls those who need not wait any longer.
--   KEYS[1]  the key of the name, as in acquire.lua
--   ARGV     the owner, and in milliseconds: for how long the name is settled, 0 for not at all; how long the number is
--            remembered; then the channel on which owners are called
-- Returns whether the owner had the lease.
local owner, settled_for, memory, channel = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HDEL', KEYS[1], 'wait:' .. owner)

local row, queue = {}, {}
local fields = redis.call('HGETALL', KEYS[1])
for at = 1, #fields, 2 do
  local waiting = string.match(fields[at], '^wait:(.*)$')
  if waiting then
    local since, lapses = string.match(fields[at + 1], '^(%d+) (%d+)$')
    if tonumber(lapses) > now then
      queue[#queue + 1] = {tonumber(since), waiting}
    end
  else
    row[fields[at]] = fields[at + 1]
  end
end
table.sort(queue, function(one, other)
  return one[1] < other[1] or (one[1] == other[1] and one[2] < other[2])
end)

local is_taken = row.owner and tonumber(row.expires_at) > now
local is_held = is_taken and row.owner == owner
local settled_until = tonumber(row.settled_until or 0)
if row.owner == owner then
  redis.call('HDEL', KEYS[1], 'owner', 'granted_at', 'expires_at')
  if is_held and settled_for > 0 then
    settled_until = math.max(settled_until, now + settled_for)
    redis.call('HSET', KEYS[1], 'settled_until', string.format('%.0f', settled_until))
  end
  redis.call('PEXPIRE', KEYS[1], math.max(settled_until - now, memory))
end
if is_held or not is_taken then
  for place = 1, settled_until > now and #queue or math.min(#queue, 1) do
    -- Who may not publish is no reason to keep the lease.
    redis.pcall('PUBLISH', channel, queue[place][2])
  end
end
return is_held and 1 or 0
