import type { UIMessage } from 'ai';
import { optionNames } from '../core/options.ts';
import {
  ContextCacheError,
  type ContextStore,
  fromJsonValue,
  joinNamespace,
  splitNamespace,
  toJsonValue,
} from '../index.ts';
import { sdkErrors } from './ai-sdk-error.ts';

/** Options of {@link contextCacheChats}. */
export interface ContextCacheChatsOptions {
  /** Namespace below which each chat has one of its own, as a name without `/` or as parts. Default `['ai-sdk', 'chats']`. */
  readonly namespace?: string | readonly string[] | undefined;
}

/** Chats by their ids. */
export interface ContextCacheChats<Message extends UIMessage = UIMessage> {
  /** Resolves with the messages of a chat in order; with none if there is no such chat. */
  load(id: string): Promise<Message[]>;
  /** Stores the messages of a chat, all or none. Writes only those that have changed, and removes those that are no longer there. */
  save(id: string, messages: readonly Message[]): Promise<void>;
  /** Resolves with the id of the stream that answers the chat now; `null` if there is none. */
  activeStream(id: string): Promise<string | null>;
  /** Notes the id of the stream that answers the chat; `null`: none. With `ifStream`, only if that is the present one. */
  setActiveStream(id: string, stream: string | null, ifStream?: string | null): Promise<boolean>;
  /** Removes a chat. */
  delete(id: string): Promise<void>;
  /** Resolves with the ids of all chats in order. */
  list(): Promise<string[]>;
}

const OPTIONS = optionNames<ContextCacheChatsOptions>('contextCacheChats', { namespace: true });
const MESSAGE = 'message:';
const STREAM = 'active stream';

/**
 * Keeps the messages of chats in a cache, each message an entry of its own with its history.
 *
 * @throws {ContextCacheError} `INVALID_OPTION`, `INVALID_NAME`.
 *
 * @example
 * ```ts
 * const chats = contextCacheChats(cache);
 * const originalMessages = [...(await chats.load(id)), message];
 * result.toUIMessageStreamResponse({ originalMessages, onFinish: ({ messages }) => chats.save(id, messages) });
 * ```
 */
export function contextCacheChats<Message extends UIMessage = UIMessage>(
  cache: ContextStore,
  options: ContextCacheChatsOptions = {},
): ContextCacheChats<Message> {
  OPTIONS.check(options);
  if (typeof cache?.clearNamespace !== 'function')
    throw invalid('contextCacheChats takes a cache, or a client of one, as its first argument.');
  const { namespace: given = ['ai-sdk', 'chats'] } = options;
  const base = typeof given === 'string' ? [given] : [...given];
  const nameOf = (id: string) => joinNamespace([...base, id]);
  nameOf('');

  return {
    load: (id) =>
      sdkErrors(async () => {
        const messages: Message[] = [];
        for await (const { value } of cache.entries(nameOf(id), { prefix: MESSAGE }))
          messages.push(fromJsonValue(value) as Message);
        return messages;
      }),
    save: (id, messages) =>
      sdkErrors(async () => {
        const namespace = nameOf(id);
        const keys = messages.map((_, index) => keyOf(index));
        const last = keys.at(-1);
        const range = last === undefined ? {} : { after: last };
        const superfluous = await cache.listKeys(namespace, { prefix: MESSAGE, ...range });
        await cache.batch(
          [
            ...keys.map((key, index) => {
              return { operation: 'set', key, value: toJsonValue(messages[index]), ifDifferent: true } as const;
            }),
            ...superfluous.map((key) => ({ operation: 'delete', key }) as const),
          ],
          namespace,
        );
      }),
    activeStream: (id) => sdkErrors(async () => ((await cache.get(STREAM, nameOf(id))) ?? null) as string | null),
    setActiveStream: (id, stream, ifStream) =>
      sdkErrors(async () => {
        let isSet = false;
        await cache.update(
          STREAM,
          (present) => {
            isSet = ifStream === undefined || (present ?? null) === ifStream;
            return isSet ? stream : undefined;
          },
          nameOf(id),
        );
        return isSet;
      }),
    delete: (id) => sdkErrors(async () => void (await cache.dropNamespace(nameOf(id)))),
    list: () =>
      sdkErrors(async () => {
        const names = await cache.listNamespaces({ prefix: base });
        const parts = names.map((name) => splitNamespace(name) ?? []);
        return parts.filter(({ length }) => length === base.length + 1).map((each) => each[base.length] as string);
      }),
  };
}

/** Keys of this form are in the order of their numbers: `message:a0`, `message:b10`. */
function keyOf(index: number): string {
  const digits = String(index);
  return `${MESSAGE}${String.fromCharCode(96 + digits.length)}${digits}`;
}

function invalid(message: string): ContextCacheError {
  return new ContextCacheError('INVALID_OPTION', message);
}
