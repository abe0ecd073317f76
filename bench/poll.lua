-- A device asks whether there is something to install. Argument: file with one device token a line.
local threads = 0
function setup(thread)
  thread:set("id", threads)
  threads = threads + 1
end

local tokens, asked = {}, 0

function init(args)
  for token in io.lines(args[1]) do tokens[#tokens + 1] = token end
end

function request()
  asked = asked + 1
  return wrk.format("POST", "/api/devices/v1/deployments/device/deployments/next",
    { ["Content-Type"] = "application/json", ["Authorization"] = "Bearer " .. tokens[(asked * 2 + id) % #tokens + 1] },
    '{"artifact_name":"release-1","device_type":"qemux86-64"}')
end

function done(summary, latency, _)
  local errors = summary.errors
  io.write(string.format("RESULT %d %d %d %d %d\n", summary.requests,
    errors.status + errors.timeout + errors.connect + errors.read + errors.write, summary.duration,
    latency:percentile(50), latency:percentile(99)))
end
