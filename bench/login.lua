-- Logins with EMAIL and PASSWORD of the environment; every answer must be 200.
local threads = {}

function setup(thread)
  thread:set("other", 0)
  table.insert(threads, thread)
end

function init()
  wrk.method = "POST"
  wrk.headers["content-type"] = "application/json"
  wrk.body = string.format('{"email":"%s","password":"%s"}', os.getenv("EMAIL"), os.getenv("PASSWORD"))
end

function response(status)
  if status ~= 200 then
    other = other + 1
  end
end

function done(summary)
  local other = 0
  for _, thread in ipairs(threads) do
    other = other + thread:get("other")
  end
  io.write(string.format("RESULT %d %d %.6f\n", summary.requests, other, summary.duration / 1e6))
end
