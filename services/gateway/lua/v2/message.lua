-- Reads the outline of a ModelInferRequest, after shapes.lua and protobuf.lua: request { 1: model_name, 5: inputs { 3: shape },
-- 6: outputs, 7: raw_input_contents }. What is large is jumped over; of what comes after that only a little is fetched.
--
-- How many fields a message may have, how much is fetched at once, the most that a tag and a length take, the longest shape,
-- and how much of a name is worth reading (127 characters at most: a service and an adapter).
local MOST_FIELDS, WINDOW, LONGEST_HEAD, LONGEST_SHAPE, LONGEST_NAME = 100000, 4096, 20, 1024, 129
local BYTES, VARINT = 2, 0
local NAME, INPUTS, OUTPUTS, SHAPE, RAW = 1, 5, 6, 3, 7
local NO_MESSAGE = "The first message is not a message of the V2 protocol."

-- Adds the numbers of a packed shape; false when they are none, or too many.
local function add_packed(dimensions, text, at, stop)
  while at <= stop do
    local number
    number, at = varint(text, at, stop)
    if not number or #dimensions > LONGEST_SHAPE then return false end
    dimensions[#dimensions + 1] = number
  end
  return true
end

-- A text with the method of a buffer that is used here.
function held(text)
  return { getBytes = function(_, from, length) return string.sub(text, from + 1, from + length) end }
end

-- `body` has a frame of `size` bytes, which begins with `text`. Returns the model's name, as a backend reads it (the last
-- one counts), whether the tensors are in the typed fields: there are inputs, and no raw contents, and the outputs that it
-- names, if any. Else nothing, and what is wrong.
function outline(body, size, text)
  local compressed, a, b, c, d = string.byte(text, 1, 5)
  if compressed ~= 0 or ((a * 256 + b) * 256 + c) * 256 + d ~= size - 5 then return nil, NO_MESSAGE end
  local model, inputs, outputs, raw, before, at, last = "", false, nil, false, 0, 6, #text
  local dimensions, stop = nil, size -- of the input that is being read, or of the whole message

  local function fetch(least)
    if at + least > last and before + last < size then
      before, at = before + at - 1, 1
      text = body:getBytes(before, math.min(WINDOW, size - before))
      last = #text
    end
  end

  for _ = 1, MOST_FIELDS do
    if dimensions and before + at == stop + 1 then
      if not is_possible_shape(dimensions, size) then return nil, WRONG_SHAPE end
      dimensions, stop = nil, size
    end
    if before + at > stop then
      if before + at ~= size + 1 then return nil, NO_MESSAGE end
      return model, inputs and not raw, outputs
    end
    fetch(LONGEST_HEAD)
    local tag, length
    tag, at = field_tag(text, at, last)
    if not tag then return nil, NO_MESSAGE end
    local number, kind, start = math.floor(tag / 8), tag % 8, at
    length, at = field_length(kind, text, at, last)
    if not length or before + at + length - 1 > stop then return nil, NO_MESSAGE end
    if dimensions then
      if number == SHAPE and kind == VARINT then
        dimensions[#dimensions + 1] = varint(text, start, last)
      elseif number == SHAPE and kind == BYTES then
        if length > LONGEST_SHAPE then return nil, WRONG_SHAPE end
        fetch(length)
        if not add_packed(dimensions, text, at, at + length - 1) then return nil, WRONG_SHAPE end
      end
    elseif number == NAME then
      if kind ~= BYTES then return nil, NO_MESSAGE end
      model = length > 0 and body:getBytes(before + at - 1, math.min(length, LONGEST_NAME)) or ""
    elseif number == INPUTS then
      inputs = true
      if kind == BYTES then
        dimensions, stop, length = {}, before + at + length - 1, 0 -- what is in it comes next
      end
    elseif number == OUTPUTS then
      outputs = outputs or {}
      if kind == BYTES then outputs[#outputs + 1] = body:getBytes(before + at - 1, length) end
    elseif number == RAW then raw = true end
    at = at + length
  end
  return nil, NO_MESSAGE
end

-- The name in a message of another method, when it is there once: in field 1, or (`inside`) in field 1 of the message in
-- field 1. A backend takes the last of several, and merges messages; nobody but an attacker sends them.
function single_name(body, size, text, inside)
  local found, before, at, last = nil, 0, 6, #text
  local compressed, a, b, c, d = string.byte(text, 1, 5)
  if compressed ~= 0 or ((a * 256 + b) * 256 + c) * 256 + d ~= size - 5 then return nil end
  for _ = 1, MOST_FIELDS do
    if before + at > size then return before + at == size + 1 and found or nil end
    if at + LONGEST_HEAD > last and before + last < size then
      before, at = before + at - 1, 1
      text = body:getBytes(before, math.min(WINDOW, size - before))
      last = #text
    end
    local tag, length
    tag, at = field_tag(text, at, last)
    if not tag then return nil end
    local number, kind = math.floor(tag / 8), tag % 8
    length, at = field_length(kind, text, at, last)
    if not length or before + at + length - 1 > size then return nil end
    if number == NAME then
      if found or kind ~= BYTES or length > WINDOW then return nil end
      found = length > 0 and body:getBytes(before + at - 1, length) or ""
      if inside then
        -- Framed, so that the same reads it.
        local framed = string.char(0, 0, 0, math.floor(length / 256), length % 256) .. found
        found = single_name(held(framed), #framed, framed, false)
        if not found then return nil end
      end
    end
    at = at + length
  end
  return nil
end
