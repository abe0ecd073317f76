-- POSTs of unique alerts for wrk. Arguments: alerts in one POST, file with one device token a line.
local threads = 0
function setup(thread)
  thread:set("id", threads)
  threads = threads + 1
end

local LINE = '{"line_number":%d,"data":"Mar 24 15:25:51 gate sshd[4092]: as many words as a line of a log usually has"}'
local ALERT = '{"name":"Log file contains CVE.*HIGH","level":"%s","timestamp":"2026-01-%02dT%02d:%02d:%02d.%06dZ",'
  .. '"subject":{"name":"log_scan-%d-%d","type":"log","status":"LOGCONTAINS",'
  .. '"details":{"description":"CVE.*HIGH present in /tmp/x","lines_before":[%s],'
  .. '"line_matching":{"line_number":11,"data":"CVE-2026-%d HIGH"},"lines_after":[%s]}}}'

local tokens, per_post, context, posts = {}, 1, "", 0

function init(args)
  per_post = tonumber(args[1])
  for token in io.lines(args[2]) do tokens[#tokens + 1] = token end
  local lines = {}
  for number = 1, 10 do lines[number] = string.format(LINE, number) end
  context = table.concat(lines, ",")
end

local function alert(serial)
  return string.format(ALERT, serial % 2 == 0 and "OK" or "CRITICAL",
    1 + math.floor(serial / 86400000) % 28, math.floor(serial / 3600000) % 24, math.floor(serial / 60000) % 60,
    math.floor(serial / 1000) % 60, serial % 1000 * 1000 + id, per_post, serial % 20, context, serial, context)
end

function request()
  posts = posts + 1
  local alerts = {}
  for number = 1, per_post do alerts[number] = alert(posts * per_post + number) end
  local token = tokens[(posts * 2 + id) % #tokens + 1]
  return wrk.format("POST", "/api/devices/v1/devicemonitor/alert",
    { ["Content-Type"] = "application/json", ["Authorization"] = "Bearer " .. token },
    "[" .. table.concat(alerts, ",") .. "]")
end

function done(summary, latency, _)
  local errors = summary.errors
  io.write(string.format("RESULT %d %d %d %d %d\n", summary.requests,
    errors.status + errors.timeout + errors.connect + errors.read + errors.write, summary.duration,
    latency:percentile(50), latency:percentile(99)))
end
