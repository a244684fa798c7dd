-- Which outputs a request asks the classes of, after protobuf.lua or json.lua. Triton ends when it looks for classes in
-- texts, or in an output without elements. The route has the names of the outputs that have neither; of any other no
-- request for classes passes.
--
-- unclassified_in_json(text, allowed), unclassified_in_messages(outputs, allowed) -> nil | what is wrong
local CLASSES = "classification"
local ANYWHERE = { refused = { [CLASSES] = true } }
local IN_PLACE = { refused = {}, inside = { parameters = true } }

local function refusal_of(name)
  local shown = string.gsub(string.sub(name or "", 1, 64), "[^%w%._-]", "?")
  return "The output " .. (shown == "" and "without a name" or shown) .. " cannot be classified: leave its parameter classification out. "
    .. "Only an output with a numeric type and fixed dims in config.pbtxt can be."
end

local function is_allowed(name, allowed)
  for _, each in ipairs(allowed or {}) do
    if each == name then return true end
  end
  return false
end

-- One of the parts of `outputs`, which scan_json has read already.
local function problem_in_json(text, allowed)
  if not scan_json(text, ANYWHERE) then return nil end
  local problem, found = scan_json(text, IN_PLACE)
  if problem then return problem end
  local at = found["name"]
  local name = at and string.match(string.sub(text, at[1], at[2]), '^"(.*)"$')
  name = name and unescape(name)
  if name and found["parameters." .. CLASSES] and is_allowed(name, allowed) then return nil end
  return refusal_of(name)
end

-- `text` is what a body has for `outputs`.
function unclassified_in_json(text, allowed)
  local depth, start, at = 0, nil, string.find(text, '[%[%]{}"]')
  while at do
    local c = string.byte(text, at)
    if c == QUOTE then
      at = string_end(text, at + 1)
    elseif c == OPEN or c == OPEN_LIST then
      depth = depth + 1
      if depth == 2 then start = at end
    else
      depth = depth - 1
      local problem = depth == 1 and problem_in_json(string.sub(text, start, at), allowed)
      if problem then return problem end
    end
    at = string.find(text, '[%[%]{}"]', at + 1)
  end
  return nil
end

-- Calls `visit` with each field that has a length: its number, and where its content begins and ends. False when the
-- bytes are no message, or have a group, behind which more may be hidden.
local function each_field(text, at, stop, visit)
  while at <= stop do
    local tag, size
    tag, at = field_tag(text, at, stop)
    if not tag then return false end
    size, at = field_length(tag % 8, text, at, stop)
    if not size or at + size - 1 > stop then return false end
    if tag % 8 == 2 then visit(math.floor(tag / 8), at, at + size - 1) end
    at = at + size
  end
  return true
end

-- InferRequestedOutputTensor { 1: name, 2: parameters, which are map entries { 1: key, 2: value } }. Of several names the
-- last one counts, as for a backend.
local function problem_in_message(text, allowed)
  local name, asks = "", false
  local function parameter(number, from, to)
    if number == 1 and string.sub(text, from, to) == CLASSES then asks = true end
  end
  local whole = each_field(text, 1, #text, function(number, from, to)
    if number == 1 then
      name = string.sub(text, from, to)
    elseif number == 2 and not each_field(text, from, to, parameter) then
      asks = true
    end
  end)
  if whole and (not asks or is_allowed(name, allowed)) then return nil end
  return refusal_of(name)
end

function unclassified_in_messages(outputs, allowed)
  for _, output in ipairs(outputs) do
    local problem = string.find(output, CLASSES, 1, true) and problem_in_message(output, allowed)
    if problem then return problem end
  end
  return nil
end
