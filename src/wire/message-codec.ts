/** The MessagePack codec of the log, for messages. */
export { MessageReader } from '../core/encoding/message-reader.ts';
export { MessageWriter } from '../core/encoding/message-writer.ts';
