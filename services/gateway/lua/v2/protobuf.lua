-- Looks for Triton's shared memory parameters in a ModelInferRequest. A message without the word is done with at once;
-- one that has it, perhaps in its data, is walked exactly: request { 4: parameters, 5: inputs { 4: parameters },
-- 6: outputs { 2: parameters } }, where parameters are map entries { 1: name, 2: value }.
local SHARED_MEMORY = { shared_memory_region = true, shared_memory_byte_size = true, shared_memory_offset = true }
local WORD = "hared_memory"
local ENTRY = { [1] = SHARED_MEMORY }
local REQUEST = { [4] = ENTRY, [5] = { [4] = ENTRY }, [6] = { [2] = ENTRY } }

-- The number at `at`, and where it ends; nothing when there is none before `stop`.
function varint(text, at, stop)
  local value, factor = 0, 1
  for i = at, math.min(at + 9, stop) do
    local b = string.byte(text, i)
    value = value + (b % 128) * factor
    if b < 128 then return value, i + 1 end
    factor = factor * 128
  end
  return nil
end

-- The number and the kind of a field. Of a tag of more than 32 bits a backend takes the lower 32, so none passes.
function field_tag(text, at, stop)
  local tag, after = varint(text, at, stop)
  if not tag or tag > 4294967295 then return nil end
  return tag, after
end

-- How long a field's content is, and where that begins; nothing for groups, which are in no message of this protocol.
function field_length(kind, text, at, stop)
  if kind == 2 then return varint(text, at, stop) end
  if kind == 1 then return 8, at end
  if kind == 5 then return 4, at end
  local value, after
  if kind == 0 then value, after = varint(text, at, stop) end
  if not value then return nil end
  return 0, after
end

-- True when one of the names is there, or when the bytes are not what they should be.
local function names_shared_memory(text, at, stop, fields)
  while at <= stop do
    local tag, size
    tag, at = field_tag(text, at, stop)
    if not tag then return true end
    local kind = tag % 8
    size, at = field_length(kind, text, at, stop)
    if not size or at + size - 1 > stop then return true end
    if kind == 2 then
      local inner = fields[math.floor(tag / 8)]
      if inner == SHARED_MEMORY then
        if inner[string.sub(text, at, at + size - 1)] then return true end
      elseif inner and names_shared_memory(text, at, at + size - 1, inner) then return true end
    end
    at = at + size
  end
  return at ~= stop + 1
end

-- `text` holds a message from `at` to `stop`.
function uses_shared_memory(text, at, stop)
  if not string.find(text, WORD, at, true) then return false end
  return names_shared_memory(text, at, stop, REQUEST)
end
