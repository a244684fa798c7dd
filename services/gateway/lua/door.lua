-- Runs on the headers of every request that came through a listed door, after sha256.lua. It decides nothing:
-- it writes down the digest of the key and the name of the service, and native filters decide on them. If it fails,
-- there is no digest, and the api-key filter refuses the request.
local LARGEST_BODY = @LARGEST_BODY@
local LONGEST_KEY = 256
local DOMAIN = ".@DOMAIN@"

local function bearer(value)
  return value and string.match(value, "^[Bb][Ee][Aa][Rr][Ee][Rr] +(.+)$")
end

-- The service's own header counts before Authorization, into which some clients always put something.
local function presented_key(handle, headers)
  local key = headers:get("x-api-key")
  if key and key ~= "" then return key end
  for _, name in ipairs(handle:metadata():get("auth_headers") or {}) do
    key = headers:get(name)
    if key then return bearer(key) or key end
  end
  return bearer(headers:get("authorization"))
end

-- Digests of the keys seen last, per worker. It says nothing of whether a key is good.
local CACHED_DIGESTS = 512
local digests, cached = {}, 0

local function digest_of(key)
  if not key or key == "" then return "@KEYLESS@" end
  if #key > LONGEST_KEY then return "overlong" end
  local digest = digests[key]
  if not digest then
    if cached >= CACHED_DIGESTS then digests, cached = {}, 0 end
    digest = sha256(key)
    digests[key], cached = digest, cached + 1
  end
  return digest
end

-- What a REST body must not be; a gRPC message is bounded where it is buffered.
local function refusal(headers)
  local kind = headers:get("content-type")
  if kind and string.find(kind, "application/grpc", 1, true) == 1 then return nil end
  local encoding = headers:get("content-encoding")
  if encoding and encoding ~= "" and encoding ~= "identity" then return "@ENCODED@" end
  local length = headers:get("content-length")
  if length and (tonumber(length) or LARGEST_BODY + 1) > LARGEST_BODY then return "@TOO_LARGE@" end
  return nil
end

-- A service is a DNS label. Virtual hosts are found whatever the case, so any other spelling must not get there.
local function service_of(headers, model)
  if #model <= 63 and string.find(model, "^[a-z0-9][a-z0-9-]*$") then return model end
  headers:replace("x-model", (string.gsub(string.sub(model, 1, 128), "[^%w%._-]", "?")))
  return "@UNKNOWN@"
end

-- <service>.<domain>, with or without a port.
local function in_host(headers)
  local host = headers:get(":authority")
  if not host then return nil end
  host = string.lower(host)
  local stop = string.find(host, DOMAIN, 2, true)
  if not stop then return nil end
  local rest = string.sub(host, stop + #DOMAIN)
  if rest ~= "" and not string.find(rest, "^:%d+$") then return nil end
  return string.sub(host, 1, stop - 1)
end

-- /services/<service>/... : taken off, so that what follows is the path of a door.
local function in_prefix(headers, path)
  local service, rest = string.match(path, "^/services/([^/]+)(/.*)$")
  if rest then headers:replace(":path", rest) end
  return service, rest or path
end

function envoy_on_request(handle)
  local headers = handle:headers()
  headers:replace("x-key-digest", digest_of(presented_key(handle, headers)))

  local prefix, path = in_prefix(headers, headers:get(":path"))
  local in_path = string.match(path, "^/v2/models/([^/?]+)") or string.match(path, "^/v1/models/([^/?:]+)")
  local header, host = headers:get("mm-vmodel-id"), in_host(headers)
  local model = header or host or prefix or in_path
  local refused = refusal(headers)
  -- Any other call waits for its body; nothing about its route has changed yet.
  if not (model or refused) then return end
  local service = refused or service_of(headers, model)
  for _, name in pairs({ host or model, prefix or model, in_path or model }) do
    if name ~= model then service = refused or "@CONFLICT@" end
  end
  headers:replace("x-service", service)
  handle:clearRouteCache()
end
