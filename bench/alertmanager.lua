-- The alerts of alerts.lua as Alertmanager takes them. Argument: alerts in one POST.
-- Each has labels of its own, so that each is kept, as ours are: with those of one subject alone the later ones would
-- only take the place of the earlier. That costs it no more CPU, but memory.
local threads = 0
function setup(thread)
  thread:set("id", threads)
  threads = threads + 1
end

local LINE = "%d Mar 24 15:25:51 gate sshd[4092]: as many words as a line of a log usually has\\n"
local ALERT = '{"labels":{"alertname":"Log file contains CVE.*HIGH","device":"%08x-0000-4000-8000-000000000000",'
  .. '"subject":"log_scan-%d-%d","serial":"CVE-2026-%d","type":"log","status":"LOGCONTAINS","level":"CRITICAL"},'
  .. '"annotations":{"description":"CVE.*HIGH present in /tmp/x","before":"%s",'
  .. '"matching":"CVE-2026-%d HIGH","after":"%s"}}'

local per_post, context, posts = 1, "", 0

function init(args)
  per_post = tonumber(args[1])
  local lines = {}
  for number = 1, 10 do lines[number] = string.format(LINE, number) end
  context = table.concat(lines)
end

function request()
  posts = posts + 1
  local alerts = {}
  for number = 1, per_post do
    local serial = posts * per_post + number
    alerts[number] = string.format(ALERT, (posts * 2 + id) % 64, per_post, serial % 20, serial * 2 + id, context, serial, context)
  end
  return wrk.format("POST", "/api/v2/alerts", { ["Content-Type"] = "application/json" },
    "[" .. table.concat(alerts, ",") .. "]")
end

function done(summary, latency, _)
  local errors = summary.errors
  io.write(string.format("RESULT %d %d %d %d %d\n", summary.requests,
    errors.status + errors.timeout + errors.connect + errors.read + errors.write, summary.duration,
    latency:percentile(50), latency:percentile(99)))
end
