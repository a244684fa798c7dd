-- What an OpenAI request must not have, and the little that is changed in it; after numbers.lua and json.lua.
--
-- check_openai(text, adapter) -> nil, { model, stream, hide, text } | a sentence, the field
--   adapter: `<service>:<adapter>`, where the request names one before its body
--   hide: the client did not ask for the usage of its stream; text: the body as it goes on
local MOST_CHOICES = 16
local LARGEST_SCHEMA = 65536
local NOT_ALLOWED, MALFORMED = "This field is not allowed here.", "This field has a value that is not allowed here."

-- Each had, or could have, a vulnerability behind it, or speaks of the inside of the server: docs/decisions/005.
local function set(...)
  local made = {}
  for _, name in ipairs({ ... }) do made[name] = true end
  return made
end
local RULES = {
  refused = set(
    "prompt_embeds", "image_embeds", "video_embeds", "audio_embeds", "image_pil", "chat_template", "chat_template_kwargs",
    "cache_salt", "kv_transfer_params", "ec_transfer_params", "mm_processor_kwargs", "mm_payload", "return_mm_kwargs",
    "media_io_kwargs", "vllm_xargs", "request_id", "data_parallel_rank"
  ),
  media = set("image_url", "video_url", "audio_url", "input_audio", "input_image", "input_video", "file_url"),
  inside = set("stream_options", "chat_template_kwargs"),
  -- Schemas, and notes of the caller's: a tool may well have a parameter named request_id.
  data = set("tools", "functions", "response_format", "structured_outputs", "guided_json", "metadata"),
  strict = true,
}
local SCHEMAS = {
  "tools", "functions", "tool_choice", "response_format", "structured_outputs", "guided_json", "guided_regex",
  "guided_grammar", "guided_choice", "structural_tag", "regex", "grammar",
}
-- What the template of a chat may be told: `enable_thinking`, `reasoning_effort`. These are no variables of a template but
-- arguments of the call that fills it in: they bring another template, or have it read by the tokenizer in the server's one
-- loop (CVE-2025-62426). So do all that end like these.
local ARGUMENTS = set(
  "conversation", "messages", "tools", "documents", "tokenize", "padding", "truncation", "max_length",
  "add_generation_prompt", "continue_final_message", "load_audio_from_video", "self"
)
local ENDINGS = { "template$", "kwargs$", "^return_", "^_" }
local MOST_VARIABLES, LONGEST_VARIABLE = 32, 256
local WORDS = { ["true"] = true, ["false"] = false, null = false }

local function value_of(text, found, name)
  local span = found[name]
  return span and string.sub(text, span[1], span[2])
end

-- A member put at the beginning of the object that begins at or after `at`: what to put in, and what it takes the place of.
local function member(text, at, name, value)
  local start = string.find(text, "{", at, true)
  local comma = string.find(text, "^{[ \t\r\n]*}", start) and "" or ","
  return { '"' .. name .. '":' .. value .. comma, start + 1, start }
end

-- Where the usage of a stream is asked for, so that it is counted.
local function asking(text, found)
  local options, include = found["stream_options"], found["stream_options.include_usage"]
  if not options then return member(text, 1, "stream_options", '{"include_usage":true}') end
  if include then return { "true", include[1], include[2] } end
  if string.sub(text, options[1], options[2]) == "null" then
    return { '{"include_usage":true}', options[1], options[2] }
  end
  return member(text, options[1], "include_usage", "true")
end

-- Where the model is named for a request that names it before its body only: the backend reads the body.
local function naming(text, found, model)
  local span = found["model"]
  return span and { '"' .. model .. '"', span[1], span[2] } or member(text, 1, "model", '"' .. model .. '"')
end

local function edited(text, edits)
  table.sort(edits, function(one, other) return one[2] > other[2] end) -- the last one first: the places before it stay
  for _, edit in ipairs(edits) do text = string.sub(text, 1, edit[2] - 1) .. edit[1] .. string.sub(text, edit[3] + 1) end
  return text
end

local function is_argument(name)
  if ARGUMENTS[name] or #name > 64 or not string.find(name, "^[%a_][%w_]*$") then return true end
  for _, ending in ipairs(ENDINGS) do
    if string.find(name, ending) then return true end
  end
  return false
end

-- Plain values only: what is nested could be anything to a template.
local function check_variables(text, found)
  local count = 0
  for full, span in pairs(found) do
    local name = string.match(full, "^chat_template_kwargs%.(.*)$")
    if name then
      local first = string.byte(text, span[1])
      count = count + 1
      if count > MOST_VARIABLES or is_argument(name) or first == 123 or first == 91
        or span[2] - span[1] > LONGEST_VARIABLE + 1 then return full end
    end
  end
  return nil
end

local function check_values(text, found)
  for _, name in ipairs({ "stream", "stream_options.include_usage" }) do
    local word = value_of(text, found, name)
    if word and WORDS[word] == nil then return name end
  end
  for _, name in ipairs({ "n", "best_of" }) do
    local number = value_of(text, found, name)
    if number and number ~= "null" and (whole_number(number) or MOST_CHOICES + 1) > MOST_CHOICES then return name end
  end
  for _, name in ipairs(SCHEMAS) do
    local span = found[name]
    if span and span[2] - span[1] >= LARGEST_SCHEMA then return name end
  end
  local format = value_of(text, found, "encoding_format")
  -- In the others the server says nothing of the tokens used.
  if format and format ~= '"float"' and format ~= '"base64"' and format ~= "null" then return "encoding_format" end
  for _, name in ipairs({ "stream_options", "chat_template_kwargs" }) do
    local object = value_of(text, found, name)
    if object and object ~= "null" and string.byte(object) ~= 123 then return name end
  end
  return check_variables(text, found)
end

function check_openai(text, adapter)
  local problem, found = scan_json(text, RULES)
  if problem then return problem, found end
  if not string.find(text, "^[ \t\r\n]*{") then return "The body is not a JSON object.", nil end
  local field = check_values(text, found)
  if field then return MALFORMED, field end
  local model = value_of(text, found, "model")
  if model == "null" then model = nil end
  if model and string.byte(model) ~= 34 then return MALFORMED, "model" end
  local stream = WORDS[value_of(text, found, "stream") or "false"]
  local hide = stream and value_of(text, found, "stream_options.include_usage") ~= "true"
  local edits = {}
  if hide then edits[1] = asking(text, found) end
  if adapter and not model then edits[#edits + 1] = naming(text, found, adapter) end
  if #edits > 0 then text = edited(text, edits) end
  return nil, { model = model and string.sub(model, 2, -2), stream = stream, hide = hide, text = text }
end
