-- How a request names its model: `<service>`, or `<service>:<adapter>` for an adapter of a language model.
local LONGEST_SERVICE, LONGEST_ADAPTER = 63, 63

-- A service is a DNS label. Envoy ignores case when it looks up a virtual host, so no other spelling may get there.
function is_model(name)
  local service, rest = string.match(name, "^([a-z0-9][a-z0-9-]*)(.*)$")
  if not service or #service > LONGEST_SERVICE then return false end
  return rest == "" or #rest <= LONGEST_ADAPTER + 1 and string.find(rest, "^:%w[%w._-]*$") ~= nil
end

-- Whether a name in front of a request goes with the one that its backend reads. It may leave the adapter out.
function agrees(outer, inner)
  return outer == inner
    or not string.find(outer, ":", 1, true) and string.sub(inner, 1, #outer + 1) == outer .. ":"
end

-- An invalid name, made safe to repeat in a message.
function shown(name) return (string.gsub(string.sub(name, 1, 128), "[^%w%._:-]", "?")) end
