-- Orders of one item, each with a key of its own; counts what became of them.
-- STORE, ITEM and TOKEN come from the environment.
local run = os.getenv("RUN") or "0"
local body = string.format(
  '{"store_id":"%s","channel":"takeaway","lines":[{"item_id":"%s","quantity":1}],'
    .. '"payment":{"method":"card","token":"tok_ok"}}',
  os.getenv("STORE"), os.getenv("ITEM"))
local threads = {}
local number = 0

function setup(thread)
  thread:set("id", #threads)
  thread:set("confirmed", 0)
  thread:set("other", 0)
  table.insert(threads, thread)
end

function init()
  wrk.method = "POST"
  wrk.body = body
  wrk.headers["content-type"] = "application/json"
  wrk.headers["authorization"] = "Bearer " .. os.getenv("TOKEN")
end

function request()
  number = number + 1
  wrk.headers["idempotency-key"] = string.format("bench-%s-%d-%d", run, id, number)
  return wrk.format()
end

function response(status, _, answer)
  if status == 201 and string.find(answer, '"status":"confirmed"', 1, true) then
    confirmed = confirmed + 1
  else
    other = other + 1
  end
end

function done(summary, latency)
  local confirmed, other = 0, 0
  for _, thread in ipairs(threads) do
    confirmed = confirmed + thread:get("confirmed")
    other = other + thread:get("other")
  end
  io.write(string.format("RESULT %d %d %.3f %.1f %.1f\n", confirmed, other,
    summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
