-- Runs after numbers.lua for callers whose key has a limit of requests, once they are known. It decides nothing: it writes down which
-- bucket a request takes from and how much, and by which clusters it goes, and native filters decide on them.
local HOPS = { "x-console-hop", "x-console-hop-2", "x-console-hop-3" }

function envoy_on_request(handle)
  local headers = handle:headers()
  local caller = headers:get("x-caller") or ""
  local bucket, cost, limit = string.match(caller, ";rate=(%w+):(%d+):(%d+);")
  if bucket then
    headers:replace("x-console-bucket", bucket)
    headers:replace("x-console-cost", cost)
    handle:streamInfo():dynamicMetadata():set("limits", "cost", cost)
    handle:streamInfo():dynamicMetadata():set("limits", "limit", limit)
  end
  local at = 0
  for hop in string.gmatch(caller, ";(hop=%w+:%d+)") do
    at = at + 1
    headers:replace(HOPS[at], hop)
  end
  if at > 0 then handle:clearRouteCache() end
end

-- The filter of the buckets tells of tokens; a caller wants to know of requests.
function envoy_on_response(handle)
  local headers = handle:headers()
  local limits = handle:streamInfo():dynamicMetadata():get("limits")
  local tokens = whole_number(headers:get("x-ratelimit-remaining") or "")
  if not limits or not tokens or not headers:get("x-ratelimit-limit") then return end
  local limit, cost = whole_number(limits.limit), whole_number(limits.cost)
  headers:replace("x-ratelimit-limit", limits.limit)
  headers:replace("x-ratelimit-remaining", tostring(math.floor(tokens / cost)))
  headers:replace("x-ratelimit-reset", tostring(math.ceil(60 / limit)))
end
