-- Gives a name to an owner, if nobody has it and nobody who waits has waited longer.
--   KEYS[1]  the key of the name, a hash: owner, number, granted_at and expires_at of its lease; settled_until; and for
--            each owner that waits a field 'wait:OWNER', with since when, and until when that counts
--   ARGV     the owner, and in milliseconds: how long the lease lasts; how long the owner has waited, '' if it does not
--            wait; how long a place in the queue counts; how long the number is remembered
-- Returns whether the owner has the lease, how many are before it, whether the name is settled, the server's time, and
-- number, beginning, end and owner of the lease that stands, if there is one.
local owner, duration, waited = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local ticket, memory = tonumber(ARGV[4]), tonumber(ARGV[5])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local row, queue = {}, {}
local fields = redis.call('HGETALL', KEYS[1])
for at = 1, #fields, 2 do
  local waiting = string.match(fields[at], '^wait:(.*)$')
  if waiting then
    local since, lapses = string.match(fields[at + 1], '^(%d+) (%d+)$')
    if tonumber(lapses) > now then
      queue[waiting] = tonumber(since)
    else
      redis.call('HDEL', KEYS[1], fields[at])
    end
  else
    row[fields[at]] = fields[at + 1]
  end
end

local number, granted_at = tonumber(row.number or 0), tonumber(row.granted_at or 0)
local expires_at = tonumber(row.expires_at or 0)
local is_taken = row.owner and expires_at > now
local is_settled = tonumber(row.settled_until or 0) > now
local is_ours = is_taken and row.owner == owner
local since = math.min(now - (waited or 0), queue[owner] or now)
local before = is_taken and 1 or 0
for other, other_since in pairs(queue) do
  if other ~= owner and (other_since < since or (other_since == since and other < owner)) then
    before = before + 1
  end
end

if is_ours or (before == 0 and not is_settled) then
  if not is_ours then
    number, granted_at = math.max(number + 1, now), now
  end
  expires_at = now + duration
  redis.call('HSET', KEYS[1], 'owner', owner, 'number', string.format('%.0f', number),
    'granted_at', string.format('%.0f', granted_at), 'expires_at', string.format('%.0f', expires_at))
  redis.call('HDEL', KEYS[1], 'wait:' .. owner)
  redis.call('PEXPIRE', KEYS[1], math.max(redis.call('PTTL', KEYS[1]), duration, memory))
  return {1, 0, 0, now, number, granted_at, expires_at, owner}
end
if waited and not is_settled then
  redis.call('HSET', KEYS[1], 'wait:' .. owner, string.format('%.0f %.0f', since, now + ticket))
  redis.call('PEXPIRE', KEYS[1], math.max(redis.call('PTTL', KEYS[1]), ticket, memory))
end
local answer = {0, is_settled and 0 or before, is_settled and 1 or 0, now}
if is_taken then
  answer = {answer[1], answer[2], answer[3], answer[4], number, granted_at, expires_at, row.owner}
end
return answer
