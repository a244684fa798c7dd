-- How a script refuses a request: it names the native route that answers. The first refusal wins: a
-- request that was refused for its headers is not refused for its body too.
function refuse(handle, headers, service, reason, field)
  local chosen = headers:get("x-service")
  if chosen ~= "@DOOR@" and string.byte(chosen) == 95 then return end
  if reason then headers:replace("x-reason", reason) end
  if type(field) == "string" then headers:replace("x-param", (string.gsub(string.sub(field, 1, 64), "[^%w%._-]", "?"))) end
  headers:replace("x-service", service)
  handle:clearRouteCache()
end
