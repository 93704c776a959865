/** A JSON Schema. */
export type Schema = { readonly [keyword: string]: unknown };

const text = (description: string): Schema => ({ type: 'string', description });
const integer = (description: string, minimum = 0): Schema => ({ type: 'integer', minimum, description });
const flag = (description: string): Schema => ({ type: 'boolean', description });
const instant = (description: string): Schema => ({ type: 'string', format: 'date-time', description });

/** Arguments by name. Any JSON value fits `value` and `patch`. */
const INPUTS = {
  key: text('Key, such as "plan" or "task/7".'),
  namespace: text('Namespace, such as "trip". Default: "default".'),
  value: { description: 'Any JSON value.' },
  patch: { description: 'JSON merge patch: properties to change; null removes a property.' },
  ttl: {
    type: ['string', 'integer'],
    description: 'How long the entry lives: "10m", "2h", "7 days", or a number of milliseconds. Default: for ever.',
  },
  ifVersion: integer('Write only if the entry has this version; 0: only if the key is missing.'),
  ifAbsent: flag('Write only if the key is missing.'),
  meta: { type: 'object', description: 'JSON object to keep beside the value, such as a source or a reason.' },
  basis: {
    type: 'array',
    items: {
      type: 'object',
      properties: {
        namespace: { type: 'string' },
        key: { type: 'string' },
        version: { type: 'integer', minimum: 0 },
      },
      required: ['key', 'version'],
      additionalProperties: false,
    },
    description: 'Entries that this is based on. Default: those that were read in this session.',
  },
  offset: integer('Characters of the JSON text to skip: the "next" of the part before.'),
  prefix: text('Only names that start with this text.'),
  text: { ...text('Text to find, in upper or lower case.'), minLength: 1 },
  values: flag('Also return values. Default false.'),
  reverse: flag('Last names first. Default false.'),
  limit: { ...integer('Most items to return. Default 100.', 1), maximum: 1_000 },
  namespaces: {
    type: 'array',
    items: { type: 'string', minLength: 1 },
    description: 'Namespaces, the most important first; "trip/*" stands for all that start with "trip/". Default: all.',
  },
  maxTokens: integer('Most tokens of the text. Default 2,000.', 50),
  cursor: text('The "next" of the page before.'),
  before: integer('Only versions before this one: the "next" of the page before.', 1),
  since: integer('Position after which changes are wanted; 0: all.'),
  branch: text('Branch to use, as "fork" named it. Default: the shared memory itself.'),
  at: integer('Position to fork from. Default: the present.'),
  position: integer('Position of the write, as "history" and "changes" show it.', 1),
  reason: { ...text('Why, shown to every reader. Default: none.'), minLength: 1, maxLength: 500 },
  cascade: {
    enum: ['none', 'mark', 'restore'],
    description:
      'Treatment of later writes that are based on this one: leave them, mark their entries as stale, or take them back too. Default: none.',
  },
  operationId: text('Id of this call. A repetition with the same id changes nothing more. Default: none.'),
  dryRun: flag('Only report what would be written. Default false.'),
  onConflict: {
    enum: ['fail', 'ours', 'theirs'],
    description:
      'Side to take for keys that both sides changed; "theirs" is the branch. Default: fail, and merge nothing.',
  },
} as const satisfies { readonly [name: string]: Schema };

/** Name of an argument. */
export type InputName = keyof typeof INPUTS;

/** Returns the schema of a tool's arguments. Refuses others, so that a mistyped one is not ignored. */
export function inputSchema(required: readonly InputName[], optional: readonly InputName[]): Schema {
  const properties = Object.fromEntries([...required, ...optional].map((name) => [name, INPUTS[name]]));
  return { type: 'object', properties, required, additionalProperties: false };
}

const VERSION = integer('Version of the entry, for ifVersion.');
/** Marks that `retract` and `forget` put on an entry or a version of it. */
const NOTES = {
  retraction: { type: 'object', description: 'The update at this position was taken back, for this reason.' },
  stale: { type: 'object', description: 'Based on the write at the position "because", which was taken back.' },
  forgotten: { type: 'array', description: 'JSON pointers of what was forgotten and reads as null; "": the value.' },
  sealed: { type: 'array', description: 'JSON pointers of what cannot be decrypted here and reads as null.' },
};
const ABOUT = {
  version: VERSION,
  agent: { type: ['string', 'null'], description: 'Writer of the last update.' },
  createdAt: instant('First write.'),
  updatedAt: instant('Last write.'),
  expiresAt: instant('When the entry expires; absent: never.'),
  meta: { type: 'object', description: 'JSON object that the writer attached.' },
  ...NOTES,
};
const SHOWN = {
  value: { description: 'The value; absent if it is long.' },
  preview: text('Start of the JSON text of a long value. Read it with "get".'),
  bytes: integer('Bytes of the JSON text of a long value.'),
};
const POSITION = integer('Position of the update in the log.');
const WRITTEN = { version: VERSION, position: POSITION, changed: flag('Whether anything has changed.') };
const NEXT = text('Cursor of the next page; absent: this is the last.');
const UPDATE = {
  operation: text('set, touch, delete, expire, evict, clear (value: the keys that went) or clear_namespace.'),
  version: VERSION,
  position: POSITION,
  at: instant('When it happened.'),
  agent: ABOUT.agent,
  meta: ABOUT.meta,
  ...NOTES,
  ...SHOWN,
};

const object = (properties: Schema, required: readonly string[]): Schema => ({ type: 'object', properties, required });
const list = (items: Schema): Schema => ({ type: 'array', items });

const NAMED = { namespace: text('Namespace.'), key: text('Key.') };
/** Items about an entry, with further properties. */
const entries = (more: Schema = {}): Schema => list(object({ ...NAMED, ...more }, ['namespace', 'key']));

/** Schemas of results by tool. */
export const OUTPUTS = {
  get: object(
    {
      found: flag('Whether the key has a value.'),
      value: { description: 'The value; absent if it comes in parts.' },
      text: text('Part of the JSON text of a long value.'),
      next: integer('Offset of the next part; absent: this is the last.'),
      bytes: integer('Bytes of the whole JSON text, if it comes in parts.'),
      ...ABOUT,
    },
    ['found'],
  ),
  set: object(WRITTEN, ['version', 'position', 'changed']),
  update: object({ ...WRITTEN, ...SHOWN }, ['version', 'position', 'changed']),
  delete: object(WRITTEN, ['version', 'position', 'changed']),
  list: object({ entries: list(object({ key: text('Key.'), ...ABOUT, ...SHOWN }, ['key'])), next: NEXT }, ['entries']),
  namespaces: object({ namespaces: list(text('Namespace.')), next: NEXT }, ['namespaces']),
  search: object(
    {
      entries: entries({ ...ABOUT, ...SHOWN }),
      scanned: integer('Entries that were looked at.'),
      next: NEXT,
    },
    ['entries', 'scanned'],
  ),
  history: object(
    {
      versions: list(object({ ...UPDATE, expiresAt: ABOUT.expiresAt }, ['operation', 'version', 'position', 'at'])),
      next: integer('The "before" of the next page; absent: this is the last.'),
    },
    ['versions'],
  ),
  changes: object(
    {
      changes: list(
        object({ namespace: text('Namespace.'), key: { type: ['string', 'null'] }, ...UPDATE }, [
          'namespace',
          'key',
          'operation',
          'position',
        ]),
      ),
      next: integer('The "since" of the next call.'),
      more: flag('Whether there are more changes now.'),
    },
    ['changes', 'next', 'more'],
  ),
  briefing: object(
    {
      text: text('What has changed.'),
      since: integer('Position after which changes are listed.'),
      until: integer('Position up to which they are listed: the start of the next briefing.'),
      omitted: integer('Changes that the text had no room for.'),
      isComplete: flag('False if earlier changes are no longer kept; the text then lists what is there now.'),
    },
    ['text', 'since', 'until', 'omitted', 'isComplete'],
  ),
  retract: object(
    {
      retracted: integer('Position that was taken back.'),
      position: integer('Position of the last update of this retraction. Retract it to undo the retraction.'),
      changed: WRITTEN.changed,
      restored: entries({ removed: flag('The entry was removed, because the key was missing before.') }),
      marked: entries(),
      supported: entries(),
      conflicts: entries({
        ...{ position: POSITION, operation: UPDATE.operation, agent: ABOUT.agent, at: UPDATE.at },
        retraction: NOTES.retraction,
      }),
      omitted: integer('Entries that the lists have no room for.'),
    },
    ['retracted', 'position', 'changed', 'restored', 'marked', 'supported', 'conflicts', 'omitted'],
  ),
  fork: object({ branch: text('Name of the branch.'), position: integer('Position that it starts from.') }, [
    'branch',
    'position',
  ]),
  merge: object(
    {
      updates: integer('Updates that were applied.'),
      namespaces: list(text('Namespace.')),
      position: POSITION,
      conflicts: entries(),
    },
    ['updates', 'namespaces', 'position', 'conflicts'],
  ),
  discard: object({ branch: text('Name of the branch.') }, ['branch']),
} as const satisfies { readonly [tool: string]: Schema };
