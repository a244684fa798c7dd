-- The names that the headers of a request have for its service, after model.lua.
local DOMAIN = ".@DOMAIN@"

-- <service>.<domain>, with or without a port.
local function named_by(host)
  if not host then return nil end
  host = string.lower(host)
  local stop = string.find(host, DOMAIN, 2, true)
  if not stop then return nil end
  local rest = string.sub(host, stop + #DOMAIN)
  if rest ~= "" and not string.find(rest, "^:%d*$") then return nil end
  return string.sub(host, 1, stop - 1)
end

local last_host, last_named
function in_host(headers)
  local host = headers:get(":authority")
  if host ~= last_host then last_host, last_named = host, named_by(host) end
  return last_named
end

-- Many clients quote the colon of an adapter or of a verb. From here on there is one spelling, for the backend too.
local function with_colons(headers, path)
  local before, query = string.match(path, "^([^?]*)(.*)$")
  path = string.gsub(before, "%%3[Aa]", ":") .. query
  headers:replace(":path", path)
  return path
end

-- The service named in front of the path, and the model named in it. /services/<service> is taken off, so that what
-- follows is the path of a door.
function in_rest_path(headers, path)
  if string.find(path, "%3", 1, true) then path = with_colons(headers, path) end
  local named = string.match(path, "^/v2/models/([^/?]+)")
  if named then return nil, named end
  local service, rest = string.match(path, "^/services/([^/]+)(/.*)$")
  if rest then headers:replace(":path", rest) end
  path = rest or path
  named = string.match(path, "^/v1/models/([^/?]+)")
  return service, named and string.gsub(named, ":predict$", "") or string.match(path, "^/v2/models/([^/?]+)")
end

-- The name in front of a request that has an adapter, if one has. A host has none: its colon begins a port.
local function most_exact(header, host, prefix)
  if prefix and string.find(prefix, ":", 1, true) then return prefix end
  return header or host or prefix
end

-- The model that these come to, and whether they differ. What the backend reads is what is in the path.
function one_model(header, host, prefix, in_path)
  local model = in_path or most_exact(header, host, prefix)
  return model, header and not agrees(header, model) or host and not agrees(host, model)
    or prefix and not agrees(prefix, model)
end
