-- SWP/1 in Wireshark and tshark: every frame of docs/protocol.md, field by field.
--
--   tshark -X lua_script:examples/wireshark/swp.lua -o tcp.try_heuristic_first:TRUE -i lo -f 'tcp port 7000' -O swp
--   wireshark -X lua_script:examples/wireshark/swp.lua -o tcp.try_heuristic_first:TRUE
--
-- A connection is recognised by the client's preface; the option is for ports that Wireshark gives to another protocol (7000
-- is one). Where a capture begins in the middle of a connection, say "Decode As", or -d tcp.port==7000,swp.
-- Filters: swp.type == 16, swp.name contains "player", swp.code == 14, swp.malformed, ...

local swp = Proto("swp", "Sluice Wire Protocol")

local TYPES = {
  [1] = "HELLO", [2] = "WELCOME", [3] = "AUTH", [4] = "PING", [5] = "GOAWAY", [6] = "CREDIT", [7] = "ACK",
  [16] = "OPEN", [17] = "DATA", [18] = "MSG", [19] = "ERROR", [20] = "CANCEL",
}
local KINDS = {
  [0] = "call", [1] = "server stream", [2] = "client stream", [3] = "duplex", [4] = "notify", [5] = "subscribe",
  [6] = "publish",
}
local CODECS = { [0] = "raw", [1] = "JSON", [2] = "msgpack", [3] = "CBOR", [4] = "UTF-8" }
local METHODS = { [0] = "none", [1] = "token", [2] = "Ed25519", [3] = "SCRAM-SHA-256", [4] = "external" }
local CODES = {
  [0] = "OK", [1] = "CANCELLED", [2] = "UNKNOWN", [3] = "INVALID_ARGUMENT", [4] = "DEADLINE_EXCEEDED",
  [5] = "NOT_FOUND", [6] = "ALREADY_EXISTS", [7] = "PERMISSION_DENIED", [8] = "RESOURCE_EXHAUSTED",
  [9] = "FAILED_PRECONDITION", [10] = "ABORTED", [11] = "OUT_OF_RANGE", [12] = "UNIMPLEMENTED", [13] = "INTERNAL",
  [14] = "UNAVAILABLE", [15] = "DATA_LOSS", [16] = "UNAUTHENTICATED", [32] = "REFUSED", [33] = "TOO_LARGE",
  [34] = "BAD_CODEC", [35] = "INVALID_SCHEMA", [36] = "FLOW", [37] = "SLOW_CONSUMER", [38] = "GAP",
}
local REASONS = {
  [64] = "DRAIN", [65] = "PROTOCOL", [66] = "FRAME_SIZE", [67] = "VERSION", [68] = "UNKNOWN_FRAME", [69] = "AUTH",
  [70] = "HANDSHAKE_TIMEOUT", [71] = "KEEPALIVE", [72] = "FLOW", [73] = "CALM", [74] = "INTERNAL",
  [75] = "SESSION_REPLACED", [76] = "IDLE", [77] = "MOVED",
}
local HELLO_KEYS = {
  [1] = "max_frame", [2] = "max_message", [3] = "max_streams", [4] = "window", [5] = "keepalive_ms", [6] = "codecs",
  [7] = "compressions", [8] = "auth", [9] = "session_id", [10] = "session_secret", [11] = "last_seq",
  [12] = "stream_credit", [13] = "features", [14] = "routes", [15] = "schema_hash", [16] = "agent",
  [17] = "server_time", [18] = "replay_to", [19] = "route_shapes",
}
local META_KEYS = {
  [1] = "traceparent", [2] = "idempotency_key", [3] = "priority", [4] = "attempt", [5] = "queue_group",
  [6] = "slow_policy", [7] = "from_seq",
}
local GOAWAY_KEYS = { [1] = "reason", [2] = "address", [3] = "versions", [8] = "auth_methods" }

local END, MORE, ZIP, SEQ = 1, 2, 4, 8
local HEADER = 8
local PREFACE = "535750310d0a1a0a"

local f = {
  preface = ProtoField.bytes("swp.preface", "Preface"),
  length = ProtoField.uint24("swp.length", "Length"),
  type = ProtoField.uint8("swp.type", "Type", base.DEC, TYPES),
  stream = ProtoField.uint24("swp.stream", "Stream"),
  flags = ProtoField.uint8("swp.flags", "Flags", base.HEX),
  flag_end = ProtoField.bool("swp.flags.end", "END", 8, nil, END),
  flag_more = ProtoField.bool("swp.flags.more", "MORE", 8, nil, MORE),
  flag_zip = ProtoField.bool("swp.flags.zip", "ZIP", 8, nil, ZIP),
  flag_seq = ProtoField.bool("swp.flags.seq", "SEQ", 8, nil, SEQ),
  version_min = ProtoField.uint8("swp.version_min", "Lowest version"),
  version_max = ProtoField.uint8("swp.version_max", "Highest version"),
  version = ProtoField.uint8("swp.version", "Version"),
  method = ProtoField.uint8("swp.method", "Method", base.DEC, METHODS),
  step = ProtoField.uint8("swp.step", "Step"),
  data = ProtoField.bytes("swp.data", "Data"),
  reason = ProtoField.uint16("swp.goaway", "Reason", base.DEC, REASONS),
  last_open = ProtoField.uint32("swp.last_open", "OPENs accepted"),
  drain_ms = ProtoField.uint32("swp.drain_ms", "Drain (ms)"),
  reconnect_ms = ProtoField.uint32("swp.reconnect_ms", "Reconnect (ms)"),
  add = ProtoField.uint32("swp.add", "Credit added"),
  seq = ProtoField.uint32("swp.seq", "Sequence number"),
  kind = ProtoField.uint8("swp.kind", "Kind", base.DEC, KINDS),
  codec = ProtoField.uint8("swp.codec", "Codec", base.DEC, CODECS),
  route_id = ProtoField.uint16("swp.route_id", "Route id"),
  deadline_ms = ProtoField.uint32("swp.deadline_ms", "Deadline (ms)"),
  credit = ProtoField.uint32("swp.credit", "Credit"),
  name = ProtoField.string("swp.name", "Route or topic"),
  body = ProtoField.bytes("swp.body", "Body"),
  topic = ProtoField.string("swp.topic", "Topic"),
  dropped = ProtoField.uint16("swp.dropped", "Dropped"),
  code = ProtoField.uint16("swp.code", "Code", base.DEC, CODES),
  eflags = ProtoField.uint16("swp.eflags", "Error flags", base.HEX),
  retry_after_ms = ProtoField.uint32("swp.retry_after_ms", "Retry after (ms)"),
  message = ProtoField.string("swp.message", "Message"),
  detail = ProtoField.bytes("swp.detail", "Detail"),
  tlv_key = ProtoField.uint16("swp.tlv.key", "Key"),
  tlv_critical = ProtoField.bool("swp.tlv.critical", "Critical"),
  tlv_value = ProtoField.bytes("swp.tlv.value", "Value"),
}
swp.fields = f

local malformed = ProtoExpert.new("swp.malformed", "Malformed SWP frame", expert.group.MALFORMED, expert.severity.ERROR)
swp.experts = { malformed }

-- Every inner length is checked: what does not fit is marked, never read past its frame.
local function bad(tree, what)
  tree:add_proto_expert_info(malformed, what)
end

local function bytes_after(field, range, from, tree)
  if from < range:len() then tree:add(field, range(from)) end
end

local function tlvs(range, from, to, names, tree)
  local at = from
  while at < to do
    if to - at < 4 or at + 4 + range(at + 2, 2):le_uint() > to then return bad(tree, "a TLV is cut off") end
    local word, length = range(at, 2):le_uint(), range(at + 2, 2):le_uint()
    local key = word % 0x8000
    local item = tree:add(swp, range(at, 4 + length), "TLV " .. (names[key] or key))
    item:add_le(f.tlv_key, range(at, 2), key)
    item:add(f.tlv_critical, range(at, 2), word >= 0x8000)
    if length > 0 then item:add(f.tlv_value, range(at + 4, length)) end
    at = at + 4 + length
  end
end

-- One function for each type: the payload's bytes, the flags, where to add; gives what stands behind the type's name.
local dissect = {}

dissect[1] = function(p, _, tree)
  if p:len() < 4 then return bad(tree, "HELLO is too short") end
  tree:add(f.version_min, p(0, 1))
  tree:add(f.version_max, p(1, 1))
  tlvs(p, 4, p:len(), HELLO_KEYS, tree)
end

dissect[2] = function(p, _, tree)
  if p:len() < 4 then return bad(tree, "WELCOME is too short") end
  tree:add(f.version, p(0, 1))
  tlvs(p, 4, p:len(), HELLO_KEYS, tree)
end

dissect[3] = function(p, _, tree)
  if p:len() < 4 then return bad(tree, "AUTH is too short") end
  tree:add(f.method, p(0, 1))
  tree:add(f.step, p(1, 1))
  bytes_after(f.data, p, 4, tree)
end

dissect[4] = function(p, flags, tree)
  if p:len() ~= 8 then return bad(tree, "PING has 8 bytes") end
  tree:add(f.data, p(0, 8))
  return flags % 2 == 1 and "ACK" or nil
end

dissect[5] = function(p, _, tree)
  if p:len() < 16 then return bad(tree, "GOAWAY is too short") end
  tree:add_le(f.reason, p(0, 2))
  tree:add_le(f.last_open, p(4, 4))
  tree:add_le(f.drain_ms, p(8, 4))
  tree:add_le(f.reconnect_ms, p(12, 4))
  tlvs(p, 16, p:len(), GOAWAY_KEYS, tree)
  return REASONS[p(0, 2):le_uint()]
end

dissect[6] = function(p, _, tree)
  if p:len() ~= 4 then return bad(tree, "CREDIT has 4 bytes") end
  tree:add_le(f.add, p(0, 4))
  return "+" .. p(0, 4):le_uint()
end

dissect[7] = function(p, _, tree)
  if p:len() ~= 4 then return bad(tree, "ACK has 4 bytes") end
  tree:add_le(f.seq, p(0, 4))
end

dissect[16] = function(p, flags, tree)
  local at = math.floor(flags / SEQ) % 2 == 1 and 4 or 0
  if p:len() < at + 16 then return bad(tree, "OPEN is too short") end
  if at == 4 then tree:add_le(f.seq, p(0, 4)) end
  local name_length, meta_length = p(at + 12, 2):le_uint(), p(at + 14, 2):le_uint()
  tree:add(f.kind, p(at, 1))
  tree:add(f.codec, p(at + 1, 1))
  tree:add_le(f.route_id, p(at + 2, 2))
  tree:add_le(f.deadline_ms, p(at + 4, 4))
  tree:add_le(f.credit, p(at + 8, 4))
  local name, meta = at + 16, at + 16 + name_length
  local body = meta + meta_length
  if body > p:len() then return bad(tree, "OPEN's name and metadata are longer than its frame") end
  if name_length > 0 then tree:add_packet_field(f.name, p(name, name_length), ENC_UTF_8) end
  tlvs(p, meta, body, META_KEYS, tree)
  bytes_after(f.body, p, body, tree)
  local what = name_length > 0 and p(name, name_length):string(ENC_UTF_8) or ("route " .. p(at + 2, 2):le_uint())
  return (KINDS[p(at, 1):uint()] or "?") .. " " .. what
end

dissect[17] = function(p, flags, tree)
  local at = math.floor(flags / SEQ) % 2 == 1 and 4 or 0
  if p:len() < at then return bad(tree, "DATA is too short for its sequence number") end
  if at == 4 then tree:add_le(f.seq, p(0, 4)) end
  bytes_after(f.body, p, at, tree)
end

dissect[18] = function(p, _, tree)
  if p:len() < 8 or 8 + p(0, 2):le_uint() > p:len() then return bad(tree, "MSG is too short") end
  local length = p(0, 2):le_uint()
  tree:add_le(f.dropped, p(2, 2))
  tree:add_le(f.seq, p(4, 4))
  if length > 0 then tree:add_packet_field(f.topic, p(8, length), ENC_UTF_8) end
  bytes_after(f.body, p, 8 + length, tree)
  return length > 0 and p(8, length):string(ENC_UTF_8) or nil
end

dissect[19] = function(p, _, tree)
  if p:len() < 12 or 12 + p(8, 2):le_uint() > p:len() then return bad(tree, "ERROR is too short") end
  local length = p(8, 2):le_uint()
  tree:add_le(f.code, p(0, 2))
  tree:add_le(f.eflags, p(2, 2))
  tree:add_le(f.retry_after_ms, p(4, 4))
  if length > 0 then tree:add_packet_field(f.message, p(12, length), ENC_UTF_8) end
  bytes_after(f.detail, p, 12 + length, tree)
  return CODES[p(0, 2):le_uint()] or tostring(p(0, 2):le_uint())
end

dissect[20] = function(p, _, tree)
  if p:len() ~= 4 then return bad(tree, "CANCEL has 4 bytes") end
  tree:add_le(f.code, p(0, 2))
  return CODES[p(0, 2):le_uint()]
end

local function is_preface(tvb, offset)
  return tvb:len() >= offset + HEADER and tvb:bytes(offset, HEADER):tohex(true) == PREFACE
end

local function frame_length(tvb, _, offset)
  if is_preface(tvb, offset) then return HEADER end
  return HEADER + tvb(offset, 3):le_uint()
end

local function frame(tvb, pinfo, root)
  pinfo.cols.protocol = "SWP"
  if is_preface(tvb, 0) then
    root:add(swp, tvb(), "Sluice Wire Protocol, preface"):add(f.preface, tvb(0, HEADER))
    pinfo.cols.info:append(" preface")
    return tvb:len()
  end
  local kind, stream, flags = tvb(3, 1):uint(), tvb(4, 3):le_uint(), tvb(7, 1):uint()
  local name = TYPES[kind] or (kind >= 128 and "ignorable" or "unknown") .. " " .. kind
  local tree = root:add(swp, tvb(), "Sluice Wire Protocol, " .. name .. ", stream " .. stream)
  tree:add_le(f.length, tvb(0, 3))
  tree:add(f.type, tvb(3, 1))
  tree:add_le(f.stream, tvb(4, 3))
  local bits = tree:add(f.flags, tvb(7, 1))
  for _, flag in ipairs({ f.flag_end, f.flag_more, f.flag_zip, f.flag_seq }) do bits:add(flag, tvb(7, 1)) end
  local payload = tvb:len() > HEADER and tvb(HEADER):tvb() or ByteArray.new():tvb("empty")
  local about
  if dissect[kind] then
    about = dissect[kind](payload, flags, tree)
  else
    bytes_after(f.body, payload, 0, tree)
  end
  pinfo.cols.info:append(" " .. name .. " " .. stream .. (about and " (" .. about .. ")" or ""))
  return tvb:len()
end

local function stream(tvb, pinfo, root)
  pinfo.cols.info:clear()
  return dissect_tcp_pdus(tvb, root, HEADER, frame_length, frame)
end

function swp.dissector(tvb, pinfo, root)
  return stream(tvb, pinfo, root)
end

-- Not through swp.dissector: each dissector that calls another takes away a level of reassembly, and TCP gives two.
local function heuristic(tvb, pinfo, root)
  if not is_preface(tvb, 0) then return false end
  pinfo.conversation = swp
  stream(tvb, pinfo, root)
  return true
end

DissectorTable.get("tcp.port"):add_for_decode_as(swp)
swp:register_heuristic("tcp", heuristic)
