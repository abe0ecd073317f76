-- A device sends its inventory, in which one value is new each time. Argument: file with one device token a line.
local threads = 0
function setup(thread)
  thread:set("id", threads)
  threads = threads + 1
end

local tokens, asked = {}, 0

function init(args)
  for token in io.lines(args[1]) do tokens[#tokens + 1] = token end
end

local FIXED = '{"name":"device_type","value":"qemux86-64"},{"name":"artifact_name","value":"release-1"},'
  .. '{"name":"mender_client_version","value":"3.4.0"},{"name":"os","value":"Debian GNU/Linux 12 (bookworm)"},'
  .. '{"name":"hostname","value":"gate"},{"name":"mac_eth0","value":"02:00:00:00:00:01"},'
  .. '{"name":"ipv4_eth0","value":["10.0.0.7/24"]},{"name":"kernel","value":"Linux version 6.1.0"},'
  .. '{"name":"mem_total_kB","value":"2048000"},'

function request()
  asked = asked + 1
  return wrk.format("PUT", "/api/devices/v1/inventory/device/attributes",
    { ["Content-Type"] = "application/json", ["Authorization"] = "Bearer " .. tokens[(asked * 2 + id) % #tokens + 1] },
    '[' .. FIXED .. '{"name":"uptime","value":"' .. asked .. '"}]')
end

function done(summary, latency, _)
  local errors = summary.errors
  io.write(string.format("RESULT %d %d %d %d %d\n", summary.requests,
    errors.status + errors.timeout + errors.connect + errors.read + errors.write, summary.duration,
    latency:percentile(50), latency:percentile(99)))
end
