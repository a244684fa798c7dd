-- Runs on requests that say which page they come from, where some service names origins, and on every answer to them: the
-- gateway's own refusals too, which a page could not read otherwise. After model.lua and naming.lua.
--
-- The origins are those of the service that the request came to. Where it came to none yet, those of all services: what is
-- answered then is no service's.
local FILTER = "@CORS@"
local EXPOSED = "@EXPOSED@"

local function remember(handle, headers)
  handle:streamInfo():dynamicMetadata():set(FILTER, "origin", headers:get("origin"))
end

local function allowed(handle, origin)
  for _, each in ipairs(handle:virtualHost():metadata():get("origins") or {}) do
    if each == "*" or each == origin then return each end
  end
  return nil
end

function envoy_on_request(handle)
  remember(handle, handle:headers())
end

-- A preflight has no key, and goes to no service: to the answer of a service that names origins, or to none.
function preflight(handle)
  local headers = handle:headers()
  remember(handle, headers)
  local prefix, in_path = in_rest_path(headers, headers:get(":path"))
  local model, differ = one_model(nil, in_host(headers), prefix, in_path)
  if not model then return end
  headers:replace("x-service", "@PREFLIGHT@" .. (not differ and is_model(model) and model or "_"))
  handle:clearRouteCache()
end

function envoy_on_response(handle)
  local known = handle:streamInfo():dynamicMetadata():get(FILTER)
  local origin = known and allowed(handle, known.origin)
  if not origin then return end
  local headers = handle:headers()
  headers:add("vary", "Origin")
  headers:replace("access-control-allow-origin", origin)
  headers:replace("access-control-expose-headers", EXPOSED)
end
