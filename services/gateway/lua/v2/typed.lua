-- Runs on the answers to ModelInfer whose request had typed contents and no raw ones (resolve.lua decides, the route
-- says so; any other call runs nothing of this). The V2 protocol answers such a request in kind, Triton always answers
-- with raw_output_contents. So ModelInferResponse { 5: outputs { 2: datatype, 5: contents }, 6: raw_output_contents }
-- is written anew. To a request that names its outputs the raw contents go as well: so do NVIDIA's examples, which read
-- those, and clients of KServe read the typed ones. An answer that is large, compressed, of a type without a typed field, or not understood stays as it is.
local LARGEST = 1048576
local char, byte, sub, floor = string.char, string.byte, string.sub, math.floor

-- The number at `at`, and where it ends; nothing when there is none. No number here is above 2^53.
local function varint(text, at)
  local value, factor = 0, 1
  for i = at, at + 9 do
    local b = byte(text, i)
    if not b then return nil end
    value = value + (b % 128) * factor
    if b < 128 then return value, i + 1 end
    factor = factor * 128
  end
  return nil
end

-- Of the 64 bits high * 2^32 + low.
local function to_varint(low, high)
  local out = ""
  while high > 0 or low > 127 do
    out = out .. char(low % 128 + 128)
    low, high = floor(low / 128) + (high % 128) * 33554432, floor(high / 128)
  end
  return out .. char(low)
end

local function field(number, content)
  return char(number * 8 + 2) .. to_varint(#content, 0) .. content
end

-- What every byte above 127 becomes: nearly all work on bytes is then one substitution.
local unsigned, signed = {}, {}
for value = 128, 255 do
  unsigned[char(value)] = to_varint(value, 0)
  signed[char(value)] = to_varint(value + 4294967040, 4294967295)
end

local function of_bytes(larger)
  return function(raw) return (string.gsub(raw, "[\128-\255]", larger)) end
end

local function as_it_is(raw) return raw end

-- Little-endian numbers of 2, 4 or 8 bytes. A 32-bit number that is negative is one of 64 bits on the wire.
local function of_words(size, is_signed)
  return function(raw)
    if #raw % size ~= 0 then return nil end
    local out, count, known = {}, 0, {}
    for at = 1, #raw, size do
      local a, b, c, d, e, f, g, h = byte(raw, at, at + size - 1)
      local low, high = a + b * 256, 0
      if size == 2 then
        if is_signed and b > 127 then low, high = low + 4294901760, 4294967295 end
      else
        low = low + c * 65536 + d * 16777216
        if size == 8 then
          high = e + f * 256 + g * 65536 + h * 16777216
        elseif is_signed and d > 127 then
          high = 4294967295
        end
      end
      count = count + 1
      if high == 0 and low < 16384 then
        local text = known[low]
        if not text then
          text = to_varint(low, 0)
          known[low] = text
        end
        out[count] = text
      else
        out[count] = to_varint(low, high)
      end
    end
    return table.concat(out)
  end
end

-- Each element with its length in four bytes before it.
local function of_strings(raw)
  local out, at = {}, 1
  while at <= #raw do
    local a, b, c, d = byte(raw, at, at + 3)
    if not d then return nil end
    local size = a + b * 256 + c * 65536 + d * 16777216
    if at + 3 + size > #raw then return nil end
    out[#out + 1] = field(8, sub(raw, at + 4, at + 3 + size))
    at = at + 4 + size
  end
  return table.concat(out)
end

-- Datatype -> the field of InferTensorContents, and its content made of raw bytes. FP16 and BF16 have none.
local TYPES = {
  BOOL = { 1, as_it_is },
  INT8 = { 2, of_bytes(signed) }, INT16 = { 2, of_words(2, true) }, INT32 = { 2, of_words(4, true) },
  INT64 = { 3, of_words(8) },
  UINT8 = { 4, of_bytes(unsigned) }, UINT16 = { 4, of_words(2) }, UINT32 = { 4, of_words(4) },
  UINT64 = { 5, of_words(8) },
  FP32 = { 6, as_it_is }, FP64 = { 7, as_it_is },
  BYTES = { nil, of_strings },
}

local function contents(datatype, raw)
  local kind = TYPES[datatype]
  local made = kind and kind[2](raw)
  if not made then return nil end
  if kind[1] and made ~= "" then made = field(kind[1], made) end
  return field(5, made)
end

-- Calls on_field(number, from, to, start) for each field of a message that has a length; false when it is no message.
local function each_field(text, on_field)
  local at, stop = 1, #text
  while at <= stop do
    local start, tag, size = at, nil, nil
    tag, at = varint(text, at)
    if not tag then return false end
    local kind = tag % 8
    if kind == 2 then
      size, at = varint(text, at)
      if not size or at + size - 1 > stop then return false end
      on_field(floor(tag / 8), at, at + size - 1, start)
      at = at + size
    elseif kind == 0 then
      size, at = varint(text, at)
      if not size then return false end
      on_field(0, at, at - 1, start)
    else
      return false -- no field of this message has a fixed size
    end
  end
  return true
end

-- Datatype of an output; nothing when it has contents already.
local function datatype_of(output)
  local found, has_contents = nil, false
  local whole = each_field(output, function(number, from, to)
    if number == 2 then found = sub(output, from, to) elseif number == 5 then has_contents = true end
  end)
  return whole and not has_contents and found or nil
end

-- The message with its tensors in `contents`, and where they were if `both`; nothing when it must stay as it is.
function with_typed_contents(message, both)
  local parts, outputs, raw = {}, {}, {}
  local whole = each_field(message, function(number, from, to, start)
    if number == 6 then raw[#raw + 1] = sub(message, from, to) end
    if number ~= 6 or both then
      parts[#parts + 1] = sub(message, start, to)
      if number == 5 then outputs[#outputs + 1] = { #parts, sub(message, from, to) } end
    end
  end)
  if not whole or #raw == 0 or #raw ~= #outputs then return nil end
  for index, output in ipairs(outputs) do
    local typed = contents(datatype_of(output[2]), raw[index])
    if not typed then return nil end
    parts[output[1]] = field(5, output[2] .. typed)
  end
  return table.concat(parts)
end

local function length_of(number)
  return char(floor(number / 16777216), floor(number / 65536) % 256, floor(number / 256) % 256, number % 256)
end

-- Held until it is whole, which is when its length says so; never with body(), which fails on what is too large for it.
function envoy_on_response(handle)
  local parts, held, size, done = {}, 0, nil, false
  local both = handle:streamInfo():dynamicMetadata():get("typed") ~= nil
  for chunk in handle:bodyChunks() do
    local length = chunk:length()
    if length > 0 and not done then
      parts[#parts + 1] = chunk:getBytes(0, length)
      held = held + length
      if not size and held >= 5 then
        parts = { table.concat(parts) }
        local compressed, a, b, c, d = byte(parts[1], 1, 5)
        size = 5 + ((a * 256 + b) * 256 + c) * 256 + d
        if compressed ~= 0 or size > LARGEST then size = 0 end
      end
      local passed = ""
      if size and held >= size then
        passed, parts, done = table.concat(parts), nil, true
        -- Some of the answer is held by now: a failure must not lose it.
        local understood, made = false, nil
        if #passed == size then understood, made = pcall(with_typed_contents, sub(passed, 6), both) end
        if understood and made then passed = "\0" .. length_of(#made) .. made end
      end
      chunk:setBytes(passed)
    end
  end
end
