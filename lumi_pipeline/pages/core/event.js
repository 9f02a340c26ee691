// An event as text columns (docs/formats.md §1): their order, their syntax, and what is hashed of them.

const CORE_COLUMNS = [
  "tenant_id",
  "seq",
  "event_id",
  "recorded_at",
  "occurred_at",
  "action",
  "entity_type",
  "entity_id",
  "outcome",
  "actor_type",
  "actor_id",
  "auth_method",
];
const PAYLOAD_COLUMNS = ["actor_name", "ip", "user_agent", "request_id", "before_state", "after_state", "payload_salt"];
const HASH_COLUMNS = ["payload_hash", "prev_hash", "integrity_hash"];
const EVENT_COLUMNS = [...CORE_COLUMNS, ...PAYLOAD_COLUMNS, ...HASH_COLUMNS, "erased_at"];
const MAX_TEXT_BYTES = 1048576;
const MAX_EVENT_BYTES = 4194304;
const EVENT_ID_SYNTAX = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const ACTION_SYNTAX = /^[A-Z][A-Z0-9_]{0,127}$/;
// Columns of free text, whose bytes count against the limit of an event.
const TEXT_COLUMNS = EVENT_COLUMNS.filter((name) => !/^(?:seq|.*_at|.*_salt|.*_hash)$/.test(name));
const EVENT_LEAF_TAG = utf8("lumi/event-leaf/v1\n");

function eventLeaf(integrityHash) {
  return leafHash(concatBytes(EVENT_LEAF_TAG, integrityHash));
}

// What is hashed for an event whose columns are text or null.
function payloadHashOf(event) {
  const [salt, ...rest] = ["payload_salt", ...PAYLOAD_COLUMNS.slice(0, -1)];
  return sha256(utf8(`lumi/payload/v1\n${[salt, ...rest].map((name) => netstring(event[name])).join("")}`));
}

function integrityHashOf(event) {
  const columns = ["prev_hash", ...CORE_COLUMNS, "payload_hash"];
  return sha256(utf8(`lumi/event/v1\n${columns.map((name) => netstring(event[name])).join("")}`));
}

// Check that columns of text or null are an event in form.
function checkEvent(event) {
  const required = [...CORE_COLUMNS.slice(0, -1), ...HASH_COLUMNS];
  let size = 0;
  for (const name of EVENT_COLUMNS) {
    const text = event[name] ?? null;
    if (text === null) {
      if (required.includes(name)) throw new FormatError(`${name} must not be null`);
      continue;
    }
    const bytes = utf8(jsonText(text, name)).length;
    if (TEXT_COLUMNS.includes(name)) size += bytes;
    if (bytes > MAX_TEXT_BYTES || size > MAX_EVENT_BYTES || text.includes("\0")) {
      throw new FormatError(`${name} is too long, or holds U+0000`);
    }
  }
  const syntax = { tenant_id: TENANT_ID_SYNTAX, event_id: EVENT_ID_SYNTAX, action: ACTION_SYNTAX };
  for (const [name, form] of Object.entries(syntax)) {
    if (!form.test(event[name])) throw new FormatError(`${name} has not its form: ${excerpt(event[name])}`);
  }
  if (
    !/^(?:success|failure|unknown)$/.test(event.outcome) ||
    !/^(?:user|service|system|support)$/.test(event.actor_type)
  ) {
    throw new FormatError("outcome or actor_type is none of the known ones");
  }
  parseDecimal(event.seq);
  parseTimestamp(event.recorded_at);
  parseTimestamp(event.occurred_at);
  HASH_COLUMNS.forEach((name) => decodeHex(event[name], 32));
  if (event.payload_salt !== null) decodeHex(event.payload_salt, 16);
}
