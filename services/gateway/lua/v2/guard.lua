-- Runs on V2 REST inference, after numbers.lua, refusal.lua, shapes.lua, json.lua, sequence.lua and classes.lua. Triton
-- reads tensors out of shared memory when a body says so: no body that does may pass. x-checked is set last, so whatever
-- fails here, the request is refused by the policy of its service.
local SHARED_MEMORY = { shared_memory_region = true, shared_memory_byte_size = true, shared_memory_offset = true }
local RULES = { refused = SHARED_MEMORY }
local WITH_PARAMETERS = { refused = SHARED_MEMORY, inside = { parameters = true } }
local PIECE, OVERLAP = 262144, 16
local FRAMING = @FRAMING@
local DEEPEST_LEVEL, OPENINGS = 64, { "[", "{" }
local MOST_NAMES, SHORTEST_MEMBER, LONGEST_SHAPE = 10000, 4, 2048
local LIST, OBJECT = 91, 123
local DEEP = "The body is nested more than 64 levels deep."
local MANY = "The JSON of the body has more than 10000 names."

-- Whether the name is there. As a word at the end of a text it is data, and common.
local function names_classes(text)
  local _, at = string.find(text, 'lassification"', 1, true)
  while at do
    if string.find(text, "^[ \t\r\n]*:", at + 1) or string.find(text, "^[ \t\r\n]*$", at + 1) then return true end
    _, at = string.find(text, 'lassification"', at + 1, true)
  end
  return false
end

-- Nearly every body has none of them: a word that is in all three names, the name for classes, or a letter that is spelled
-- as an escape.
local function suspicious(text)
  return string.find(text, "hared_memory", 1, true) or string.find(text, "\\u00", 1, true) or names_classes(text)
end

-- How often one of the characters is there, up to one more than `most`.
local function count(text, characters, most)
  local found = 0
  for _, character in ipairs(characters) do
    local at = string.find(text, character, 1, true)
    while at do
      found = found + 1
      if found > most then return found end
      at = string.find(text, character, at + 1, true)
    end
  end
  return found
end

-- Triton's JSON reader calls itself for each level, and a body of a hundred thousand ends it; the time that it takes for the
-- parameters of a request grows with the square of their number. Nothing that is deep has few openings, and nothing with
-- many names few colons, and those are counted quickly; only a body with many is gone through.
--
-- Whether the JSON must be gone through: for one of the words, and for what it is made of. A large one is looked at in pieces.
local function worth_a_look(body, size)
  local words, openings, colons = false, 0, 0
  for from = 0, size - 1, PIECE do
    local text = body:getBytes(from, math.min(PIECE + OVERLAP, size - from))
    words = words or suspicious(text)
    if openings <= DEEPEST_LEVEL then openings = openings + count(text, OPENINGS, DEEPEST_LEVEL) end
    if size > SHORTEST_MEMBER * MOST_NAMES and colons <= MOST_NAMES then colons = colons + count(text, { ":" }, MOST_NAMES) end
  end
  return words, openings > DEEPEST_LEVEL or colons > MOST_NAMES
end

-- What is wrong with the structure. Up to the first mistake in it this sees what any parser sees, and no parser goes on
-- from there.
local function too_much(text)
  local depth, names, at = 0, 0, string.find(text, '[%[%]{}":]')
  while at do
    local c = string.byte(text, at)
    if c == QUOTE then
      at = string_end(text, at + 1)
      if not at then return nil end
    elseif c == COLON then
      names = names + 1
      if names > MOST_NAMES then return MANY end
    elseif c == LIST or c == OBJECT then
      depth = depth + 1
      if depth > DEEPEST_LEVEL then return DEEP end
    else
      depth = depth - 1
    end
    at = string.find(text, '[%[%]{}":]', at + 1)
  end
  return nil
end

-- Whether what begins with the name "shape" has a list after it that no shape can be. Other values, and the word in a text,
-- are the backend's to judge.
local function wrong_shape(text, size)
  local list = string.match(text, '^"shape"[ \t\r\n]*:[ \t\r\n]*%[([%d, \t\r\n]*)%]')
  if not list then
    return string.find(text, '^"shape"[ \t\r\n]*$') or string.find(text, '^"shape"[ \t\r\n]*:[ \t\r\n]*$')
      or string.find(text, '^"shape"[ \t\r\n]*:[ \t\r\n]*%[')
  end
  local dimensions = {}
  for digits in string.gmatch(list, "%d+") do
    dimensions[#dimensions + 1] = whole_number(digits) or math.huge
  end
  return not is_possible_shape(dimensions, size)
end

-- Whether one of the shapes in the first `length` bytes is wrong. Looked for by a letter that is rarer than quotes.
local function has_wrong_shape(body, length, size)
  for from = 0, length - 1, PIECE do
    local text = body:getBytes(from, math.min(PIECE + OVERLAP, length - from))
    local at = string.find(text, 'hape"', 1, true)
    while at do
      if string.sub(text, at - 2, at - 1) == '"s' then
        local start = from + at - 3
        if wrong_shape(body:getBytes(start, math.min(LONGEST_SHAPE, length - start)), size) then return true end
      end
      at = string.find(text, 'hape"', at + 1, true)
    end
  end
  return false
end

-- Some clients send JSON as application/octet-stream. Taken for one is only what has `inputs`, as every request has:
-- anything else is a raw tensor, and the backend told so, which then reads no JSON in it.
local function is_request(body, size)
  if size == 0 or not string.find(body:getBytes(0, math.min(64, size)), "^[ \t\r\n]*{") then return false end
  local text = body:getBytes(0, size)
  if not string.find(text, '"inputs"', 1, true) then return false end
  local problem, found = scan_json(text, RULES)
  return problem and problem ~= NOT_JSON or found and found["inputs"] ~= nil
end

-- How much of the body is JSON: with the binary extension only the beginning, of raw tensors nothing.
local function json_length(headers, body, size)
  local length = headers:get("inference-header-content-length")
  if length then return whole_number(length) or -1 end
  local kind = headers:get("content-type")
  if not kind or string.find(string.lower(kind), "application/octet-stream", 1, true) ~= 1 then return size end
  if is_request(body, size) then return size end
  headers:replace("inference-header-content-length", "0")
  return 0
end

function envoy_on_request(handle)
  local body = handle:body()
  local headers = handle:headers() -- not before: those are not to be used after a wait
  local size = body and body:length() or 0
  if size > FRAMING then headers:replace("x-size", tostring(size)) end
  local length = json_length(headers, body, size)
  if length < 0 or length > size then
    return refuse(handle, headers, "@REFUSED@", "Inference-Header-Content-Length must be one number, in digits, no larger than the body.")
  end
  if length > 0 then
    local words, much = worth_a_look(body, length)
    local problem, field = much and too_much(body:getBytes(0, length)) or nil, nil
    if not problem and has_wrong_shape(body, length, size) then problem = WRONG_SHAPE end
    if problem then return refuse(handle, headers, "@REFUSED@", problem) end
    local sequences = handle:metadata():get("sequences")
    if words or sequences then
      local text = body:getBytes(0, length)
      problem, field = scan_json(text, WITH_PARAMETERS)
      local id = not problem and sequences and field["parameters.sequence_id"]
      local sequence = id and sequence_in_json(string.sub(text, id[1], id[2]))
      if sequence then headers:replace("x-sequence", sequence) end
      local outputs = not problem and words and field["outputs"]
      if outputs then
        problem, field = unclassified_in_json(string.sub(text, outputs[1], outputs[2]), handle:metadata():get("classes")), nil
      end
    end
    if problem then
      local named = type(field) == "string" and " (" .. string.gsub(string.sub(field, 1, 64), "[^%w%._-]", "?") .. ")" or ""
      return refuse(handle, headers, "@REFUSED@", problem .. named)
    end
  end
  if size > FRAMING then handle:clearRouteCache() end
  headers:replace("x-checked", "1")
end
