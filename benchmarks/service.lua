-- For wrk: uploads a picture again and again; prints what came of it as JSON.

local file = assert(io.open(os.getenv("PICTURE"), "rb"))
local boundary = "cnn-cifar10-benchmark"
wrk.method = "POST"
wrk.path = "/predict"
wrk.headers["Content-Type"] = "multipart/form-data; boundary=" .. boundary
wrk.body = "--" .. boundary
  .. '\r\nContent-Disposition: form-data; name="images"; filename="picture"\r\n\r\n'
  .. file:read("*all") .. "\r\n--" .. boundary .. "--\r\n"
file:close()

function done(summary, latency)
  local errors = summary.errors
  print(string.format(
    '{"requests": %d, "seconds": %f, "median_ms": %f, "p99_ms": %f, "broken": %d, "refused": %d}',
    summary.requests, summary.duration / 1e6,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors.connect + errors.read + errors.write + errors.timeout, errors.status))
end
